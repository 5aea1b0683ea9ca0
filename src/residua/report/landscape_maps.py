"""Loss surfaces as maps: contours with their levels, cells as they were measured, the share of errors, convexity.

Missing cells are hatched and infinite ones painted: no colour is drawn where nothing was measured.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import Colormap, ListedColormap, Normalize, SymLogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator, PercentFormatter

from residua.diagnostics.landscape.surface import Plane, Surface
from residua.report.landscape_contours import draw_contours
from residua.report.landscape_marks import Panel, draw_key, draw_trail, edges, mark_centre, mark_gaps
from residua.report.landscape_notes import axis_label, notes
from residua.report.landscape_scale import COLOURS, ON_BRIGHT, Array, Scale, level_text, scale_of
from residua.report.numbers import measure, percent
from residua.report.style import PALETTE, dress, new_figure

_ONE, _SEVERAL, _HEIGHT = 6.4, 4.6, 4.7
_RASTER_DOTS_PER_INCH = 180
_TICKS = 5
_DECADES_OF_CURVATURE = 5


def contours(panels: Sequence[Panel]) -> Figure:
    """Draws each surface as contours with their losses, all in one scale, the path of training above them."""
    figure, places = _canvas(panels)
    scale = scale_of([one.cells.loss for one in panels])
    for axes, panel in zip(places, panels, strict=True):
        _paint(axes, panel.surface, scale.inside(panel.cells.loss), scale.norm)
        x, y = (axis.values for axis in panel.surface.grid.axes)
        axes.set(xlim=(x[0], x[-1]), ylim=(y[0], y[-1]))
        draw_contours(axes, panel, scale)
        _mark(axes, panel, panel.cells.loss)
        draw_trail(axes, panel.surface)
        mark_centre(axes)
    _loss_bar(figure, places, scale, panels[0].surface.loss_name)
    draw_key(figure, [panel.cells.loss for panel in panels])
    return figure


def cells(panels: Sequence[Panel]) -> Figure:
    """Draws the loss of every cell as it was measured, nothing between cells, all surfaces in one scale."""
    figure, places = _canvas(panels)
    scale = scale_of([one.cells.loss for one in panels])
    for axes, panel in zip(places, panels, strict=True):
        _paint(axes, panel.surface, scale.inside(panel.cells.loss), scale.norm)
        _mark(axes, panel, panel.cells.loss)
        mark_centre(axes)
    _loss_bar(figure, places, scale, panels[0].surface.loss_name)
    draw_key(figure, [panel.cells.loss for panel in panels])
    return figure


def errors(panels: Sequence[Panel]) -> Figure:
    """Draws the share of images that are wrong in every cell; panels without it must be left out."""
    figure, places = _canvas(panels)
    norm = Normalize(0, 1)
    for axes, panel in zip(places, panels, strict=True):
        wrong = panel.cells.error
        if wrong is not None:
            _paint(axes, panel.surface, wrong, norm)
            _mark(axes, panel, wrong)
        mark_centre(axes)
    bar = _bar(figure, places, norm, COLOURS)
    bar.set_label("share of images that are wrong", fontsize=9, color=PALETTE["soft"])
    bar.ax.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    return figure


def convexity(panels: Sequence[Panel]) -> Figure:
    """Draws the smaller eigenvalue of the Hessian within each plane: red curves down, blue up, a line at zero.

    Panels whose plane was not measured must be left out.
    """
    figure, places = _canvas(panels)
    planes = [panel.surface.plane for panel in panels]
    norm = _around_zero([plane.lowest for plane in planes if plane is not None])
    for axes, panel, plane in zip(places, panels, planes, strict=True):
        if plane is not None:
            _draw_plane(axes, panel.surface, plane, norm)
    bar = _bar(figure, places, norm, _two_signs())
    bar.set_label("smaller eigenvalue in the plane", fontsize=9, color=PALETTE["soft"])
    _round_ticks(bar, norm)
    return figure


def _canvas(panels: Sequence[Panel]) -> tuple[Figure, list[Axes]]:
    """Makes a figure with a map for each panel, its axes named, and under it what must be known of the surfaces."""
    width = _ONE if len(panels) == 1 else _SEVERAL * len(panels)
    figure = new_figure(width, _HEIGHT)
    figure.set_dpi(_RASTER_DOTS_PER_INCH)
    places = list(figure.subplots(1, len(panels), squeeze=False)[0])
    for axes, panel in zip(places, panels, strict=True):
        x, y = panel.surface.grid.axes
        below = "\n".join(("", *notes(panel.surface, panel.cells, letters=88 if len(panels) == 1 else 62)))
        dress(axes, panel.title, f"{axis_label(panel.surface, 0)}\n{below}", axis_label(panel.surface, 1))
        axes.xaxis.label.set(fontsize=8, linespacing=1.35, parse_math=False)
        axes.yaxis.label.set(fontsize=8, parse_math=False)
        axes.yaxis.grid(visible=False)
        axes.locator_params(nbins=_TICKS)
        horizontal, vertical = edges(x.values), edges(y.values)
        axes.set(xlim=(horizontal[0], horizontal[-1]), ylim=(vertical[0], vertical[-1]))
    return figure, places


def _paint(axes: Axes, surface: Surface, table: Array, norm: Normalize) -> None:
    """Paints every cell that has a finite number."""
    x, y = (edges(axis.values) for axis in surface.grid.axes)
    axes.pcolormesh(x, y, np.ma.masked_invalid(table), norm=norm, cmap=COLOURS, rasterized=True)


def _mark(axes: Axes, panel: Panel, table: Array) -> None:
    x, y = (edges(axis.values) for axis in panel.surface.grid.axes)
    mark_gaps(axes, x, y, table)


def _draw_plane(axes: Axes, surface: Surface, plane: Plane, norm: Normalize) -> None:
    across, up = (axis.values for axis in surface.grid.axes)
    x, y = edges([across[i] for i in plane.columns]), edges([up[j] for j in plane.rows])
    axes.set(xlim=(x[0], x[-1]), ylim=(y[0], y[-1]))
    lowest = plane.lowest
    axes.pcolormesh(x, y, np.ma.masked_invalid(lowest), norm=norm, cmap=_two_signs(), rasterized=True)
    mark_gaps(axes, x, y, lowest)
    axes.add_collection(LineCollection(_borders(lowest, x, y), colors=ON_BRIGHT, linewidths=0.9), autolim=False)
    known = lowest[~np.isnan(lowest)]
    share = f"{percent(float(np.mean(known < 0)))} non-convex" if len(known) else "not computed"
    title = axes.get_title(loc="left")
    axes.set_title(f"{title}\n{share}" if title else share, loc="left", fontsize=10, color=PALETTE["ink"])


def _borders(table: Array, x: Array, y: Array) -> list[Any]:
    """Returns the lines between neighbours of which one is negative and the other is not; a missing one has none."""
    sign = np.where(table < 0, -1.0, np.where(np.isnan(table), 0.0, 1.0))
    upright = [((x[i + 1], y[j]), (x[i + 1], y[j + 1])) for j, i in np.argwhere(sign[:, 1:] * sign[:, :-1] < 0)]
    level = [((x[i], y[j + 1]), (x[i + 1], y[j + 1])) for j, i in np.argwhere(sign[1:] * sign[:-1] < 0)]
    return upright + level


def _two_signs() -> Colormap:
    """Returns colours whose hue is the sign and whose depth is the size: red below zero, blue above."""
    below, above = colormaps["Reds"](np.linspace(0.95, 0.2, 128)), colormaps["Blues"](np.linspace(0.2, 0.95, 128))
    return ListedColormap(np.vstack([below, above]))


def _around_zero(tables: Sequence[Array]) -> SymLogNorm:
    """Returns a scale that is even in the logarithm on both sides of zero, and linear close to it."""
    sizes = np.abs(np.concatenate([one[np.isfinite(one)].ravel() for one in tables]))
    most = float(np.quantile(sizes, 0.99)) if len(sizes) else 1.0
    most = most if most > 0 else 1.0
    close = max(float(np.quantile(sizes, 0.1)) if len(sizes) else 0.0, most * 10.0**-_DECADES_OF_CURVATURE)
    return SymLogNorm(close, linscale=0.2, vmin=-most, vmax=most, clip=True)


def _round_ticks(bar: Any, norm: SymLogNorm) -> None:
    """Puts the ticks of a scale around zero on powers of ten, every second one where there are many."""
    least, most = (int(np.floor(np.log10(size))) for size in (norm.linthresh, float(norm.vmax or 1.0)))
    sizes = [10.0**decade for decade in range(most, least + 1, -2 if most - least > 3 else -1)][::-1]
    ticks = [*(-size for size in reversed(sizes)), 0.0, *sizes]
    bar.ax.yaxis.set_major_locator(FixedLocator(ticks))
    bar.ax.yaxis.set_major_formatter(FixedFormatter([measure(tick) for tick in ticks]))


def _loss_bar(figure: Figure, places: Sequence[Axes], scale: Scale, loss_name: str) -> None:
    """Draws what the colours mean, and says how many cells are outside the scale."""
    bar = _bar(figure, places, scale.norm, COLOURS, extend=_extend(scale))
    ticks = scale.levels(6)
    bar.ax.yaxis.set_major_locator(FixedLocator(ticks))
    bar.ax.yaxis.set_major_formatter(FixedFormatter([level_text(tick) for tick in ticks]))
    bar.set_label(f"loss: {loss_name}", fontsize=8, color=PALETTE["soft"], parse_math=False)
    above, below = scale.above > 0, scale.below > 0
    for said, high in zip(scale.clipped, [True] * above + [False] * below, strict=True):
        text = said.replace(": ", ":\n")
        if high:
            bar.ax.set_title(text, fontsize=7.5, color=PALETTE["soft"], loc="right")
        else:
            bar.ax.set_xlabel(text, fontsize=7.5, color=PALETTE["soft"], loc="right")


def _extend(scale: Scale) -> str:
    return {(True, True): "both", (True, False): "max", (False, True): "min"}.get(
        (scale.above > 0, scale.below > 0), "neither"
    )


def _bar(
    figure: Figure, places: Sequence[Axes], norm: Normalize, colours: str | Colormap, extend: str = "neither"
) -> Any:
    bar: Any = figure.colorbar(
        ScalarMappable(norm=norm, cmap=colours), ax=list(places), pad=0.015, aspect=26, fraction=0.05, extend=extend
    )
    bar.solids.set_rasterized(True)
    bar.outline.set_visible(False)
    bar.ax.yaxis.set_minor_locator(NullLocator())
    bar.ax.tick_params(colors=PALETTE["soft"], labelsize=8, length=3, width=0.6)
    return bar
