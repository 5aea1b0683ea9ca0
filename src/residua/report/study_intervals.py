"""The figure of arms compared by one number: each seed a dot, the mean with its interval."""

import math
from collections.abc import Sequence

from residua.report.study_axes import Drawn, colours_of
from residua.report.study_words import quantity_said, said
from residua.report.style import PALETTE, legend
from residua.studies.statistics import estimate

_DOT = 4.6
_LARGEST = 700.0
"""Whose exponential is still a number."""
_SECOND_BELOW = 0.3
"""Of a row, by which the second quantity lies below the first."""


def intervals(drawn: Drawn) -> None:
    """Draws a quantity arm by arm: each seed a dot, the mean with its 95 % interval, the source's number a diamond.

    On a logarithmic axis mean and interval are those of the logarithms, as claims on such a quantity take them.
    A second quantity lies below the first, its dots hollow; a prediction is a thin upright line.
    """
    axes, spec, colours = drawn.axes, drawn.spec, colours_of(drawn.arms)
    _dress(drawn)
    for row, arm in enumerate(drawn.arms):
        _spread(drawn, row, drawn.values(arm.name, spec.quantity), colours[arm.name])
        if spec.second:
            _spread(drawn, row + _SECOND_BELOW, drawn.values(arm.name, spec.second), colours[arm.name], hollow=True)
        if predicted := drawn.values(arm.name, spec.prediction):
            axes.vlines(_mean(predicted), row - 0.38, row + 0.38, color=PALETTE["ink"], linewidth=1.0, zorder=4)
        if arm.name in spec.published:
            axes.plot(
                spec.published[arm.name], row, "D", color=PALETTE["ink"], markerfacecolor="none", markersize=7, zorder=5
            )
    _explain(drawn)


def _dress(drawn: Drawn) -> None:
    axes, arms = drawn.axes, drawn.arms
    axes.set_yticks(range(len(arms)), [arm.name for arm in arms], parse_math=False)
    axes.tick_params(axis="y", length=0, labelcolor=PALETTE["ink"])
    axes.set_ylim(len(arms) - 0.4, -0.6)
    axes.yaxis.grid(visible=False)
    axes.xaxis.grid(visible=True, color=PALETTE["rule"], linewidth=0.6)
    axes.set_xlabel(said(drawn.spec.y, drawn.language), parse_math=False)
    if drawn.spec.log_y:
        axes.set_xscale("log")


def _spread(drawn: Drawn, row: float | int, values: Sequence[float], colour: str, *, hollow: bool = False) -> None:
    """Draws one arm's seeds along a row, their mean and its interval; the geometric mean's on a logarithmic axis."""
    if not values:
        return
    axes, (low, middle, high) = drawn.axes, spread_of(values, log=drawn.spec.log_y)
    if len(values) > 1:
        axes.plot([low, high], [row, row], color=colour, linewidth=6, alpha=0.3, solid_capstyle="butt")
    axes.plot([middle, middle], [row - 0.17, row + 0.17], color=colour, linewidth=2.2, solid_capstyle="butt")
    face = PALETTE["paper"] if hollow else colour
    axes.plot(values, [row] * len(values), "o", color=colour, markerfacecolor=face, markersize=_DOT, zorder=3)


def spread_of(values: Sequence[float], *, log: bool) -> tuple[float, float, float]:
    """Returns the interval's lower end, the mean and the upper end, of the values or by way of their logarithms."""
    found = estimate([math.log(value) for value in values] if log else values)
    ends = found.low, found.mean, found.high
    low, mean, high = (math.exp(max(-_LARGEST, min(_LARGEST, end))) for end in ends) if log else ends
    return low, mean, high


def _explain(drawn: Drawn) -> None:
    """Says above the axes what dots, diamonds and lines are."""
    axes, spec, soft = drawn.axes, drawn.spec, PALETTE["soft"]
    each = drawn.said("each seed in logarithms" if spec.log_y else "each seed")
    name = quantity_said(spec.quantity, drawn.language) if spec.second else each
    axes.plot([], [], "o", color=soft, markersize=_DOT, label=name)
    if spec.second:
        second = quantity_said(spec.second, drawn.language)
        axes.plot([], [], "o", color=soft, markerfacecolor=PALETTE["paper"], markersize=_DOT, label=second)
    if spec.prediction:
        axes.plot([], [], "|", color=PALETTE["ink"], markersize=11, label=drawn.said("predicted"))
    if spec.published:
        axes.plot(
            [], [], "D", color=PALETTE["ink"], markerfacecolor="none", markersize=6, label=drawn.said("published")
        )
    legend(axes, side="left")


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
