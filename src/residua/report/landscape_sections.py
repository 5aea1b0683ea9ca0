"""The sections of a landscape's page, in the order in which they are read."""

from collections.abc import Iterator, Sequence

from residua.diagnostics.curvature.curvature import Curvature
from residua.diagnostics.landscape.comparison import QUANTITIES, STATISTICS, Comparison, Quantity, rougher
from residua.diagnostics.landscape.numbers import confidence
from residua.diagnostics.landscape.surface import Numbers, Surface
from residua.diagnostics.measured import Measured
from residua.report import curvature_figures, landscape_lines, landscape_maps
from residua.report.landscape_marks import Panel
from residua.report.landscape_notes import KINDS, axis_label
from residua.report.landscape_statements import curvature_says, size, trail_says
from residua.report.numbers import count, duration, images, measure, percent
from residua.report.section import Drawing, Rows, Section, plural, spread

MEANINGS = {
    "median loss": "half of the cells have a smaller one",
    "cells near the centre’s loss": "share of cells whose loss is within 1 of the centre’s",
    "non-convex cells": "share of the plane’s cells with a negative eigenvalue in the plane",
    "roughness": "how far lines of the map go up and down beside one fall and one rise, over their range",
}


def surface_drawings(panels: Sequence[Panel]) -> tuple[Drawing, ...]:
    """Returns the page's first figure: contours of planes, curves of lines."""
    if not panels:
        return ()
    if all(len(panel.surface.grid.axes) == 2 for panel in panels):
        label = "The loss as contours over the plane, on one scale"
        return (
            Drawing(name="contours", draw=lambda: landscape_maps.contours(panels), label=label, wide=len(panels) > 1),
        )
    surfaces = list({id(panel.surface): panel.surface for panel in panels}.values())
    return tuple(_line(surface, number) for number, surface in enumerate(surfaces, 1))


def comparison_section(found: Comparison) -> Section:
    """Says by which numbers the twins differ, under each policy."""
    draws = sorted({len(row.seeds) for row in found.rows})
    return Section(
        name="twins",
        title="The twins in numbers",
        says="Both networks in the same numbers, along the same directions; the rougher is named only where every draw "
        "of the directions agrees.",
        caption=" ".join((_over(draws), *_grids(found), *_without_hessian(found))),
        tables=tuple(_twin_rows(found, policy) for policy in found.policies),
    )


def numbers_section(surface: Surface, numbers: Numbers) -> Section:
    """Says the surface in four numbers."""
    cells = tuple(
        (quantity.name, _amount(quantity, value), MEANINGS[quantity.name])
        for quantity in QUANTITIES
        if (value := quantity.of(numbers)) is not None
    )
    return Section(
        name="numbers",
        title="The surface in numbers",
        says="",
        caption=f"Over {size(surface)} cells on the {surface.cells[0].images:,} images that are drawn first.",
        tables=(Rows(caption="", columns=("number", "value", "what it is"), cells=cells, folded=False),),
    )


def maps_section(panels: Sequence[Panel]) -> Section:
    """Shows the cells as they were measured, and the errors."""
    label = "The loss of every cell on one scale, nothing between cells"
    drawings = [Drawing(name="cells", draw=lambda: landscape_maps.cells(panels), label=label, wide=len(panels) > 1)]
    wrong = [panel for panel in panels if panel.cells.error is not None]
    if wrong:
        label = "Share of images that are wrong, cell by cell"
        drawings.append(
            Drawing(name="errors", draw=lambda: landscape_maps.errors(wrong), label=label, wide=len(wrong) > 1)
        )
    return Section(
        name="cells",
        title="Cell by cell",
        says="What was measured, without anything drawn between the cells.",
        caption="Every cell is one network: the centre’s weights plus its coordinates times the two directions.",
        drawings=tuple(drawings),
    )


def convexity_section(panels: Sequence[Panel]) -> Section:
    """Shows where the surface curves down."""
    planes = [panel.surface.plane for panel in panels if panel.surface.plane is not None]
    grids = " and ".join(sorted({f"{len(plane.columns)} × {len(plane.rows)}" for plane in planes}))
    label = "Smaller eigenvalue of the Hessian within the plane: red below zero, blue above"
    return Section(
        name="convexity",
        title="Where the surface curves down",
        says="Red cells curve down along some direction of the plane. That a cell is blue says nothing of directions "
        "outside the plane.",
        caption=f"Exact Hessian products in float32 at {grids} cells; a line stands between cells of unlike sign. Not "
        "second differences of the map, which rounding would decide.",
        drawings=(
            Drawing(name="convexity", draw=lambda: landscape_maps.convexity(panels), label=label, wide=len(panels) > 1),
        ),
    )


def trail_section(surface: Surface) -> Section | None:
    """Shows the loss along the path of training beside that of its projections."""
    trail = surface.trail
    if trail is None:
        return None
    rows = zip(trail.steps, trail.x, trail.y, trail.true_loss, trail.projected_loss, strict=True)
    cells = tuple((count(step), *map(measure, values)) for step, *values in rows)
    columns = ("step", "x", "y", "loss", "loss of the projection")
    return Section(
        name="trail",
        title="The path of training",
        says=trail_says(surface),
        caption="The network’s own loss in evaluation mode, with its own statistics, beside that at the point of the "
        f"plane which is nearest to it, with {STATISTICS[surface.policy]}.",
        drawings=(
            Drawing(
                name="path",
                draw=lambda: landscape_lines.along_path(trail, surface.loss_name),
                label="Loss over the steps of training, of the network and of its projection into the plane",
            ),
        ),
        tables=(Rows(caption="Every kept point", columns=columns, cells=cells),),
    )


