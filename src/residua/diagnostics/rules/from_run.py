"""What a training run's own files tell: one of four verdicts."""

from math import isfinite

from residua.diagnostics.result import Diagnosis, RunFacts
from residua.diagnostics.rules.rule import Seen, rule

FITS = 0.8
"""Share of the way from the baseline's accuracy to 1 that the training accuracy has to have come. Augmentation and
label smoothing keep it below 1."""
FITTED = 0.98
"""Training accuracy that counts as fitted whatever the baseline has."""
HALF_FITS = 0.4
"""Share below which the run has learned next to nothing."""
GAP = 0.1
"""Training minus validation accuracy from which a network knows its examples rather than their classes."""
ERROR_RATIO = 2.0
"""Validation error over training error, likewise; both must hold."""
FEW_EXAMPLES = 200
"""Training examples below which an accuracy on a tenth of them is within ± 22 % at 95 % (binomial, n = 20)."""
FEW_EPOCHS = 3
"""Epochs below which nothing is said about a run that has not ended."""


@rule(
    "loss is no number",
    "run",
    asks="finite losses",
    source="IEEE 754",
)
def loss_is_no_number(diagnosis: Diagnosis) -> Seen | None:
    """Asks whether the run diverged."""
    run = diagnosis.run
    if run is None or not (run.failed or any(not isfinite(loss) for loss in run.train_losses)):
        return None
    return Seen(
        severity="serious",
        says=f"the run ended in epoch {len([loss for loss in run.train_losses if isfinite(loss)]) + 1}, where its loss "
        "was no finite number any more",
        where="training",
        remedy="train again with a tenth of the learning rate: --set optimizer.learning_rate=…",
    )


@rule(
    "data too small or doubtful",
    "run",
    asks=f"{FEW_EXAMPLES} training examples or more, a validation part, and more of it right than needs no network",
    source="Wilson 1927 for the interval of an accuracy; Northcutt et al. 2021, arXiv:2103.14749, for wrong labels",
)
def data_too_small_or_doubtful(diagnosis: Diagnosis) -> Seen | None:
    """Asks whether the examples can bear a verdict at all."""
    run = diagnosis.run
    if run is None or not run.train_accuracies:
        return None
    doubt = _doubt(run)
    if doubt is None:
        return None
    says, measured = doubt
    return Seen(
        severity="warning",
        says=says,
        measured=measured,
        where="data",
        remedy="gather more examples a class, start from a trained network (residua train --weights), and look for "
        "twins across the parts and for wrong labels",
    )


@rule(
    "does not fit its training data",
    "run",
    asks=f"a training accuracy {FITS:.0%} of the way from the baseline's to 1, or of {FITTED:.0%}",
    source="He et al. 2015, Fig. 1: degradation shows in the training error",
)
def does_not_fit(diagnosis: Diagnosis) -> Seen | None:
    """Asks whether the network has learned what it was shown: optimisation, before generalisation."""
    run = diagnosis.run
    if run is None or not _may_be_judged(run) or _fit(run) >= FITS:
        return None
    return Seen(
        severity="serious" if _fit(run) < HALF_FITS else "warning",
        says=f"{_reached(run):.1%} of the training examples are right after {len(run.train_accuracies)} epochs; "
        f"without a network {run.baseline or 0.0:.1%} of those held out are",
        measured=_reached(run),
        predicted=1.0,
        where="training",
        remedy=_remedy_for_fitting(run),
    )


@rule(
    "fits but does not generalise",
    "run",
    asks=f"a validation accuracy within {GAP:.0%} of the training accuracy, or less than {ERROR_RATIO:g} times its "
    "error",
    source="Zhang et al. 2017, arXiv:1611.03530, §2",
)
def does_not_generalise(diagnosis: Diagnosis) -> Seen | None:
    """Asks whether what was learned holds for other examples."""
    run = diagnosis.run
    if run is None or not _may_be_judged(run) or _fit(run) < FITS:
        return None
    train, other = _reached(run), _validation(run)
    if other is None or train - other < GAP or 1 - other < ERROR_RATIO * (1 - train):
        return None
    return Seen(
        severity="serious" if run.baseline is not None and other <= run.baseline else "warning",
        says=f"{train:.1%} of the training examples, {other:.1%} of those held out",
        measured=other,
        predicted=train,
        where="data",
        remedy="more examples, pretrained weights, or stronger augmentation and decay: --set mixup=0.2 "
        "--set optimizer.weight_decay=1e-3",
    )


@rule(
    "fine",
    "run",
    asks="that it fits its training data and generalises",
    source="the three verdicts before",
)
def fine(diagnosis: Diagnosis) -> Seen | None:
    """Says so where a run fits its training data and none of the other verdicts holds."""
    run = diagnosis.run
    others = (loss_is_no_number, data_too_small_or_doubtful, does_not_fit, does_not_generalise)
    if run is None or not _may_be_judged(run) or any(one(diagnosis) for one in others):
        return None
    other = _validation(run)
    held_out = "" if other is None else f", {other:.1%} of those held out"
    return Seen(
        severity="note",
        says=f"{_reached(run):.1%} of the training examples{held_out}",
        measured=other,
        where="training",
        remedy="none is needed; a wider or deeper network may still be better",
    )


def _may_be_judged(run: RunFacts) -> bool:
    epochs = len(run.train_accuracies)
    return epochs > 0 and (run.finished or epochs >= FEW_EPOCHS) and all(map(isfinite, run.train_losses))


def _fit(run: RunFacts) -> float:
    """Returns how far the training accuracy has come from the baseline's to 1; all the way from `FITTED` on."""
    room = 1 - (run.baseline or 0.0)
    return 1.0 if _reached(run) >= FITTED or room <= 0 else (_reached(run) - (run.baseline or 0.0)) / room


def _reached(run: RunFacts) -> float:
    """Returns the training accuracy, without augmentation where that is known."""
    return run.train_accuracies[-1] if run.fitted is None else run.fitted


def _validation(run: RunFacts) -> float | None:
    """Returns the validation accuracy of the weights that the network has."""
    known = run.validation_accuracies
    at = (run.chosen_epoch or len(known)) - 1
    return known[at] if 0 <= at < len(known) else None


def _doubt(run: RunFacts) -> tuple[str, float | None] | None:
    """Returns why the examples cannot bear a verdict, and the number; None where they can."""
    if run.training_examples < FEW_EXAMPLES:
        return f"{run.training_examples} training examples", float(run.training_examples)
    other = _validation(run)
    if other is None:
        return "no example is held out, so nothing is known of others", None
    if run.baseline is not None and run.finished and _fit(run) >= FITS and other < run.baseline:
        return (
            f"{other:.1%} of the examples held out, below the {run.baseline:.1%} that need no network, though the "
            "training examples are learned",
            other,
        )
    return None


def _remedy_for_fitting(run: RunFacts) -> str:
    losses = run.train_losses
    falls = len(losses) >= 2 and losses[-1] < 0.98 * losses[-2]
    if not run.finished:
        return "let the run end: residua train --resume RUN"
    if falls:
        return f"train longer, for the loss still falls: residua train … --epochs {2 * len(losses)}"
    return "find out why: residua diagnose RUN; then other learning rates (÷10, ×3), less augmentation, a wider network"
