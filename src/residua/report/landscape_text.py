"""A landscape in the terminal: its sentences, and each surface as a small map of shades."""

import textwrap
from collections.abc import Iterator, Sequence

import numpy as np

from residua.diagnostics.curvature.curvature import Curvature
from residua.report.landscape_marks import Panel
from residua.report.landscape_scale import Array, Scale, scale_of
from residua.report.landscape_statements import curvature_says
from residua.report.numbers import measure
from residua.report.sparklines import sparkline

_SHADES = " ░▒▓█"
_MISSING, _INFINITE = "·", "∞"
_LINE, _GAP = 80, 4
_MOST_ROWS = 17


def landscape_lines(
    sentences: Sequence[str], panels: Sequence[Panel], curvature: Curvature | None, remarks: Sequence[str]
) -> list[str]:
    """Returns sentences, maps side by side and remarks as lines of at most 80 letters."""
    said = [*sentences, *([curvature_says(curvature)] if curvature is not None else [])]
    lines = [line for sentence in said for line in textwrap.wrap(sentence, _LINE)]
    drawn = list(_maps(panels)) if panels else []
    return [*lines, *(["", *drawn] if drawn else []), *_after(remarks)]


def text_map(loss: Array, scale: Scale, *, width: int) -> list[str]:
    """Returns a surface as lines of shades, darkest where the loss is highest, the largest y first.

    A letter stands for one cell, or where there are more cells than letters for the one in its middle: a loss that is
    shown was measured.

    Args:
        loss: [rows of y, columns of x].
        scale: Of all surfaces that are shown.
        width: Most letters in a line; a line has half as many rows, as letters are twice as high as wide.
    """
    rows = _picked(loss.shape[0], min(_MOST_ROWS, max(1, width // 2)))
    columns = _picked(loss.shape[1], width)
    low, high = scale.heights(np.array([scale.low, scale.high]))
    places = (scale.heights(loss) - low) / (high - low)
    return ["".join(_letter(loss[j, i], places[j, i]) for i in columns) for j in reversed(rows)]


def _maps(panels: Sequence[Panel]) -> Iterator[str]:
    scale = scale_of([panel.cells.loss for panel in panels])
    if any(len(panel.surface.grid.axes) == 1 for panel in panels):
        for panel in panels:
            drawn = sparkline(panel.cells.loss[0].tolist(), width=_LINE - 24, logarithmic=scale.logarithmic)
            yield f"{(panel.title or panel.cells.part)[:22]:<22}  {drawn}"
        return
    width = min(34, (_LINE - _GAP * (len(panels) - 1)) // len(panels))
    maps = [text_map(panel.cells.loss, scale, width=width) for panel in panels]
    yield (" " * _GAP).join(f"{(panel.title or panel.surface.name)[:width]:<{width}}" for panel in panels).rstrip()
    for row in range(max(map(len, maps))):
        parts = [one[row] if row < len(one) else "" for one in maps]
        yield (" " * _GAP).join(f"{part:<{width}}" for part in parts).rstrip()
    kind = "logarithmic" if scale.logarithmic else "linear"
    ends = f"{measure(scale.low)} {_SHADES[1:]} {measure(scale.high)}, {kind}"
    yield "; ".join((f"loss {ends}", *scale.clipped))[:_LINE]


def _picked(size: int, most: int) -> list[int]:
    """Returns which of so many cells are shown: all, or the middles of as many equal stretches."""
    return list(range(size)) if size <= most else [int((i + 0.5) * size / most) for i in range(most)]


def _letter(loss: float, place: float) -> str:
    if np.isnan(loss):
        return _MISSING
    if np.isinf(loss):
        return _INFINITE
    return _SHADES[min(len(_SHADES) - 1, int(place * len(_SHADES)))]


def _after(remarks: Sequence[str]) -> list[str]:
    lines = [line for remark in remarks for line in textwrap.wrap(remark, _LINE)]
    return ["", *lines] if lines else []
