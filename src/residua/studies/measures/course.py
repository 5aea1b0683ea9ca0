"""How a trial learned, and what it has learned: the numbers of its own run."""

from math import inf

import torch
from torch.nn import functional

from residua.diagnostics.case import Case, Examples, answer, run, undisturbed
from residua.studies.trial import Measure, Measurement, Trial
from residua.training.record import Record

_IMAGES = 10_000
_AT_ONCE = 256
_CHANCE = 0.9
"""Error of a network that answers at random among ten classes."""


def course(trial: Trial) -> Measurement:
    """Returns the final losses and errors, and both by epoch.

    Numbers: ``train_loss`` (mean cross-entropy in nats, no smoothing) and ``train_error`` of the weights that the run
    keeps, in evaluation mode on at most 10,000 training images without augmentation; ``test_loss`` and ``test_error``
    likewise on the test part; ``gap``, test error − training error; ``seconds`` of training. Series, by epoch:
    ``train_loss`` and ``train_error`` as the steps saw them (He et al. 2015, Fig. 6 draws these), and
    ``validation_error``. Errors are shares between 0 and 1.

    Raises:
        ValueError: If nothing was trained.
    """
    if trial.run is None:
        raise ValueError("a course is of a trial that was trained")
    case = trial.case(_IMAGES)
    loss, error = _asked(case, case.examples)
    kept = trial.run.read("result")["parts"]["test"]
    test_error = 1 - kept["accuracy"]
    return Measurement(
        numbers={
            "train_loss": loss,
            "train_error": error,
            "test_loss": kept["uncalibrated"]["loss"],
            "test_error": test_error,
            "gap": test_error - error,
            "seconds": trial.run.read("run")["seconds"]["training"],
        },
        series=_by_epoch(trial.run),
    )


COURSE = Measure(
    "course",
    course,
    diverged={
        "train_loss": inf,
        "train_error": _CHANCE,
        "test_loss": inf,
        "test_error": _CHANCE,
        "gap": 0.0,
    },
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
