"""What may look in while a run trains: the `Observer` protocol and the events it is told."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from torch import nn
from torch.optim import Optimizer


@dataclass(frozen=True, kw_only=True)
class RunStarted:
    """Tells that training begins, before its first step."""

    run: str
    """Directory of the run."""
    headline: str
    """One line: network, parameters, images, epochs, and why these."""
    notes: Sequence[str]
    """Lines the user should read before it starts (few images, files left out, …)."""
    epochs: int
    steps_per_epoch: int
    first_epoch: int
    """Counts from 1; above 1 when a run is resumed."""
    steps_done: int
    """Optimizer steps that the run has taken before; above 0 when it is resumed."""
    network: nn.Module
    """What learns."""
    optimizer: Optimizer
    """What steps it."""


@dataclass(frozen=True, kw_only=True)
class StepEnded:
    """Tells that one optimizer step was taken."""

    epoch: int
    """Counts from 1."""
    step: int
    """Within the epoch, counts from 1."""
    images: int
    """Examples in this step."""
    loss: float | None
    """Mean training loss since the epoch began; None where it was not read from the device this step."""
    accuracy: float | None
    """Training accuracy since the epoch began, between 0 and 1; None likewise."""


@dataclass(frozen=True, kw_only=True)
class EpochEnded:
    """Tells an epoch's metrics: one line of ``metrics.jsonl``."""

    epoch: int
    step: int
    """Optimizer steps since the run began."""
    train_loss: float
    """Mean over the epoch's examples, with label smoothing, as the steps saw them."""
    train_accuracy: float
    """Between 0 and 1, as the steps saw the (augmented) images."""
    validation_loss: float | None
    validation_accuracy: float | None
    learning_rate: float
    """At the epoch's last step."""
    images_per_second: float
    """Training steps only, evaluation apart."""
    seconds: float
    """Since training began, resumed parts added up."""


@dataclass(frozen=True, kw_only=True)
class RunEnded:
    """Tells that the run is finished and written."""

    run: str
    part: str | None
    """The part that the accuracy is from; None where nothing was held out, as are the next two."""
    accuracy: float | None
    """Between 0 and 1."""
    interval: tuple[float, float] | None
    """95 % Wilson interval from the number of images."""
    seconds: float
    views: tuple[str, float] | None = None
    """Which several views of each image, and the accuracy over them, where the recipe asks for it."""
    beats_baselines: bool = True
    """Whether the accuracy is clearly above that of the answers that need no network."""


@runtime_checkable
class Observer(Protocol):
    """Is told what happens in a run; changes nothing in it."""

    def run_started(self, event: RunStarted) -> None: ...

    def step_ended(self, event: StepEnded) -> None: ...

    def epoch_ended(self, event: EpochEnded) -> None: ...

    def run_ended(self, event: RunEnded) -> None: ...

    def run_stopped(self) -> None:
        """Is told that the run ends early (an interrupt or an error): leave the terminal tidy."""
        ...
