"""The arms' loss surfaces side by side on one logarithmic scale (Li et al. 2018, Fig. 1).

A measure gives a surface as series, one a row: ``NAME β`` holds the points (α, loss) at that β.
"""

from collections.abc import Mapping
from math import isfinite

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from residua.report.study_words import Language, said
from residua.report.style import PALETTE, dress, new_figure
from residua.studies.design import FigureSpec
from residua.studies.results import Results
from residua.studies.trial import Measurement

COLOURS = "cividis"
"""Even in lightness, and the same to who cannot tell red from green."""
_WIDTH = 9.0
_TALLEST = 3.6
_LEVELS = 14


def surfaces(spec: FigureSpec, results: Results, language: Language) -> Figure:
    """Draws each arm's surface at its first seed that has one; missing cells stay empty."""
    found = {arm.name: grid for arm in results.budget.arms if (grid := _first(spec, results, arm.name)) is not None}
    figure = new_figure(_WIDTH, min(_TALLEST, 0.6 + 0.86 * _WIDTH / max(1, len(found))))
    if not found:
        dress(figure.add_subplot())
        return figure
    losses = np.concatenate([grid[2].ravel() for grid in found.values()])
    known = losses[np.isfinite(losses) & (losses > 0)]
    scale = LogNorm(float(known.min()), max(float(known.max()), float(known.min()) * 1.01))
    panels = figure.subplots(1, len(found), squeeze=False, sharey=True)[0]
    for axes, (name, grid) in zip(panels, found.items(), strict=True):
        drawn = _panel(axes, name, grid, scale)
    bar = figure.colorbar(drawn, ax=list(panels), shrink=0.85, pad=0.02)
    bar.set_label(said(spec.y, language), color=PALETTE["soft"], fontsize=9)
    bar.ax.tick_params(colors=PALETTE["soft"], labelsize=8)
    return figure


Grid = tuple[np.ndarray, np.ndarray, np.ndarray]
"""α [a], β [b] and the losses [b, a]."""


def as_series(quantity: str, alphas: np.ndarray, betas: np.ndarray, losses: np.ndarray) -> Measurement:
    """Returns a surface as a measure gives it; cells that are not finite are left out."""
    rows = zip(betas.tolist(), losses.tolist(), strict=True)
    return Measurement(
        series={
            f"{quantity} {beta!r}": tuple(
                (alpha, loss) for alpha, loss in zip(alphas.tolist(), row, strict=True) if isfinite(loss)
            )
            for beta, row in rows
        }
    )


def _first(spec: FigureSpec, results: Results, arm: str) -> Grid | None:
    """Returns the surface of an arm's first seed that has one."""
    for _, series in sorted(results.series.get(arm, {}).items()):
        rows = {name: points for name, points in series.items() if name.startswith(f"{spec.quantity} ")}
        if any(rows.values()):
            return _grid({float(name.rsplit(" ", 1)[1]): dict(points) for name, points in rows.items()})
    return None


def _grid(rows: Mapping[float, Mapping[float, float]]) -> Grid:
    betas, alphas = sorted(rows), sorted({alpha for row in rows.values() for alpha in row})
    losses = np.array([[rows[beta].get(alpha, np.nan) for alpha in alphas] for beta in betas])
    return np.array(alphas), np.array(betas), losses


def _panel(axes: Axes, name: str, grid: Grid, scale: LogNorm):
    alphas, betas, losses = grid
    dress(axes, name)
    axes.yaxis.grid(visible=False)
    axes.set_aspect("equal")
    drawn = axes.pcolormesh(alphas, betas, np.ma.masked_invalid(losses), norm=scale, cmap=COLOURS, shading="nearest")
    if min(losses.shape) > 1:
        levels = np.geomspace(scale.vmin or 1, scale.vmax or 1, _LEVELS)
        axes.contour(alphas, betas, losses, levels=levels, colors=PALETTE["paper"], linewidths=0.5, alpha=0.7)
    return drawn
