"""The figures of a diagnosis along the depth of a network: gradients, signals, what the stages do."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from residua.diagnostics.estimation import Estimation
from residua.diagnostics.gradients import GradientFlow, GradientPlace
from residua.diagnostics.information import Information
from residua.diagnostics.measured import Measured
from residua.diagnostics.signals import Signals
from residua.report.style import PALETTE, can_draw, dress, legend, logarithmic, new_figure, whole_numbers

WIDE, PANEL = (9.0, 3.6), (4.3, 2.9)
DASHED, DOTTED = (0, (4, 3)), (0, (1, 2))
_DEPTH = "depth: weighted layers from the input"
_SLANTED_UP_TO = 20
_SMALLEST = 1e-38
"""Of a logarithmic axis; a gradient of exactly 0 is left out."""


def gradient_flow(flow: GradientFlow) -> Figure:
    """Draws the gradient's norm over the depth: of the stream, and what branch and shortcut bring; bands: all batches.

    The predicted ratio is a mark at the first place that the ratio is of: its height is the last place's norm times it.
    """
    figure = new_figure(*WIDE)
    axes = dress(figure.add_subplot(), "", _DEPTH, "gradient norm, loss a unit")
    logarithmic(axes)
    layers = [place for place in flow.places if place.kind == "layer"]
    blocks = [place for place in flow.places if place.kind == "addition"]
    if flow.along == "additions":
        _dots(axes, layers, "after each layer")
    along = blocks if flow.along == "additions" else layers
    _band(axes, along, [place.stream for place in along], "train", "stream")
    _line(axes, [(p.layers_before, p.branch) for p in blocks if p.branch], "held", "branch’s part")
    _line(axes, [(p.layers_before, p.shortcut) for p in blocks if p.shortcut], "soft", "shortcut’s part")
    if flow.prediction is not None and along:
        predicted = along[-1].stream.median * flow.prediction.value
        axes.plot(
            [along[0].layers_before], [predicted], "D", color=PALETTE["ink"], markerfacecolor="none", label="predicted"
        )
    legend(axes)
    whole_numbers(axes)
    return figure


def weight_gradients(flow: GradientFlow) -> Figure:
    """Draws each layer's gradient over its weights' norm, over the depth."""
    figure = new_figure(*PANEL)
    axes = dress(figure.add_subplot(), "", _DEPTH, "gradient over weights, norms")
    logarithmic(axes)
    known = [(place, place.weights) for place in flow.places if place.weights is not None]
    _band(axes, [place for place, _ in known], [weights for _, weights in known], "train", "")
    whole_numbers(axes)
    return figure


def stream_variance(signals: Signals) -> Figure:
    """Draws the variance of the stream behind each addition, beside what is predicted."""
    figure = new_figure(*PANEL)
    axes = dress(figure.add_subplot(), "", "addition, from the input", "variance of a channel")
    places = range(1, len(signals.stream) + 1)
    axes.plot(places, [one.variance for one in signals.stream], "o-", color=PALETTE["train"], ms=3, label="measured")
    known = [(x, one.predicted_variance) for x, one in zip(places, signals.stream, strict=True)]
    _predicted(axes, known)
    if all(one.variance > 0 for one in signals.stream) and _spread([one.variance for one in signals.stream]) > 100:
        logarithmic(axes)
    else:
        axes.set_ylim(bottom=0)
    legend(axes)
    whole_numbers(axes)
    return figure


def branch_share(signals: Signals) -> Figure:
    """Draws the branch's share of the channel variance at each addition, beside what is predicted."""
    figure = new_figure(*PANEL)
    axes = dress(figure.add_subplot(), "", "addition, from the input", "branch’s share of the variance")
    places = range(1, len(signals.stream) + 1)
    axes.bar(places, [one.share_of_variance for one in signals.stream], color=PALETTE["fill"], label="measured")
    _predicted(axes, [(x, one.predicted_share) for x, one in zip(places, signals.stream, strict=True)])
    axes.set_ylim(0, 1)
    legend(axes)
    whole_numbers(axes)
    return figure


def dead_units(signals: Signals) -> Figure:
    """Draws the share of dead units of each activation, and of saturated outputs."""
    figure = new_figure(*PANEL)
    axes = dress(figure.add_subplot(), "", "activation, from the input", "share")
    places = range(1, len(signals.activations) + 1)
    axes.bar(places, [one.dead for one in signals.activations], color=PALETTE["fill"], label="dead units")
    axes.plot(places, [one.saturated for one in signals.activations], color=PALETTE["held"], label="saturated outputs")
    axes.set_ylim(0, 1)
    legend(axes)
    whole_numbers(axes)
    return figure


