"""How a trial learned, and what it has learned: the numbers of its own run."""

from math import inf

import torch
from torch.nn import functional

from residua.diagnostics.case import Case, Examples, answer, run, undisturbed
from residua.studies.trial import Measure, Measurement, Trial
from residua.training.record import Record

_IMAGES = 10_000
_AT_ONCE = 256


def course(trial: Trial) -> Measurement:
    """Returns the final losses and errors, and both by epoch.

    Numbers: ``train_loss`` (mean cross-entropy in nats, no smoothing) and ``train_error`` of the weights that the run
    keeps, in evaluation mode on at most 10,000 training images without augmentation; ``test_loss`` and ``test_error``
    likewise on the test part, and ``gap``, test error − training error, where the set has one; ``seconds`` of training.
    Where a trial diverged, losses and errors are infinite, and the gap is unknown. Series, by epoch:
    ``train_loss`` and ``train_error`` as the steps saw them (He et al. 2015, Fig. 6 draws these), and
    ``validation_error``. Errors are shares between 0 and 1.

    Raises:
        ValueError: If nothing was trained.
    """
    if trial.run is None:
        raise ValueError("a course is of a trial that was trained")
    case = trial.case(_IMAGES)
    loss, error = _asked(case, case.examples)
    numbers = {"train_loss": loss, "train_error": error, "seconds": trial.run.read("run")["seconds"]["training"]}
    kept = trial.run.read("result")["parts"].get("test")
    if kept is not None:
        test_error = 1 - kept["accuracy"]
        numbers |= {"test_loss": kept["uncalibrated"]["loss"], "test_error": test_error, "gap": test_error - error}
    return Measurement(numbers=numbers, series=_by_epoch(trial.run))


COURSE = Measure(
    "course", course, diverged=dict.fromkeys(("train_loss", "train_error", "test_loss", "test_error"), inf)
)


def _by_epoch(record: Record) -> dict[str, tuple[tuple[float, float], ...]]:
    rows = record.epochs()
    series = {
        "train_loss": tuple((float(row["epoch"]), row["train_loss"]) for row in rows),
        "train_error": tuple((float(row["epoch"]), 1 - row["train_accuracy"]) for row in rows),
    }
    if rows[0]["validation_accuracy"] is not None:
        series["validation_error"] = tuple((float(row["epoch"]), 1 - row["validation_accuracy"]) for row in rows)
    return series


def _asked(case: Case, examples: Examples) -> tuple[float, float]:
    """Returns the mean cross-entropy and the share of wrong answers, in evaluation mode."""
    loss, wrong = 0.0, 0
    with undisturbed(case.module) as module, torch.no_grad():
        module.eval()
        for first in range(0, len(examples), _AT_ONCE):
            some = examples.take(slice(first, first + _AT_ONCE))
            logits = answer(run(module, some)).float()
            loss += float(functional.cross_entropy(logits, some.labels, reduction="sum"))
            wrong += int((logits.argmax(1) != some.labels).sum())
    return loss / len(examples), wrong / len(examples)
