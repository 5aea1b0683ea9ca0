"""The heat map of a watched training: blocks by steps, update-to-weight ratio above, gradient norm below."""

import math
from collections.abc import Callable, Sequence
from statistics import median

import numpy as np
from jaxtyping import Float
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, to_rgba
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator

from residua.diagnostics.motion import BlockMotion, Sample
from residua.diagnostics.trouble import signs
from residua.report.style import PALETTE, can_draw, dress, new_figure

_COLUMNS = 240
"""Of more samples several share a column, with the median of each block; what is not finite shows through."""
_NAMED_ROWS = 28
_NAME_LETTERS = 24
_COLOURS = "viridis"
_NOT_FINITE, _ZERO = "#d9782d", "#8b949c"
"""Both can be told from the colours, on light and on dark paper."""
_ROW_INCHES, _LEAST_INCHES, _MOST_INCHES = 0.16, 0.9, 4.2

Cells = Float[np.ndarray, "blocks columns"]


def heat_map(samples: Sequence[Sample]) -> Figure:
    """Draws update-to-weight ratio and gradient norm of every block over the steps, in colours by their logarithm.

    A cell is empty where the block did not learn, or has no such number; grey where the number is 0.

    Args:
        samples: At least one, by step.
    """
    columns = columns_of(samples)
    fullest = max(samples, key=lambda sample: len(sample.blocks))  # its order is right for what is frozen elsewhere
    blocks = list(dict.fromkeys(one.block for sample in (fullest, *samples) for one in sample.blocks))
    panel = min(_MOST_INCHES, max(_LEAST_INCHES, _ROW_INCHES * len(blocks)))
    figure = new_figure(9.0, 2 * panel + 1.3)
    upper, lower = figure.subplots(2, 1)
    begins = [column[0].step for column in columns]
    trouble = min((sign.step for sign in signs(samples)), default=None)
    shown = ((upper, "Update-to-weight ratio", _ratio), (lower, "Gradient norm", _gradient))
    for axes, title, quantity in shown:
        _draw(axes, cells(columns, blocks, quantity), title)
        _name_rows(axes, blocks)
        _name_columns(axes, begins, samples[-1].step)
        if trouble is not None:
            place = max(index for index, step in enumerate(begins) if step <= trouble)
            axes.axvline(place, color=PALETTE["held"], linewidth=1.1, linestyle=(0, (3, 2)))
    lower.set_xlabel("step")
    return figure


def columns_of(samples: Sequence[Sample], most: int = _COLUMNS) -> list[Sequence[Sample]]:
    """Returns the samples of each column: one, or where there are many a stretch of equally many."""
    size = math.ceil(len(samples) / most)
    return [samples[start : start + size] for start in range(0, len(samples), size)]


def cells(
    columns: Sequence[Sequence[Sample]], blocks: Sequence[str], quantity: Callable[[BlockMotion], float]
) -> Cells:
    """Returns the median of a quantity by block and column; infinite where any sample is, NaN where there is none."""
    rows = {block: row for row, block in enumerate(blocks)}
    found = np.full((len(blocks), len(columns)), np.nan)
    for place, column in enumerate(columns):
        values: dict[int, list[float]] = {}
        for sample in column:
            for one in sample.blocks:
                values.setdefault(rows[one.block], []).append(quantity(one))
        for row, seen in values.items():
            known = [value for value in seen if not math.isnan(value)]
            if known:
                found[row, place] = math.inf if math.inf in known else median(known)
    return found


def _ratio(one: BlockMotion) -> float:
    if one.update is None or one.weights is None:
        return math.inf
    return math.nan if one.ratio is None else one.ratio


def _gradient(one: BlockMotion) -> float:
    return math.inf if one.gradient is None else one.gradient


def _draw(axes: Axes, table: Cells, title: str) -> None:
    """Draws the cells, and beside them what their colours mean."""
    dress(axes, title)
    axes.yaxis.grid(visible=False)
    scale = ScalarMappable(norm=_scale(table), cmap=colormaps[_COLOURS])
    positive = np.where(np.isfinite(table) & (table > 0), table, 1.0)
    painted = np.asarray(scale.to_rgba(positive))
    painted[np.isnan(table)] = (0, 0, 0, 0)
    painted[table == 0] = to_rgba(_ZERO)
    painted[np.isinf(table)] = to_rgba(_NOT_FINITE)
    axes.imshow(painted, aspect="auto", interpolation="none")
    drawn = axes.figure.colorbar(scale, ax=axes, pad=0.01, aspect=14, fraction=0.05)
    drawn.solids.set_rasterized(True)  # pyright: ignore[reportOptionalMemberAccess]
    drawn.outline.set_visible(False)  # pyright: ignore[reportCallIssue]
    drawn.ax.yaxis.set_major_locator(LogLocator(numticks=6))
    drawn.ax.minorticks_off()
    drawn.ax.tick_params(colors=PALETTE["soft"], labelsize=8, length=3, width=0.6)


def _scale(table: Cells) -> LogNorm:
    """Returns a scale of whole decades around all but the outermost hundredths."""
    known = table[np.isfinite(table) & (table > 0)]
    if not len(known):
        return LogNorm(1e-4, 1)
    low, high = np.log10(np.quantile(known, (0.01, 0.99)))
    return LogNorm(10.0 ** math.floor(low), 10.0 ** max(math.ceil(high), math.floor(low) + 1), clip=True)


def _name_rows(axes: Axes, blocks: Sequence[str]) -> None:
    """Names the blocks, or of many every so many."""
    every = math.ceil(len(blocks) / _NAMED_ROWS)
    places = list(range(0, len(blocks), every))
    names = [_short(blocks[place]) for place in places]
    names = names if can_draw(names) else [str(place) for place in places]
    axes.set_yticks(places, names, fontsize=7.5, parse_math=False)
    axes.tick_params(axis="y", length=0)


def _name_columns(axes: Axes, begins: Sequence[int], end: int) -> None:
    """Puts round step numbers below the columns that hold them."""
    wanted = MaxNLocator(nbins=8, integer=True, steps=[1, 2, 5, 10]).tick_values(begins[0], end)
    steps = [int(step) for step in wanted if begins[0] <= step <= end] or [begins[0]]
    places = np.interp(steps, begins, np.arange(len(begins)))
    axes.set_xticks(places, [f"{step:,}" for step in steps])


def _short(name: str) -> str:
    return name if len(name) <= _NAME_LETTERS else f"…{name[1 - _NAME_LETTERS :]}"
