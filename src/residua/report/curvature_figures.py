"""The Hessian's spectrum as figures: its density with the largest eigenvalues, and these over draws of images."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from residua.diagnostics.curvature.curvature import Curvature
from residua.diagnostics.curvature.density import Density
from residua.diagnostics.measured import Measured
from residua.report.diagnosis_figures import DOTTED
from residua.report.numbers import measure
from residua.report.section import plural
from residua.report.style import PALETTE, dress, legend, logarithmic, new_figure, whole_numbers

_WIDE = (9.0, 3.9)
_DEEPEST = 1e-7
"""Of the density drawn, over its peak: below it are the feet of the Gaussians, not the spectrum."""


def spectral_density(found: Curvature, density: Density) -> Figure:
    """Draws the spectral density on a logarithmic scale, with the largest and the most negative eigenvalues marked."""
    figure = new_figure(*_WIDE)
    axes = dress(figure.add_subplot(), "", f"eigenvalue, loss / weight²\n\n{_beneath(found)}", "density")
    axes.xaxis.label.set_fontsize(8)
    logarithmic(axes)
    peak = max(density.density)
    floor = peak * _DEEPEST
    drawn = [max(value, floor) for value in density.density]
    axes.fill_between(density.eigenvalues, floor, drawn, color=PALETTE["fill"], alpha=0.6, linewidth=0)
    axes.plot(density.eigenvalues, drawn, color=PALETTE["train"], linewidth=1.4)
    axes.set_ylim(floor, peak * 3)
    axes.axvline(0, color=PALETTE["soft"], linewidth=0.8, linestyle=DOTTED)
    _marks(axes, [one.values[0] for one in found.top], "v", "largest eigenvalues")
    if found.lowest.values[0] < 0:
        _marks(axes, [found.lowest.values[0]], "<", "most negative")
    legend(axes)
    return figure


def over_draws(found: Curvature) -> Figure:
    """Draws each of the largest eigenvalues, largest first, at every draw of images: how much they depend on it."""
    figure = new_figure(*_WIDE)
    axes = dress(figure.add_subplot(), "", f"eigenvalue by rank\n\n{_beneath(found)}", "eigenvalue, loss / weight²")
    axes.xaxis.label.set_fontsize(8)
    values = [value for one in found.top for value in one.values]
    if min(values) > 0 and max(values) > 10 * min(values):
        logarithmic(axes)
    elif min(values) >= 0:
        axes.set_ylim(0, 1.08 * max(values))
    for rank, one in enumerate(found.top, 1):
        _strip(axes, rank, one)
    axes.set_xlim(0.4, len(found.top) + 0.6)
    legend(axes)
    whole_numbers(axes)
    return figure


def _strip(axes: Axes, rank: int, one: Measured) -> None:
    """Draws the values of one rank as dots on a line from the smallest to the largest, with their median."""
    labels = ("each draw of images", "median") if rank == 1 else (None, None)
    axes.vlines(rank, one.low, one.high, color=PALETTE["fill"], linewidth=5, alpha=0.6)
    axes.plot([rank] * len(one.values), one.values, "o", color=PALETTE["train"], markersize=4.5, label=labels[0])
    axes.plot([rank], [one.median], "_", color=PALETTE["held"], markersize=15, markeredgewidth=1.8, label=labels[1])


def _marks(axes: Axes, eigenvalues: list[float], sign: str, label: str) -> None:
    transform = axes.get_xaxis_transform()
    places = [0.06] * len(eigenvalues)
    axes.plot(eigenvalues, places, sign, color=PALETTE["held"], markersize=6, transform=transform, label=label)


def _beneath(found: Curvature) -> str:
    return (
        f"norms: {found.policy} · {plural(found.draws, 'draw')} of {plural(found.images, 'image')} · "
        f"loss {measure(found.loss.median)}, gradient norm {measure(found.gradient_norm.median)}"
    )
