"""Lines of equal loss over a map, with their losses written on them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb

from residua.report.landscape_marks import Panel
from residua.report.landscape_scale import COLOURS, ON_BRIGHT, ON_DARK, Array, Scale, level_text

_FILLED_LEVELS = 60
_LABELS_PER_LEVEL = 2
_LABEL_EVERY = 0.11
"""Least distance between two labels, over the width of the map."""


def draw_contours(axes: Axes, panel: Panel, scale: Scale) -> None:
    """Draws bands and lines of equal loss between cells that have one."""
    x, y = (axis.values for axis in panel.surface.grid.axes)
    table = np.ma.masked_invalid(scale.inside(panel.cells.loss))
    space = np.geomspace if scale.logarithmic else np.linspace
    bands = space(scale.low, scale.high, _FILLED_LEVELS)
    if table.count() and min(table.shape) > 1:
        filled = axes.contourf(x, y, table, levels=bands, norm=scale.norm, cmap=COLOURS, corner_mask=False)
        filled.set_rasterized(True)
        if levels := scale.levels():
            colours = [readable(scale.colour(level)) for level in levels]
            drawn = axes.contour(x, y, table, levels=levels, colors=colours, linewidths=0.7, corner_mask=False)
            drawn.set_alpha(0.75)
            trail = panel.surface.trail
            _label(axes, drawn.allsegs, scale, taken=[] if trail is None else [*zip(trail.x, trail.y, strict=True)])


def readable(colour: str) -> str:
    """Returns the colour of lines and letters on a colour of the map."""
    red, green, blue = to_rgb(colour)
    return ON_BRIGHT if 0.299 * red + 0.587 * green + 0.114 * blue > 0.5 else ON_DARK


def _label(axes: Axes, lines: Any, scale: Scale, *, taken: Sequence[tuple[float, float]]) -> None:
    """Writes each level on its longest lines, away from the labels and points that are there already."""
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    corner, size = np.array([left, low]), np.array([right - left, high - low])
    occupied = [np.array([0.5, 0.5]), *((np.array(point) - corner) / size for point in taken)]
    for level, segments in zip(scale.levels(), lines, strict=True):
        inside = sorted(((one - corner) / size for one in segments if len(one) > 3), key=_length, reverse=True)
        for segment in inside[:_LABELS_PER_LEVEL]:
            room = np.min([np.linalg.norm(segment - other, axis=1) for other in occupied], axis=0)
            room[(segment.min(1) < 0.05) | (segment.max(1) > 0.95)] = 0.0
            place = int(np.argmax(np.minimum(room, 2 * _LABEL_EVERY)))
            if room[place] >= _LABEL_EVERY and _length(segment) > 2 * _LABEL_EVERY:
                occupied.append(segment[place])
                _write(axes, segment * size + corner, place, level_text(level), scale.colour(level))


def _write(axes: Axes, line: Array, place: int, text: str, colour: str) -> None:
    """Writes a level along its line, on a patch of its colour."""
    across, up = line[min(len(line) - 1, place + 2)] - line[max(0, place - 2)]
    x, y = line[place]
    axes.text(
        x,
        y,
        text,
        fontsize=7.5,
        color=readable(colour),
        ha="center",
        va="center",
        rotation=(np.degrees(np.arctan2(up, across)) + 90) % 180 - 90,
        rotation_mode="anchor",
        transform_rotates_text=True,
        parse_math=False,
        clip_on=True,
        bbox={"facecolor": colour, "edgecolor": "none", "boxstyle": "round,pad=0.12", "alpha": 0.85},
    )


def _length(line: Array) -> float:
    return float(np.linalg.norm(np.diff(line, axis=0), axis=1).sum())
