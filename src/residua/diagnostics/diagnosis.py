"""All measurements of one case, and what they say."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import final

from residua.diagnostics.additive import AdditiveCheck
from residua.diagnostics.case import Case
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
    findings: tuple[Finding, ...] = ()


PARTS = ("gradients", "additive", "signals", "shattering", "paths", "estimation", "information", "lesions", "questions")
"""What ``--only`` takes."""


def diagnose(
    case: Case,
    *,
    only: Sequence[str] = (),
    run: RunFacts | None = None,
    told: Callable[[str, int, int], None] | None = None,
) -> Diagnosis:
    raise NotImplementedError
