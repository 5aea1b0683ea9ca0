"""What every figure of a surface says of itself: how norms were treated, on how many images, what the centre is."""

import textwrap

from residua.diagnostics.landscape.comparison import STATISTICS
from residua.diagnostics.landscape.surface import Cells, Surface
from residua.report.numbers import images, measure, percent

KINDS = {"train": "training", "test": "test", "validation": "validation"}


def notes(surface: Surface, cells: Cells, *, letters: int) -> tuple[str, ...]:
    """Returns lines of at most so many letters that belong under a figure of a surface."""
    centre = cells.centre
    said = [
        f"norms: {STATISTICS[surface.policy]} · {images(cells.images, KINDS.get(cells.part, cells.part))}",
        f"centre: {KINDS.get(cells.part, cells.part)} loss {measure(centre.loss)}, "
        f"gradient norm {measure(centre.gradient_norm)}",
    ]
    if cells.part != "train" and (trained := trained_on(surface)) is not None:
        said.append(f"training loss at the centre {measure(trained.centre.loss)}")
    if not centre.is_minimum:
        said.append(centre.says)
    return tuple(line for one in said for line in textwrap.wrap(one, letters))


def trained_on(surface: Surface) -> Cells | None:
    """Returns what was measured on training images; None where nothing was."""
    return next((one for one in surface.cells if one.part == "train"), None)


def axis_label(surface: Surface, number: int) -> str:
    """Returns what stands at an axis: its direction, and how much of the training path's variance lies along it."""
    direction = surface.grid.axes[number].direction
    if surface.trail is None or direction.kind == "pca":
        return direction.says
    return f"{direction.says}, {percent(surface.trail.explained[number])} of the path’s variance"
