"""Which colour and which height a loss has: one scale for all surfaces that stand beside each other."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, log10
from typing import final

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import LogNorm, Normalize, to_hex
from matplotlib.ticker import MaxNLocator

from residua.report.numbers import measure, percent

COLOURS = "viridis"
"""Perceptually uniform, and read alike by who cannot tell red from green."""
INFINITE = "#d9782d"
"""No colour of the map; can be told from it on light and on dark paper."""
ON_DARK, ON_BRIGHT = "#ffffff", "#10161c"
"""Lines and letters on a map’s colours, which are the same on light and on dark paper."""
_KEPT_BELOW = 0.97
"""Quantile of the cells above which the scale is cut where the rest lies more than ten times as high."""
_DECADES_BELOW_MEDIAN = 6
_MOST_LEVELS = 9

Array = np.ndarray


@final
@dataclass(frozen=True, kw_only=True)
class Scale:
    """A range of losses; what lies outside is drawn at its end, and said."""

    low: float
    high: float
    logarithmic: bool
    above: float = 0.0
    """Share of the computed cells above ``high``, infinite ones apart, 0 to 1."""
    below: float = 0.0

    @property
    def norm(self) -> Normalize:
        """Returns what gives a loss its place among the colours."""
        return (LogNorm if self.logarithmic else Normalize)(self.low, self.high, clip=True)

    @property
    def clipped(self) -> tuple[str, ...]:
        """Says how many cells are drawn at an end of the scale: ``above 1,000: 12 % of cells``."""
        ends = (("above", self.high, self.above), ("below", self.low, self.below))
        return tuple(f"{word} {level_text(end)}: {percent(share)} of cells" for word, end, share in ends if share > 0)

    def inside(self, loss: Array) -> Array:
        """Returns losses within the scale, and NaN where one is missing or infinite."""
        return np.where(np.isfinite(loss), np.clip(loss, self.low, self.high), np.nan)

    def heights(self, loss: Array) -> Array:
        """Returns where losses stand on an axis that is even in this scale: their decimal logarithms, or themselves."""
        inside = self.inside(loss)
        return np.log10(inside) if self.logarithmic else inside

    def colour(self, loss: float | int) -> str:
        """Returns the colour of a loss."""
        return to_hex(colormaps[COLOURS](float(self.norm(loss))))

    def levels(self, most: int = _MOST_LEVELS) -> tuple[float, ...]:
        """Returns round losses within the scale, rising: as many as are told apart."""
        if not self.logarithmic:
            ticks = MaxNLocator(most - 1, steps=[1, 2, 2.5, 5, 10]).tick_values(self.low, self.high)
            return tuple(float(tick) for tick in ticks if self.low < tick < self.high)
        first, last = floor(log10(self.low)), ceil(log10(self.high))
        for within in ((1, 2, 3, 5), (1, 2, 5), (1, 3), (1,)):
            found = [digit * 10.0**decade for decade in range(first, last + 1) for digit in within]
            inside = tuple(level for level in found if self.low < level < self.high)
            if len(inside) <= most:
                return inside
        return inside[:: ceil(len(inside) / most)]


def level_text(level: float) -> str:
    """Writes a round loss without needless digits: ``0.3``, ``1,000``, ``1e6``."""
    return f"{level:,.6g}".replace("-", "−") if 1e-3 <= abs(level) < 1e6 or not level else measure(level)


def scale_of(losses: Sequence[Array]) -> Scale:
    """Returns the scale of several surfaces: logarithmic where their losses span more than a decade.

    It reaches from the smallest loss to the largest. It is cut at the 0.97th quantile of all cells, rounded up, where
    the rest reaches beyond ten times that; and six decades below the median, where a loss is next to 0.
    """
    known = np.concatenate([one[np.isfinite(one)].ravel() for one in losses])
    if not len(known):
        return Scale(low=0.0, high=1.0, logarithmic=False)
    positive = known[known > 0]
    logarithmic = bool(known.min() >= 0 and len(positive) and known.max() > 10 * positive.min())
    low, high = _logarithmic_ends(positive) if logarithmic else _linear_ends(known)
    return Scale(
        low=low,
        high=high,
        logarithmic=logarithmic,
        above=float(np.mean(known > high)),
        below=float(np.mean(known < low)),
    )


def _logarithmic_ends(losses: Array) -> tuple[float, float]:
    high, trimmed = float(losses.max()), float(np.quantile(losses, _KEPT_BELOW))
    low = max(float(losses.min()), float(np.median(losses)) * 10.0**-_DECADES_BELOW_MEDIAN)
    return low, _rounded_up(trimmed) if high > 10 * trimmed > 10 * low else high


def _linear_ends(losses: Array) -> tuple[float, float]:
    low, high, trimmed = float(losses.min()), float(losses.max()), float(np.quantile(losses, _KEPT_BELOW))
    if high == low:
        return low - 0.5, high + 0.5
    return low, trimmed if trimmed > low and high - low > 10 * (trimmed - low) else high


def _rounded_up(number: float) -> float:
    """Returns the next of 1, 2, 5, 10, 20, … that is not smaller."""
    decade = 10.0 ** floor(log10(number))
    return next(digit * decade for digit in (1, 2, 5, 10) if digit * decade >= number)
