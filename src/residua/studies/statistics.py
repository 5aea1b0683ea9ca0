"""The interval of a mean over few seeds, and how large a difference so few could have shown; functions of floats.

Notation: d_1 … d_n are effects, one a seed, each already paired across arms; s is their standard deviation, with n − 1
in its denominator; t_p(ν) is Student's quantile. Nothing here draws: below 10 numbers a bootstrap's intervals are too
narrow, and above it Student's has been measured to hold (``docs/statistics.md``).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import exp, inf, isinf, isnan, nan
from statistics import fmean, stdev
from typing import Any, final

from scipy.optimize import brentq
from scipy.special import stdtrit
from scipy.stats import nct

CONFIDENCE = 0.95
"""Of every interval; each of its ends errs in half of what is left."""
POWER = 0.8
"""With which a difference counts as one that so many seeds could have shown."""
_MOST = 700.0
"""Of a logarithm that a float has a ratio for."""


@final
@dataclass(frozen=True, kw_only=True)
class Estimate:
    """The mean of a few effects, and where the true mean lies."""

    n: int
    mean: float
    """Of the effects, each infinite one counted as the most extreme finite one on its side."""
    deviation: float
    """s; NaN for fewer than two finite effects, 0 where all are the same."""
    low: float
    high: float
    """Ends of the interval; infinite where nothing bounds the mean on that side."""


def ratio(logarithm: float) -> float:
    """Returns the ratio that a natural logarithm stands for; ∞ where no float holds it."""
    return exp(logarithm) if logarithm < _MOST else inf


def estimate(effects: Sequence[float]) -> Estimate:
    """Returns mean ± t_(1+γ)/2(n − 1) · s/√n with γ = `CONFIDENCE` (Student 1908), for any effects.

    One effect has no spread, and its interval is the whole line. Effects that are all the same have an interval of no
    width, and decide. An infinite effect, of an arm that diverged, is beyond every finite one, and by how much nobody
    knows: the interval reaches to infinity on its side; for the other end it counts as the most extreme finite effect,
    so that it neither pulls that end down nor widens the spread without bound. A single finite effect beside infinite
    ones has no spread, and leaves the whole line; where every effect of two or more is infinite on one side, so are
    both ends. A NaN, or infinite effects on both sides, leaves the whole line.

    Raises:
        ValueError: If there is no effect.
    """
    if not effects:
        raise ValueError("an interval needs one effect at least")
    n, finite = len(effects), [one for one in effects if not (isinf(one) or isnan(one))]
    sides = {one for one in effects if isinf(one)}
    if len(sides) > 1 or any(isnan(one) for one in effects):
        return Estimate(n=n, mean=fmean(finite) if finite else nan, deviation=nan, low=-inf, high=inf)
    if not finite:
        (side,) = sides
        return Estimate(n=n, mean=side, deviation=nan, low=side if n > 1 else -inf, high=side if n > 1 else inf)
    if len(finite) == 1:
        return Estimate(n=n, mean=finite[0], deviation=nan, low=-inf, high=inf)
    lowest, highest = min(finite), max(finite)
    mean, deviation, half = _student([min(max(one, lowest), highest) for one in effects])
    low, high = -inf if -inf in sides else mean - half, inf if inf in sides else mean + half
    return Estimate(n=n, mean=mean, deviation=deviation, low=low, high=high)


def detectable(n: int, deviation: float) -> float | None:
    """Returns the difference that n seeds of this spread would have shown four times in five: λ s/√n.

    λ solves P(T > t_(1+γ)/2(n − 1)) = `POWER`, T being noncentral t with n − 1 degrees of freedom and noncentrality λ:
    the mean lies λ s/√n beyond the smallest effect that matters, and the interval wholly beyond it. λ/√n is 11.5 for 2
    seeds, 3.3 for 3, 1.7 for 5, 1.0 for 10. None where there is no spread to go by: one seed, or a NaN.
    """
    if n < 2 or isnan(deviation):
        return None
    return _noncentrality(n) * deviation / n**0.5


@final
@dataclass(frozen=True, kw_only=True)
class Summary:
    """What a paper prints of several runs."""

    mean: float
    deviation: float | None
    """None where the paper prints none."""
    n: int


def difference(one: Summary, other: Summary) -> Estimate | None:
    """Returns the difference of two means whose runs are not paired, by Welch's interval (1947).

    Where one of both has no spread, one run, or runs of which only the middle is printed, it is taken to be one run
    with the spread of the other: an assumption, which whoever prints the interval has to say. None where neither has a
    spread: then nothing can be said.
    """
    if one.deviation is None and other.deviation is None:
        return None
    parts = []
    for this, that in ((one, other), (other, one)):
        known = this if this.deviation is not None else that
        assert known.deviation is not None
        parts.append((known.deviation**2 / (this.n if this is known else 1), known.n - 1, this is known))
    variance = sum(part for part, _, _ in parts)
    own = [(part, freedom) for part, freedom, is_own in parts if is_own]
    freedom = variance**2 / sum(part**2 / nu for part, nu in own) if len(own) == 2 else own[0][1]
    half, mean = float(stdtrit(freedom, (1 + CONFIDENCE) / 2)) * variance**0.5, one.mean - other.mean
    return Estimate(n=min(one.n, other.n), mean=mean, deviation=nan, low=mean - half, high=mean + half)


def quantile(n: int) -> float:
    """Returns t_(1+γ)/2(n − 1)."""
    return float(stdtrit(n - 1, (1 + CONFIDENCE) / 2))


def _student(values: Sequence[float]) -> tuple[float, float, float]:
    """Returns mean, s and half the interval's width, of two values at least."""
    mean = fmean(values)
    deviation = 0.0 if min(values) == max(values) else stdev(values)  # exactly: equal values may have a rounded mean
    return mean if deviation else values[0], deviation, quantile(len(values)) * deviation / len(values) ** 0.5


@cache
def _noncentrality(n: int) -> float:
    edge = quantile(n)

    def missing(shift: float) -> float:
        return float(nct.sf(edge, n - 1, shift)) - POWER

    found: Any = brentq(missing, 0.0, 10 * edge, xtol=1e-9)
    return float(found)
