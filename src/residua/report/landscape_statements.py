"""What a surface and a curvature say, in sentences."""

from collections.abc import Iterator
from math import isnan

from residua.diagnostics.curvature.curvature import Curvature
from residua.diagnostics.landscape.comparison import STATISTICS
from residua.diagnostics.landscape.surface import Cells, Surface
from residua.report.landscape_notes import KINDS
from residua.report.numbers import count, duration, images, measure, percent
from residua.report.section import plural, spread


def surface_says(surface: Surface) -> tuple[str, ...]:
    """Returns what was measured, the four numbers, and what keeps the centre from being a minimum."""
    first = surface.cells[0]
    return (f"{_measured(surface, first)} {_centre(first)}", *_numbers(surface), *_no_minimum(surface))


def progress_says(done: float, seconds_left: float | None) -> str:
    """Says how much of a surface is computed: ``62.0 % of the cells are computed, about 40 s left``."""
    left = "" if seconds_left is None else f", about {duration(seconds_left)} left"
    return f"{percent(done)} of the cells are computed{left}"


def size(surface: Surface) -> str:
    """Returns how many networks a surface holds: ``25 × 25``, or ``61`` of a line."""
    rows, columns = surface.grid.shape
    return count(columns) if rows == 1 else f"{columns} × {rows}"


def curvature_says(found: Curvature) -> str:
    """Says the largest and the lowest eigenvalue, the trace, and how much of the spectrum is negative."""
    said = (
        f"The largest eigenvalue of the Hessian is {spread(found.top[0])} over {plural(found.draws, 'draw')} of "
        f"{images(found.images)}, the most negative {spread(found.lowest)}, the trace {spread(found.trace)}."
    )
    if found.density is None:
        return said
    return f"{said} {percent(found.density.negative)} of the spectrum’s mass is below zero."


def trail_says(surface: Surface) -> str:
    """Says how much of the training path the plane holds, and how far projected losses are from the true ones."""
    trail = surface.trail
    if trail is None:
        return ""
    ratios = [shown / true for shown, true in zip(trail.projected_loss, trail.true_loss, strict=True) if true > 0]
    worst = max(ratios, key=lambda ratio: max(ratio, 1 / ratio) if ratio > 0 else float("inf"), default=1.0)
    return (
        f"{percent(sum(trail.explained))} of the path’s variance lies in the plane. The loss of a point’s projection "
        f"is not its own: at worst it is {measure(worst)} times as large."
    )


def _measured(surface: Surface, first: Cells) -> str:
    where = "line" if len(surface.grid.axes) == 1 else "plane"
    return (
        f"The loss of {size(surface)} networks on a {where} through the weights of {surface.name}, "
        f"on {images(first.images, KINDS.get(first.part, first.part))}, with {STATISTICS[surface.policy]}."
    )


def _centre(first: Cells) -> str:
    centre = first.centre
    wrong = "" if centre.error is None else f", {percent(centre.error, first.images)} of the images are wrong"
    return f"The network itself, at the centre, has a loss of {measure(centre.loss)}{wrong}."


def _numbers(surface: Surface) -> Iterator[str]:
    found = surface.numbers
    if found is None:
        return
    curved = "" if found.non_convex is None else f", and {percent(found.non_convex)} of the plane is not convex"
    yield (
        f"The median loss is {measure(found.median)}; {percent(found.near)} of the cells are within 1 of the centre’s "
        f"loss{curved}{'' if isnan(found.roughness) else f'; roughness {measure(found.roughness)}'}."
    )


def _no_minimum(surface: Surface) -> Iterator[str]:
    for one in surface.cells:
        if one.part == "train" and not one.centre.is_minimum:
            yield f"The centre is {one.centre.says}."
