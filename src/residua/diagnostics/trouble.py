"""The first signs that a training goes wrong, read off the samples of a watch.

Where one sample may stray, a sign asks for `LASTING` in a row, and its step is the first of these. The thresholds are
far from what healthy runs show: there a block moves by up to a third of itself in a first step (Muon, ``fast``).
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from statistics import median
from typing import Any, Literal, final

from residua.diagnostics.motion import BlockMotion, Sample

LASTING = 5
"""Samples in a row."""
TOO_FAR = 0.5
"""Update-to-weight ratio: what moves by half of itself, step after step, keeps nothing of what it has learned."""
TOO_LITTLE = 1e-7
"""Update-to-weight ratio: below the spacing of float32 numbers, 2⁻²³, most of the update is rounded away."""
AT_FULL_RATE = 0.01
"""Of the largest learning rate: what stands still below it does so by the schedule."""
GROWS = 1000.0
"""Times the median norm of the gradient in the first samples, at least two: above what learning itself changes."""

Rule = Literal["gradient not finite", "no gradient", "gradient grows", "moves too far", "does not move"]
_SAYS: dict[Rule, str] = {
    "gradient not finite": "the gradient is no finite number",
    "no gradient": "no gradient arrives",
    "gradient grows": f"the gradient is over {GROWS:,.0f} times what it began with",
    "moves too far": f"a step moves the weights by more than {TOO_FAR:g} of their norm",
    "does not move": f"a step moves the weights by less than {TOO_LITTLE:g} of their norm",
}
_Seen = tuple[int, float | None, BlockMotion]
"""Step, learning rate over the largest, and the block."""


@final
@dataclass(frozen=True, kw_only=True)
class Sign:
    """A block's first sample of one kind of trouble."""

    step: int
    block: str
    rule: Rule

    @property
    def says(self) -> str:
        """Returns the sign as one line."""
        return f"step {self.step:,}: {_SAYS[self.rule]} in {self.block}"

    def to_json(self) -> dict[str, Any]:
        """Returns the sign as plain values."""
        return asdict(self)


def signs(samples: Sequence[Sample]) -> tuple[Sign, ...]:
    """Returns each block's first sign of each kind, the earliest first, then in the order of the blocks."""
    top = max((sample.learning_rate or 0.0 for sample in samples), default=0.0)
    seen: dict[str, list[_Seen]] = {}
    for sample in samples:
        rate = sample.learning_rate / top if sample.learning_rate is not None and top else None
        for one in sample.blocks:
            seen.setdefault(one.block, []).append((sample.step, rate, one))
    found = [
        Sign(step=step, block=block, rule=rule)
        for block, rows in seen.items()
        for rule, look in _RULES.items()
        if (step := look(rows)) is not None
    ]
    return tuple(sorted(found, key=lambda sign: sign.step))


def first_sign(found: Sequence[Sign]) -> str:
    """Says the first sign of trouble in one line, with how many blocks show it at that step; empty without one."""
    if not found:
        return ""
    first = found[0]
    others = sum((sign.step, sign.rule) == (first.step, first.rule) for sign in found) - 1
    return first.says + (f" and {others} other block{'s' if others > 1 else ''}" if others else "")


def _lasting(rows: Sequence[_Seen], bad: Callable[[_Seen], bool]) -> int | None:
    """Returns the first step of the first stretch that is long enough."""
    for is_bad, stretch in groupby(rows, key=bad):
        steps = [step for step, _, _ in stretch]
        if is_bad and len(steps) >= LASTING:
            return steps[0]
    return None


def _not_finite(rows: Sequence[_Seen]) -> int | None:
    return next((step for step, _, one in rows if one.gradient is None), None)


def _no_gradient(rows: Sequence[_Seen]) -> int | None:
    """It lasts to the end, and for longer than any pause before: stochastic depth leaves a block out now and then."""
    stretches = [
        (is_zero, [step for step, _, _ in stretch])
        for is_zero, stretch in groupby(rows, lambda row: row[2].gradient == 0)
    ]
    is_zero, last = stretches[-1]
    pause = max((len(steps) for was_zero, steps in stretches[:-1] if was_zero), default=0)
    return last[0] if is_zero and len(last) >= max(LASTING, 2 * pause) else None


def _grows(rows: Sequence[_Seen]) -> int | None:
    """What began without a gradient, as below a head of zeros, has nothing to compare with."""
    known = [(step, one.gradient) for step, _, one in rows if one.gradient]
    if rows[0][2].gradient == 0:
        return None
    first = [norm for _, norm in known[:LASTING]]
    return next((step for i, (step, norm) in enumerate(known) if i > 1 and norm > GROWS * median(first[:i])), None)


def _too_far(rows: Sequence[_Seen]) -> int | None:
    """What began at 0, as a head may, moves far beyond itself at first."""
    began_at_zero = rows[0][2].weights == 0
    return None if began_at_zero else _lasting(rows, lambda row: (row[2].ratio or 0.0) > TOO_FAR)


def _too_little(rows: Sequence[_Seen]) -> int | None:
    def stands(row: _Seen) -> bool:
        _, rate, one = row
        return (
            bool(one.gradient)
            and one.ratio is not None
            and one.ratio < TOO_LITTLE
            and rate is not None
            and (rate >= AT_FULL_RATE)
        )

    return _lasting(rows, stands)


_RULES: dict[Rule, Callable[[Sequence[_Seen]], int | None]] = {
    "gradient not finite": _not_finite,
    "no gradient": _no_gradient,
    "gradient grows": _grows,
    "moves too far": _too_far,
    "does not move": _too_little,
}
