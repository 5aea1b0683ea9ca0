"""What is measured of one case, and what it says, as data; `residua.diagnostics.diagnosis` measures it."""

from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any, final

from residua.diagnostics.additive import AdditiveCheck
from residua.diagnostics.estimation import Estimation
from residua.diagnostics.findings import Finding
from residua.diagnostics.first_step import FirstStep
from residua.diagnostics.gradients import GradientFlow
from residua.diagnostics.information import Information
from residua.diagnostics.lesions import Lesions
from residua.diagnostics.paths import PathLengths
from residua.diagnostics.questions import Questions
from residua.diagnostics.shattering import Shattering
from residua.diagnostics.signals import Signals
from residua.diagnostics.what_if import WhatIf


@final
@dataclass(frozen=True, kw_only=True)
class RunFacts:
    """What a training run's own files tell, where the module is a run's."""

    train_losses: tuple[float, ...]
    """By epoch, as are the others."""
    train_accuracies: tuple[float, ...]
    validation_losses: tuple[float | None, ...]
    validation_accuracies: tuple[float | None, ...]
    baseline: float | None
    """Accuracy of the best answer that needs no network."""
    label_smoothing: float
    training_examples: int
    finished: bool
    failed: bool = False
    """Whether its loss, or its validation loss, became no finite number, which ended it."""
    chosen_epoch: int | None = None
    """The epoch whose weights the network has, from 1; None for the last."""
    fitted: float | None = None
    """Share of training examples, not augmented, that the network as it is now gets right; None where nobody asked. The
    accuracies by epoch are of augmented images, while the network still changed."""


@final
@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """What was measured, and the findings, gravest first. What was not asked for, or cannot be, is None."""

    name: str
    loss_name: str
    parameters: int
    layers: int
    additions: int
    examples: int
    remarks: tuple[str, ...]
    """What could not be measured and why, and what the reader must know of how it was."""
    gradients: GradientFlow | None = None
    additive: AdditiveCheck | None = None
    signals: Signals | None = None
    shattering: Shattering | None = None
    paths: PathLengths | None = None
    estimation: Estimation | None = None
    information: Information | None = None
    lesions: Lesions | None = None
    questions: Questions | None = None
    first_step: FirstStep | None = None
    run: RunFacts | None = None
    what_if: tuple[WhatIf, ...] = ()
    """The network with one thing changed, where that was asked for; the first row is the network as it is."""
    findings: tuple[Finding, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Returns everything as JSON can hold it; numbers that are not finite become "nan", "inf" and "-inf"."""
        return _finite(asdict(self))


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(inside) for name, inside in value.items()}
    if isinstance(value, (tuple, list)):
        return [_finite(inside) for inside in value]
    return str(value) if isinstance(value, float) and not isfinite(value) else value
