"""What is marked on a map beside its colours: cells without a loss, the network itself, the path of training."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from residua.diagnostics.landscape.comparison import Comparison
from residua.diagnostics.landscape.surface import Cells, Surface
from residua.report.landscape_notes import KINDS
from residua.report.landscape_scale import INFINITE, ON_BRIGHT, ON_DARK, Array
from residua.report.numbers import percent
from residua.report.style import PALETTE


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Panel:
    """One map of a figure: a surface, measured on one set of images."""

    surface: Surface
    cells: Cells
    title: str = ""


def panels_of(surface: Surface) -> tuple[Panel, ...]:
    """Returns a panel for every set of images that a surface was measured on."""
    several = len(surface.cells) > 1
    return tuple(
        Panel(surface=surface, cells=one, title=f"{KINDS.get(one.part, one.part)} images" if several else "")
        for one in surface.cells
    )


def twin_panels(found: Comparison) -> tuple[Panel, Panel]:
    """Returns a panel for the residual network and one for the plain, of the set of images that is drawn first."""
    residual, plain = (
        Panel(surface=one, cells=one.cells[0], title=f"{twin}: {one.name}")
        for twin, one in (("residual", found.residual), ("plain", found.plain))
    )
    return residual, plain


def edges(values: Sequence[float]) -> Array:
    """Returns the borders of cells around coordinates: half way between neighbours, as far outside the outermost."""
    x = np.asarray(values, dtype=float)
    inner = (x[1:] + x[:-1]) / 2
    return np.concatenate([[2 * x[0] - inner[0]], inner, [2 * x[-1] - inner[-1]]])


def mark_gaps(axes: Axes, x: Array, y: Array, table: Array) -> None:
    """Hatches cells that were not computed and paints those whose loss is infinite; x and y are the cells' borders."""
    for flags, style in (
        (np.isnan(table), _missing()),
        (np.isinf(table), {"facecolor": INFINITE, "edgecolor": INFINITE, "linewidth": 0.4}),
    ):
        corners = [
            [(x[i], y[j]), (x[i + 1], y[j]), (x[i + 1], y[j + 1]), (x[i], y[j + 1])] for j, i in np.argwhere(flags)
        ]
        if corners:
            axes.add_collection(PolyCollection(corners, **style), autolim=False)


def _missing() -> dict[str, Any]:
    return {"facecolor": "none", "edgecolor": PALETTE["rule"], "hatch": "////", "linewidth": 0}


def mark_centre(axes: Axes) -> None:
    """Marks the network itself, where the map holds it."""
    axes.plot([0], [0], "o", color=ON_DARK, markeredgecolor=ON_BRIGHT, markersize=4.5, markeredgewidth=0.9, zorder=4)


def draw_trail(axes: Axes, surface: Surface) -> None:
    """Draws the path that training took: hollow where it begins, a dot at every kept point."""
    trail = surface.trail
    if trail is None:
        return
    axes.plot(trail.x, trail.y, color=ON_BRIGHT, linewidth=2.6, alpha=0.7, solid_capstyle="round")
    axes.plot(trail.x, trail.y, color=ON_DARK, linewidth=1.3, solid_capstyle="round")
    look = {"markeredgecolor": ON_BRIGHT, "markeredgewidth": 0.7, "linestyle": "none", "marker": "o"}
    axes.plot(trail.x[1:], trail.y[1:], color=ON_DARK, markersize=3.6, **look)
    axes.plot(trail.x[:1], trail.y[:1], color=INFINITE, markersize=6, **look)


def draw_key(figure: Figure, tables: Sequence[Array]) -> None:
    """Says how many cells have no loss to draw, where there are any."""
    cells = sum(one.size for one in tables)
    missing, infinite = (sum(int(flag(one).sum()) for one in tables) / cells for flag in (np.isnan, np.isinf))
    handles = []
    if missing:
        handles.append(Patch(label=f"not computed: {percent(missing)} of cells", **_missing()))
    if infinite:
        handles.append(Patch(label=f"infinite: {percent(infinite)} of cells", facecolor=INFINITE))
    if handles:
        figure.legend(
            handles=handles, loc="outside upper left", ncols=2, frameon=False, fontsize=8, labelcolor=PALETTE["soft"]
        )
