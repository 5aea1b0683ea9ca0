"""Whether a run's training loss had stopped falling, so that more epochs would not change who is ahead by much.

Notation: T epochs; the last fifth is T/5 of them.
"""

from collections.abc import Mapping, Sequence
from math import ceil, isfinite
from statistics import median
from typing import Any

from scipy.stats import theilslopes

STILL_FALLS = 0.005
"""Fall over the last fifth, as a part of the loss there, from which a run counts as not converged. On digits plain-56
fell by 0.009 at the end of 15 epochs, and 40 epochs gave a loss lower by 15 % (``docs/statistics.md``)."""
FEWEST_EPOCHS = 5
"""In the fit, and in a run of which anything can be said."""


def is_converged(losses: Sequence[float]) -> bool:
    """Says whether a training loss, one number an epoch, had stopped falling.

    A robust line (Theil–Sen) through the last fifth, or the last `FEWEST_EPOCHS` where that is more, has to fall by
    `STILL_FALLS` of the loss in T/5 epochs, and three to one against noise (the slope's 50 % interval lies below 0),
    to count as falling: no stricter, for to call a run converged that is not would say more than is known. Of
    fewer epochs, or with a loss that is not finite, nothing is known, which counts as not converged.
    """
    last = _last(losses)
    if len(last) < FEWEST_EPOCHS or not all(isfinite(one) for one in last):
        return False
    return relative_fall(losses) <= STILL_FALLS or _slope(last)[1] >= 0


def relative_fall(losses: Sequence[float]) -> float:
    """Returns by which part of itself the loss falls over the last fifth of its epochs, by the line; below 0 it rises.

    Five epochs at least.
    """
    last = _last(losses)
    level = median(last)
    return -_slope(last)[0] * len(losses) / 5 / level if level > 0 else 0.0


def losses_of(rows: Sequence[Mapping[str, Any]]) -> tuple[float, ...]:
    """Returns the training losses of the rows of ``metrics.jsonl`` (`residua.training.record.Record.epochs`)."""
    return tuple(float(row["train_loss"]) for row in rows)


def _last(losses: Sequence[float]) -> list[float]:
    """Returns the last fifth, or the last `FEWEST_EPOCHS` where that is more."""
    return [float(one) for one in losses[-max(FEWEST_EPOCHS, ceil(len(losses) / 5)) :]]


def _slope(values: list[float]) -> tuple[float, float]:
    """Returns the Theil–Sen slope an epoch, and the upper end of its 50 % interval."""
    found: Any = theilslopes(values, alpha=0.5)
    return float(found.slope), float(found.high_slope)
