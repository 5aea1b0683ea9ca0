"""The figures of a diagnosis that are not along the depth alone: lines of inputs, paths, lesions, short trainings."""

from collections.abc import Sequence
from math import comb
from statistics import median

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from residua.diagnostics.lesions import Lesion, Lesions
from residua.diagnostics.paths import PathLengths
from residua.diagnostics.questions import Questions
from residua.diagnostics.shattering import Shattering
from residua.report.diagnosis_figures import DASHED, DOTTED, PANEL, WIDE, name_places
from residua.report.style import PALETTE, dress, legend, logarithmic, new_figure, whole_numbers

_NAMED_UP_TO = 60
"""Blocks along a wide figure."""


def shattering(found: Shattering) -> Figure:
    """Draws the gradient's autocorrelation along a line of inputs, beside white and brown noise."""
    figure = new_figure(*PANEL)
    axes = dress(figure.add_subplot(), "", "lag, in points of the line", "autocorrelation")
    axes.plot(found.lags, found.brown, color=PALETTE["held"], linestyle=DASHED, linewidth=1.3, label="brown noise")
    axes.plot(found.lags, found.white, color=PALETTE["soft"], linestyle=DOTTED, linewidth=1.5, label="white noise")
    axes.plot(found.lags, found.autocorrelation, color=PALETTE["train"], linewidth=1.8, label="gradient")
    axes.set_ylim(top=1.05)
    legend(axes)
    whole_numbers(axes)
    return figure


def path_shares(found: PathLengths) -> Figure:
    """Draws how much of the gradient comes through paths of each length, beside the number of such paths."""
    figure = new_figure(*PANEL)
    axes = dress(figure.add_subplot(), "", "branches on the path", "share")
    axes.bar(found.lengths, found.shares, color=PALETTE["fill"], label="of the gradient")
    alike = [comb(found.blocks, length) / 2**found.blocks for length in found.lengths]
    axes.plot(found.lengths, alike, color=PALETTE["held"], linestyle=DASHED, linewidth=1.3, label="of the paths")
    axes.axvline(found.mean_length, color=PALETTE["train"], linewidth=1.6, label="mean")
    legend(axes)
    whole_numbers(axes)
    return figure


def path_norms(found: PathLengths) -> Figure:
    """Draws the norm of the gradient that comes through one path, by the path's length."""
    figure = new_figure(*PANEL)
    axes = dress(figure.add_subplot(), "", "branches on the path", "gradient norm of one path")
    known = [(length, norm) for length, norm in zip(found.lengths, found.norms, strict=True) if norm > 0]
    logarithmic(axes)
    if known:
        axes.plot(*zip(*known, strict=True), "o-", color=PALETTE["train"], markersize=3.5, linewidth=1.6)
    whole_numbers(axes)
    return figure


def blocks_that_matter(found: Lesions) -> Figure:
    """Draws the error after each block was removed, along the depth; dots: with statistics taken anew."""
    figure = new_figure(*WIDE)
    axes = dress(figure.add_subplot(), "", "", f"{found.quantity} without the block")
    for changes, colour, label in ((False, "fill", "shape kept"), (True, "held", "shape changed")):
        bars = [(x, one.error) for x, one in enumerate(found.single) if one.changes_shape is changes]
        if bars:
            axes.bar(*zip(*bars, strict=True), color=PALETTE[colour], label=label)
    again = [(x, one.recalibrated) for x, one in enumerate(found.single) if one.recalibrated is not None]
    if again:
        axes.plot(*zip(*again, strict=True), "o", color=PALETTE["train"], markersize=4.5, label="recalibrated")
    _levels(axes, found)
    legend(axes)
    name_places(axes, [" + ".join(one.names) for one in found.single], what="block", most=_NAMED_UP_TO)
    return figure


def many_lesions(found: Lesions) -> Figure:
    """Draws the error over the number of blocks removed, and of pairs exchanged: every draw, and the medians."""
    figure = new_figure(*PANEL)
    axes = dress(figure.add_subplot(), "", "blocks removed, or pairs exchanged", found.quantity)
    _draws(axes, [(len(one.names), one) for one in found.several], "train", "removed")
    _draws(axes, [(max(1, len(one.names) // 2), one) for one in found.swapped], "held", "exchanged")
    _levels(axes, found)
    legend(axes)
    whole_numbers(axes)
    return figure


def small_batch(found: Questions) -> Figure:
    """Draws the loss while one small batch is learned again and again."""
    figure = new_figure(*PANEL)
    axes = dress(figure.add_subplot(), "", "step", "loss on one small batch")
    axes.plot(range(len(found.overfit)), found.overfit, color=PALETTE["train"], linewidth=1.8, label="measured")
    if found.expected_first_loss is not None:
        expected = found.expected_first_loss
        axes.axhline(expected, color=PALETTE["soft"], linestyle=DASHED, linewidth=0.9, label="expected at first")
    axes.set_ylim(bottom=0)
    legend(axes)
    whole_numbers(axes)
    return figure


def short_trainings(found: Questions) -> Figure:
    """Draws the loss of short trainings on the examples as they are, with blank inputs, with permuted labels."""
    figure = new_figure(*PANEL)
    axes = dress(figure.add_subplot(), "", "step", "loss, smoothed")
    rows = (
        (found.learned, "train", "-", "as they are"),
        (found.blanked, "held", DASHED, "inputs blanked"),
        (found.permuted, "soft", DOTTED, "labels permuted"),
    )
    for losses, colour, style, label in rows:
        if losses:
            axes.plot(range(1, len(losses) + 1), losses, color=PALETTE[colour], linestyle=style, label=label)
    legend(axes)
    whole_numbers(axes)
    return figure


def first_updates(found: Questions) -> Figure:
    """Draws how far the first step moves every tensor."""
    figure = new_figure(*PANEL)
    axes = dress(figure.add_subplot(), "", "tensor, from the input", "first step over weights, norms")
    known = [(x, one.ratio) for x, one in enumerate(found.updates, 1) if one.ratio > 0]
    logarithmic(axes)
    if known:
        axes.plot(*zip(*known, strict=True), ".", color=PALETTE["train"], markersize=5)
    whole_numbers(axes)
    return figure


def _draws(axes: Axes, lesions: Sequence[tuple[int, Lesion]], colour: str, label: str) -> None:
    if not lesions:
        return
    axes.plot(
        [count for count, _ in lesions], [one.error for _, one in lesions], ".", color=PALETTE[colour], markersize=4
    )
    counts = sorted({count for count, _ in lesions})
    middles = [median(one.error for count, one in lesions if count == wanted) for wanted in counts]
    axes.plot(counts, middles, color=PALETTE[colour], linewidth=1.6, label=label)


def _levels(axes: Axes, found: Lesions) -> None:
    axes.axhline(found.whole, color=PALETTE["ink"], linewidth=1.0, linestyle=DASHED, label="whole network")
    if found.chance is not None:
        axes.axhline(found.chance, color=PALETTE["soft"], linewidth=1.0, linestyle=DOTTED, label="chance")
    axes.set_ylim(bottom=0)