def curvature_section(found: Curvature) -> Section:
    """Shows the Hessian's spectrum."""
    drawings, density = [], found.density
    if density is not None:
        label = "Spectral density of the Hessian on a logarithmic scale, its largest eigenvalues marked"
        drawings.append(
            Drawing(name="density", draw=lambda: curvature_figures.spectral_density(found, density), label=label)
        )
    label = "The largest eigenvalues at every draw of images"
    drawings.append(Drawing(name="eigenvalues", draw=lambda: curvature_figures.over_draws(found), label=label))
    named = [(f"eigenvalue {rank}", one) for rank, one in enumerate(found.top, 1)]
    others = (
        ("most negative eigenvalue", found.lowest),
        ("trace", found.trace),
        ("gradient norm", found.gradient_norm),
    )
    cells = tuple((name, *_three(one)) for name, one in (*named, *others, ("loss", found.loss)))
    return Section(
        name="curvature",
        title="Curvature in all directions",
        says=curvature_says(found),
        caption=f"The Hessian of the mean loss over {images(found.images)} by {count(found.parameters)} parameters, "
        f"batch norms {found.policy}; {plural(found.products, 'exact product')} in {duration(found.seconds)}. The "
        f"trace’s standard error within a draw is {measure(found.trace_error)}. The density is that of the first draw.",
        drawings=tuple(drawings),
        tables=(Rows(caption="Over the draws", columns=("", "median", "smallest", "largest"), cells=cells),),
    )


def making(surface: Surface) -> Rows:
    """Returns how a surface was measured: directions, images, norms, precision, time."""
    return Rows(caption=surface.name, columns=("", "how it was measured"), cells=tuple(_making(surface)), folded=False)


def _making(surface: Surface) -> Iterator[tuple[str, str]]:
    for letter, axis, number in zip("xy", surface.grid.axes, range(2), strict=False):
        reach = f"{measure(axis.values[0])} to {measure(axis.values[-1])}, {plural(len(axis.values), 'point')}"
        yield f"direction {letter}", f"{axis_label(surface, number)}; {reach}"
    yield "loss", surface.loss_name
    for one in surface.cells:
        centre = one.centre
        yield (
            f"{KINDS.get(one.part, one.part)} images",
            f"{count(one.images)}; centre: loss {measure(centre.loss)}, gradient norm {measure(centre.gradient_norm)}, "
            f"{centre.says}",
        )
    yield "norms", f"{STATISTICS[surface.policy]}{_folded(surface)}"
    yield "precision", _precision(surface)
    cells = "all cells" if surface.done == 1 else f"{percent(surface.done)} of the cells"
    yield "time", f"{duration(surface.seconds)} for {cells}"


def _folded(surface: Surface) -> str:
    return f"; {plural(surface.folded, 'norm')} folded into convolutions" if surface.folded else ""


def _precision(surface: Surface) -> str:
    found = surface.precision
    if not found.cells:
        return found.name
    return (
        f"{found.name}; beside float32 on {plural(found.cells, 'cell')} the loss differs by {percent(found.median)} "
        f"(median) and {percent(found.worst)} (worst)"
    )


def _line(surface: Surface, number: int) -> Drawing:
    label = f"The loss of {surface.name} along one direction"
    return Drawing(name=f"line-{number}", draw=lambda: landscape_lines.along_line(surface), label=label)


def _over(draws: Sequence[int]) -> str:
    """Says what the ranges are over, and how surely they hold the median of all directions."""
    sure = f"; with {percent(confidence(draws[0]))} these enclose the median of all directions"
    one = sure if len(draws) == 1 and draws[0] > 1 else ""
    return f"Median over {' or '.join(map(str, draws))} draws of the directions (smallest to largest{one})."


def _without_hessian(found: Comparison) -> Iterator[str]:
    if "recalibrated" in found.policies:
        yield (
            "Statistics that are recalibrated have no Hessian by the weights, so of these no non-convex cells are "
            "counted."
        )


def _grids(found: Comparison) -> Iterator[str]:
    for policy in found.policies:
        row = found.row("residual", policy)
        rows, columns = row.shape
        yield f"With {STATISTICS[policy]}: {columns} × {rows} cells on {images(row.images)}."


def _twin_rows(found: Comparison, policy: str) -> Rows:
    cells = tuple(_twin_cells(found, policy))
    columns = ("number", "residual", "plain", "rougher")
    return Rows(caption=f"With {STATISTICS[policy]}", columns=columns, cells=cells, folded=False)  # type: ignore[index]


def _twin_cells(found: Comparison, policy) -> Iterator[tuple[str, ...]]:
    for quantity in QUANTITIES:
        both = [found.row(twin, policy).measured(quantity) for twin in ("residual", "plain")]
        if any(one is not None for one in both):
            yield (
                quantity.name,
                *(_spread(quantity, one) for one in both),
                rougher(found, policy, quantity) or "undecided",
            )


def _spread(quantity: Quantity, one: Measured | None) -> str:
    if one is None or not _is_share(quantity):
        return spread(one)
    middle, low, high = (percent(value) for value in (one.median, one.low, one.high))
    return middle if len(one.values) == 1 else f"{middle} ({low} to {high})"


def _amount(quantity: Quantity, value: float) -> str:
    return percent(value) if _is_share(quantity) else measure(value)


def _is_share(quantity: Quantity) -> bool:
    return quantity.name.endswith(("cells", "loss")) and quantity.name != "median loss"


def _three(one: Measured) -> tuple[str, str, str]:
    return measure(one.median), measure(one.low), measure(one.high)