def layer_deviations(signals: Signals) -> Figure:
    """Draws the standard deviation of every layer's output (He et al. 2015, Fig. 7)."""
    figure = new_figure(*PANEL)
    axes = dress(figure.add_subplot(), "", "layer, from the input", "standard deviation of outputs")
    values = [deviation for _, deviation in signals.layer_deviations]
    axes.plot(range(1, len(values) + 1), values, color=PALETTE["train"], linewidth=1.6)
    if values and min(values) > 0 and _spread(values) > 100:
        logarithmic(axes)
    else:
        axes.set_ylim(bottom=0)
    whole_numbers(axes)
    return figure


def estimates(found: Estimation) -> Figure:
    """Draws, stage by stage, the cosine of each block's output to that of the stage's last block."""
    figure = new_figure(*PANEL)
    axes = dress(figure.add_subplot(), "", "place, from the input; a line for each stage", "cosine to the stage’s end")
    first = 1
    for stage in found.stages:
        places = range(first, first + len(stage.cosines))
        axes.plot(places, stage.cosines, "o-", color=PALETTE["train"], markersize=3.5, linewidth=1.6)
        first += len(stage.cosines)
    axes.set_ylim(top=1.03)
    whole_numbers(axes)
    return figure


def information(found: Information) -> Figure:
    """Draws how much of the input a linear read-out finds again at each place."""
    figure = new_figure(*PANEL)
    axes = dress(figure.add_subplot(), "", "", "held-out R²")
    axes.axhline(0, color=PALETTE["soft"], linewidth=0.8, linestyle=DASHED)
    values = [max(-0.5, place.r2) for place in found.places]
    axes.plot(range(len(values)), values, "o-", color=PALETTE["train"], markersize=4, linewidth=1.6)
    axes.set_ylim(top=1.05)
    name_places(axes, [place.name for place in found.places], what="place")
    return figure


def name_places(axes: Axes, names: Sequence[str], *, what: str, most: int = 20) -> None:
    """Writes names below an axis that counts from 0, or numbers where room or letters are wanting."""
    if len(names) <= most and can_draw(names):
        upright = len(names) > _SLANTED_UP_TO
        axes.set_xticks(range(len(names)), names, parse_math=False, rotation=90 if upright else 55)
        axes.tick_params(axis="x", length=0, labelsize=7 if upright else 8)
        for label in axes.get_xticklabels():
            label.set_horizontalalignment("center" if upright else "right")
        return
    axes.set_xlabel(f"{what}, counted from 0, from the input")
    whole_numbers(axes)


def _band(axes: Axes, places: Sequence[GradientPlace], norms: Sequence[Measured], colour: str, label: str) -> None:
    depths = [place.layers_before for place in places]
    low, high = [max(one.low, _SMALLEST) for one in norms], [max(one.high, _SMALLEST) for one in norms]
    axes.fill_between(depths, low, high, color=PALETTE["fill"], alpha=0.6, linewidth=0)
    medians = [max(one.median, _SMALLEST) for one in norms]
    axes.plot(depths, medians, "o-", color=PALETTE[colour], markersize=3, linewidth=1.6, label=label or None)


def _line(axes: Axes, norms: Sequence[tuple[int, Measured]], colour: str, label: str) -> None:
    known = [(depth, one.median) for depth, one in norms if one.median > 0]
    if known:
        axes.plot(*zip(*known, strict=True), color=PALETTE[colour], linestyle=DASHED, linewidth=1.3, label=label)


def _dots(axes: Axes, places: Sequence[GradientPlace], label: str) -> None:
    known = [(place.layers_before, place.stream.median) for place in places if place.stream.median > 0]
    if known:
        axes.plot(*zip(*known, strict=True), ".", color=PALETTE["soft"], markersize=3.5, label=label)


def _predicted(axes: Axes, values: Sequence[tuple[int, float | None]]) -> None:
    known = [(x, value) for x, value in values if value is not None]
    if known:
        axes.plot(*zip(*known, strict=True), color=PALETTE["held"], linestyle=DASHED, linewidth=1.4, label="predicted")


def _spread(values: Sequence[float]) -> float:
    return max(values) / min(values)
