"""Surfaces in perspective, as a picture: for a file, and for a page where nothing can be turned."""

import base64
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from PIL import Image

from residua.report.landscape_marks import Panel
from residua.report.landscape_notes import KINDS
from residua.report.landscape_scale import COLOURS, Scale, level_text, scale_of

_GREY = "#7b8590"
"""Can be read on light and on dark paper: a picture cannot follow the page."""
_EDGE = (0.06, 0.09, 0.11, 0.4)
_DOTS_PER_INCH = 140
_QUALITY = 88
_TICKS = 5


def relief_figure(panels: Sequence[Panel]) -> Figure:
    """Draws the surfaces side by side in perspective, all in one scale; a cell without a finite loss is a gap."""
    figure = Figure(figsize=(4.9 * len(panels), 4.2))
    scale = scale_of([panel.cells.loss for panel in panels])
    for number, panel in enumerate(panels, 1):
        axes: Any = figure.add_subplot(1, len(panels), number, projection="3d")
        x, y = np.meshgrid(*(axis.values for axis in panel.surface.grid.axes))
        colours = colormaps[COLOURS](scale.norm(np.nan_to_num(scale.inside(panel.cells.loss), nan=scale.low)))
        axes.plot_surface(
            x,
            y,
            scale.heights(panel.cells.loss),
            facecolors=colours,
            edgecolor=_EDGE,
            linewidth=0.25,
            rstride=1,
            cstride=1,
            shade=False,
        )
        _dress(axes, scale, panel)
    figure.subplots_adjust(left=0, right=0.94, bottom=0.03, top=0.97, wspace=0.08)
    return figure


def picture(panels: Sequence[Panel]) -> str:
    """Returns the surfaces as an image without background, as a data address."""
    drawn, packed = io.BytesIO(), io.BytesIO()
    relief_figure(panels).savefig(drawn, format="png", dpi=_DOTS_PER_INCH, transparent=True)
    Image.open(drawn).save(packed, format="webp", quality=_QUALITY)
    return "data:image/webp;base64," + base64.b64encode(packed.getvalue()).decode()


def panel_name(panel: Panel) -> str:
    """Returns what a surface is called among others: its title, or on which images it was measured."""
    return panel.title or f"{KINDS.get(panel.cells.part, panel.cells.part)} loss"


def _dress(axes: Any, scale: Scale, panel: Panel) -> None:
    low, high = scale.heights(np.array([scale.low, scale.high]))
    ticks = scale.levels(7)
    axes.view_init(elev=34, azim=-58)
    axes.set_box_aspect((1, 1, 0.72))
    axes.set_zlim(low, high)
    axes.set_zticks(scale.heights(np.array(ticks)) if ticks else [], [level_text(tick) for tick in ticks])
    axes.set_title(panel_name(panel), y=0.99, fontsize=10, color=_GREY, parse_math=False)
    for axis in (axes.xaxis, axes.yaxis, axes.zaxis):
        axis.set_pane_color((0, 0, 0, 0))
        axis.line.set_color(_GREY)
        axis.set_tick_params(colors=_GREY, labelsize=7.5)
    axes.grid(visible=False)
    axes.locator_params(axis="x", nbins=_TICKS)
    axes.locator_params(axis="y", nbins=_TICKS)
