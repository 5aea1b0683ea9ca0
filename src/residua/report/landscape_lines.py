"""Losses along one line: over a direction, and over the steps of training beside what their plane shows."""

import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from residua.diagnostics.landscape.surface import Cells, Surface, Trail
from residua.report.diagnosis_figures import DASHED
from residua.report.landscape_notes import KINDS, axis_label, notes
from residua.report.landscape_scale import INFINITE, Scale, scale_of
from residua.report.numbers import percent
from residua.report.style import PALETTE, dress, legend, logarithmic, new_figure, whole_numbers

_WIDE, _WITH_ERROR = (9.0, 4.2), (9.0, 5.6)
_LETTERS = 120
"""Of a line of small print under a wide figure."""
_COLOURS = ("train", "held", "soft")


def along_line(surface: Surface) -> Figure:
    """Draws the loss along one direction, and below it the share of errors; a cross at the top is an infinite loss."""
    wrong = [one for one in surface.cells if one.error is not None]
    figure = new_figure(*(_WITH_ERROR if wrong else _WIDE))
    scale = scale_of([one.loss for one in surface.cells])
    places = figure.subplots(2 if wrong else 1, 1, squeeze=False, sharex=True, height_ratios=(2, 1) if wrong else None)
    upper, lower = places[0, 0], places[-1, 0]
    _draw_losses(upper, surface, scale)
    if wrong:
        dress(lower, "", "", "images that are wrong")
        for one in wrong:
            lower.plot(_x(surface), _row(one.error), color=_colour(surface, one), linewidth=1.6)
        lower.set_ylim(-0.02, 1.02)
        lower.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        lower.axvline(0, color=PALETTE["soft"], linewidth=0.8, linestyle=DASHED)
    said = [" · ".join(notes(surface, one, letters=_LETTERS)) for one in surface.cells]
    below = "\n".join(line for one in said for line in textwrap.wrap(one, _LETTERS))
    lower.set_xlabel(f"{axis_label(surface, 0)}\n\n{below}", fontsize=8, color=PALETTE["soft"], parse_math=False)
    return figure


def along_path(trail: Trail, loss_name: str) -> Figure:
    """Draws the loss that the network had at each step beside that of its projection into the plane."""
    figure = new_figure(9.0, 3.6)
    explained = percent(sum(trail.explained))
    axes = dress(
        figure.add_subplot(), "", f"optimizer step · {explained} of the path’s variance is in the plane", "loss"
    )
    shown = (
        (trail.true_loss, "train", "-", "of the network itself"),
        (trail.projected_loss, "held", DASHED, "of its projection into the plane"),
    )
    scale = scale_of([np.asarray(losses) for losses, *_ in shown])
    _scale(axes, scale)
    for losses, colour, style, label in shown:
        _curve(axes, trail.steps, losses, scale, color=PALETTE[colour], linestyle=style, marker="o", label=label)
    axes.yaxis.label.set(text=f"loss: {loss_name}", fontsize=8, parse_math=False)
    legend(axes)
    whole_numbers(axes)
    return figure


def _draw_losses(axes: Axes, surface: Surface, scale: Scale) -> None:
    dress(axes, "", "", "")
    axes.set_ylabel(f"loss: {surface.loss_name}", fontsize=8, color=PALETTE["soft"], parse_math=False)
    _scale(axes, scale)
    for one in surface.cells:
        label = f"{KINDS.get(one.part, one.part)}, {one.images:,} images"
        _curve(axes, _x(surface), _row(one.loss), scale, color=_colour(surface, one), label=label)
    axes.axvline(0, color=PALETTE["soft"], linewidth=0.8, linestyle=DASHED)
    axes.set_title(" · ".join(scale.clipped), loc="left", fontsize=8, color=PALETTE["soft"])
    legend(axes)


def _scale(axes: Axes, scale: Scale) -> None:
    if scale.logarithmic:
        logarithmic(axes)
        axes.set_ylim(scale.low / 1.25, scale.high * 1.25)
    else:
        room = 0.06 * (scale.high - scale.low)
        axes.set_ylim(scale.low - room, scale.high + room)


def _curve(axes: Axes, x: Sequence[float | int], losses: Sequence[float], scale: Scale, **look: object) -> None:
    """Draws losses within the scale with a gap where one is missing, and a cross at the top where one is infinite."""
    table = np.asarray(losses, dtype=float)
    axes.plot(x, scale.inside(table), linewidth=1.6, markersize=3.5, **look)  # pyright: ignore[reportArgumentType]
    infinite = np.asarray(x)[np.isinf(table)]
    if len(infinite):
        above = axes.get_xaxis_transform()
        axes.plot(
            infinite, np.ones(len(infinite)), "x", color=INFINITE, transform=above, clip_on=False, label="infinite"
        )


def _x(surface: Surface) -> tuple[float, ...]:
    return surface.grid.axes[0].values


def _row(table: np.ndarray | None) -> list[float]:
    return [] if table is None else table[0].tolist()


def _colour(surface: Surface, one: Cells) -> str:
    return PALETTE[_COLOURS[surface.cells.index(one) % len(_COLOURS)]]
