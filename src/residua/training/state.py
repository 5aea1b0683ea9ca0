"""Where a run stands between two steps: all that is needed to go on as if it had never stopped."""

from dataclasses import dataclass, field
from typing import final

import torch
from torch import Tensor, nn

from residua.machine import Precision
from residua.training.averaging import Averaging, Weights
from residua.training.observers import EpochEnded


@final
@dataclass(kw_only=True)
class Position:
    """Counts what is done. All randomness is a function of (seed, epoch, step), so this is all of it."""

    epoch: int = 1
    """The epoch under way, from 1."""
    step: int = 0
    """Steps done in that epoch."""
    total_steps: int = 0
    """Steps done since the run began."""
    seconds: float = 0.0
    """Time spent training, earlier sittings added."""
    loss_sum: float = 0.0
    """Training loss summed over the epoch's examples so far."""
    correct: int = 0
    """Examples of the epoch that were classified rightly so far."""
    seen: int = 0
    """Examples of the epoch so far."""
    training_seconds: float = 0.0
    """Time spent in the epoch's training steps so far."""


def scaler_for(arithmetic: Precision, device: torch.device) -> torch.amp.GradScaler:
    """Returns what multiplies the loss before the backward pass, so that small gradients do not vanish in float16.

    Gradients below 6e-8 are zero in float16 (Micikevicius et al. 2018, §3.2). A step whose gradients are not finite is
    left out and the factor halved. In other arithmetic it multiplies by nothing and leaves out no step.
    """
    return torch.amp.GradScaler(device.type, enabled=arithmetic == "float16")


@final
@dataclass(kw_only=True)
class State:
    """Everything that changes while a run trains."""

    network: nn.Module
    optimizer: torch.optim.Optimizer
    position: Position = field(default_factory=Position)
    history: list[EpochEnded] = field(default_factory=list)
    best_weights: dict[str, Tensor] | None = None
    """The weights of the best epoch so far, where validation chooses."""
    best_epoch: int | None = None
    """0 is what the run started from."""
    best_loss: float | None = None
    unread: list[tuple[Tensor, Tensor]] = field(default_factory=list)
    """Loss and number of right answers of the newest steps, where the device has not been waited for yet."""
    average: Weights | None = None
    """Of the weights, where the recipe averages them."""
    scaler: torch.amp.GradScaler = field(default_factory=lambda: torch.amp.GradScaler(enabled=False))
    """Of the loss, for float16; does nothing in other arithmetic."""
    best_accuracy: float = 0.0
    """On the validation part, so far."""

    def result(self, averaging: Averaging) -> Weights | None:
        """Returns the average where that is what is evaluated and kept; None for the network's own weights."""
        return self.average if averaging.stands_in(self.position.total_steps) else None

    def begin_next_epoch(self) -> None:
        """Moves on to the next epoch; the counts of the whole run go on."""
        done = self.position
        self.position = Position(epoch=done.epoch + 1, total_steps=done.total_steps, seconds=done.seconds)

    def keep_best(self, epoch: int, validation_loss: float) -> None:
        """Keeps a copy of the weights if the epoch has the lowest validation loss so far."""
        if self.best_loss is None or validation_loss < self.best_loss:
            self.best_loss = validation_loss
            self._keep(epoch)

    def keep_latest_good(self, epoch: int, accuracy: float, images: int) -> None:
        """Keeps a copy of the weights if the accuracy is within one standard error of the best so far.

        The standard error of a proportion p of n images, √(p(1 − p)/n), at the best accuracy: the rule of Breiman et
        al. 1984, §3.4.3, with later for simpler.
        """
        self.best_accuracy = max(self.best_accuracy, accuracy)
        error = (self.best_accuracy * (1 - self.best_accuracy) / images) ** 0.5
        if accuracy >= self.best_accuracy - error:
            self._keep(epoch)

    def _keep(self, epoch: int) -> None:
        self.best_epoch = epoch
        self.best_weights = {k: v.detach().cpu().clone() for k, v in self.network.state_dict().items()}
