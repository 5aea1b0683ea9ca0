"""The picture of a verdict: the interval of the effect beside the line that was fixed before anything was run.

It is drawn by the page's template from places between 0 and 1, so that it grows with the card it stands in.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import exp, isfinite
from typing import final

from residua.report.study_words import plain
from residua.studies.claim import Claim, Verdict

_ROOM = 0.07
"""Of the axis, beside the outermost number."""
_APART = 0.09
"""Of the axis: nearer labels would run into each other."""


@final
@dataclass(frozen=True)
class Label:
    """A number below the axis."""

    place: float
    text: str


@final
@dataclass(frozen=True, kw_only=True)
class EffectPicture:
    """Places along the axis of the effect, 0 at its left end and 1 at its right."""

    supports: tuple[float, float]
    """Where the whole interval must lie for the claim to be supported."""
    lines: tuple[float, ...]
    """m; or −m and m."""
    zero: float | None
    """None where 0 lies outside the axis."""
    dots: tuple[float, ...]
    """The effect at each seed."""
    mean: float | None
    interval: tuple[float, float] | None
    """To the end of the axis where nothing bounds it; None where nothing bounds it on either side."""
    labels: tuple[Label, ...]


def effect_picture(claim: Claim, verdict: Verdict | None, effects: Iterable[float]) -> EffectPicture:
    """Places a claim's line, its seeds' effects and its interval on one axis that holds them all, and 0.

    An effect that is not finite has no place and is left out.
    """
    dots = [effect for effect in effects if isfinite(effect)]
    mean, low, high = (None, None, None) if verdict is None else (verdict.effect, verdict.low, verdict.high)
    ends = [end for end in (low, high) if end is not None]
    lines = [claim.smallest] if claim.kind == "above" else [-claim.smallest, claim.smallest]
    axis = _Axis.around([0.0, *lines, *dots, *ends, *([mean] if mean is not None else [])])
    first, last = (lines[0], None) if claim.kind == "above" else lines
    return EffectPicture(
        supports=(axis.place(first), 1.0 if last is None else axis.place(last)),
        lines=tuple(map(axis.place, lines)),
        zero=axis.place(0.0),
        dots=tuple(map(axis.place, dots)),
        mean=None if mean is None else axis.place(mean),
        interval=(0.0 if low is None else axis.place(low), 1.0 if high is None else axis.place(high)) if ends else None,
        labels=_labels(axis, [*lines, 0.0], is_log=claim.transform == "log"),
    )


@final
@dataclass(frozen=True)
class _Axis:
    low: float
    high: float

    @classmethod
    def around(cls, numbers: Sequence[float]) -> "_Axis":
        low, high = min(numbers), max(numbers)
        room = _ROOM * (high - low or 1.0)
        return cls(low - room, high + room)

    def place(self, number: float) -> float:
        return (number - self.low) / (self.high - self.low)


def _labels(axis: _Axis, numbers: Sequence[float], *, is_log: bool) -> tuple[Label, ...]:
    """Labels the numbers in their order of importance, logarithms as factors; none runs into another."""
    kept: list[Label] = []
    for number in numbers:
        place = axis.place(number)
        if all(abs(place - other.place) >= _APART for other in kept):
            kept.append(Label(place, f"×{plain(exp(number))}" if is_log else plain(number)))
    return tuple(kept)
