"""Figures with a horizontal axis: a quantity over the arms, and a series of each trial over its own x."""

from collections.abc import Mapping, Sequence

from matplotlib.ticker import NullLocator

from residua.report.study_axes import (
    DASHED,
    DOTTED,
    Drawn,
    Points,
    colours_of,
    group_of,
    middle_and_range,
    name_ends,
    widths_of,
)
from residua.report.study_words import quantity_said, said
from residua.report.style import PALETTE, legend, logarithmic, whole_numbers


def lines(drawn: Drawn) -> None:
    """Draws a quantity over the arms' x: a line a group through the means, every seed a dot, the second dashed."""
    _dress(drawn)
    colours = {group_of(arm): colours_of(drawn.arms)[arm.name] for arm in drawn.arms}
    ends = {}
    for group, colour in colours.items():
        predicted = _over_arms(drawn, group, drawn.spec.prediction)
        _thin(drawn, _means(predicted))
        if second := _over_arms(drawn, group, drawn.spec.second):
            _dots(drawn, second, colour, hollow=True)
            drawn.axes.plot(*zip(*_means(second), strict=True), color=colour, linestyle=DASHED, linewidth=1.6)
        if first := _over_arms(drawn, group, drawn.spec.quantity):
            _dots(drawn, first, colour)
            drawn.axes.plot(*zip(*_means(first), strict=True), color=colour, linewidth=2.0)
            ends[group] = _means(first)[-1]
    places = sorted({arm.x for arm in drawn.arms if arm.x is not None})
    drawn.axes.set_xticks(places, [f"{x:g}" for x in places])
    drawn.axes.xaxis.set_minor_locator(NullLocator())
    _finish(drawn, ends, colours)


def course(drawn: Drawn) -> None:
    """Draws a series over its own x: the median over the seeds and their range, arms by colour, the second dashed."""
    _dress(drawn)
    colours, widths = colours_of(drawn.arms), widths_of(drawn.arms)
    ends = {}
    for arm in drawn.arms:
        name = arm.name
        _thin(drawn, _medians(drawn.series(name, drawn.spec.prediction)))
        if second := _medians(drawn.series(name, drawn.spec.second)):
            drawn.axes.plot(
                *zip(*second, strict=True), color=colours[name], linestyle=DASHED, linewidth=0.75 * widths[name]
            )
        rows = middle_and_range(drawn.series(name, drawn.spec.quantity))
        if rows:
            x, middle, low, high = zip(*rows, strict=True)
            drawn.axes.fill_between(x, low, high, color=colours[name], alpha=0.16, linewidth=0)
            marker = "o" if len(x) == 1 else ""
            drawn.axes.plot(x, middle, color=colours[name], linewidth=widths[name], marker=marker)
            ends[name] = (x[-1], middle[-1])
    _finish(drawn, ends, colours)


def _dress(drawn: Drawn) -> None:
    axes, spec = drawn.axes, drawn.spec
    axes.set_ylabel(said(spec.y, drawn.language), parse_math=False)
    if spec.x is not None:
        axes.set_xlabel(said(spec.x, drawn.language), parse_math=False)
    if spec.log_y:
        logarithmic(axes)
    if spec.log_x:
        axes.set_xscale("log")


def _finish(drawn: Drawn, ends: Mapping[str, tuple[float, float]], colours: Mapping[str, str]) -> None:
    """Explains dashes and thin lines, and names every line at its end."""
    axes, spec, soft = drawn.axes, drawn.spec, PALETTE["soft"]
    band = f" ({drawn.said('median')})" if spec.kind == "course" and len(drawn.results.seeds) > 1 else ""
    if spec.second or band:
        axes.plot([], [], color=soft, linewidth=2.0, label=quantity_said(spec.quantity, drawn.language) + band)
    if spec.second:
        axes.plot([], [], color=soft, linewidth=1.6, linestyle=DASHED, label=quantity_said(spec.second, drawn.language))
    if spec.prediction:
        axes.plot([], [], color=PALETTE["ink"], linewidth=1.0, linestyle=DOTTED, label=drawn.said("predicted"))
    if spec.kind == "course" and not spec.log_x and ends and all(float(x).is_integer() for x, _ in ends.values()):
        whole_numbers(axes)
    legend(axes, side="left")
    axes.autoscale_view()
    name_ends(axes, ends, colours)


def _over_arms(drawn: Drawn, group: str, quantity: str) -> list[tuple[float, list[float]]]:
    """Returns the x of each of a group's arms that has the quantity, and its values, by x."""
    arms = [arm for arm in drawn.arms if group_of(arm) == group and arm.x is not None]
    found = [(arm.x, drawn.values(arm.name, quantity)) for arm in arms if arm.x is not None]
    return sorted((x, values) for x, values in found if values)


def _means(rows: Sequence[tuple[float, list[float]]]) -> Points:
    return [(x, sum(values) / len(values)) for x, values in rows]


def _medians(several: Sequence[Points]) -> Points:
    return [(x, middle) for x, middle, _, _ in middle_and_range(several)]


def _dots(drawn: Drawn, rows: Sequence[tuple[float, list[float]]], colour: str, *, hollow: bool = False) -> None:
    points = [(x, value) for x, values in rows for value in values]
    face = PALETTE["paper"] if hollow else colour
    drawn.axes.plot(
        *zip(*points, strict=True), linestyle="", marker="o", markersize=4.2, color=colour, markerfacecolor=face
    )


def _thin(drawn: Drawn, points: Points) -> None:
    if points:
        drawn.axes.plot(*zip(*points, strict=True), color=PALETTE["ink"], linewidth=1.0, linestyle=DOTTED, zorder=4)
