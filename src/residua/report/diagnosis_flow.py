"""What the page of a diagnosis says of a run's record, and of what flows back and forth in one pass."""

from collections.abc import Iterator

from residua.diagnostics.additive import AdditiveCheck
from residua.diagnostics.gradients import GradientFlow
from residua.diagnostics.result import RunFacts
from residua.diagnostics.signals import Signals
from residua.report import diagnosis_figures as along
from residua.report.numbers import count, measure, percent
from residua.report.section import Drawing, Rows, Section, plural, spread

_KINDS = {"identity": "the identity", "free": "without weights", "projection": "a projection"}


def run(facts: RunFacts) -> Section:
    """Says what the run's own record holds."""
    epochs = len(facts.train_losses)
    rows = zip(
        facts.train_losses, facts.train_accuracies, facts.validation_losses, facts.validation_accuracies, strict=True
    )
    cells = tuple(
        (str(epoch), measure(loss), percent(accuracy), measure(held_loss), percent(held_accuracy))
        for epoch, (loss, accuracy, held_loss, held_accuracy) in enumerate(rows, 1)
    )
    columns = ("epoch", "training loss", "training accuracy", "validation loss", "validation accuracy")
    state = "finished" if facts.finished else "did not finish"
    last = f"; the last had training accuracy {cells[-1][2]} and validation accuracy {cells[-1][4]}" if cells else ""
    without = "" if facts.baseline is None else f" The best answer without a network has {percent(facts.baseline)}."
    return Section(
        name="run",
        title="What the run recorded",
        says=f"The run {state} after {plural(epochs, 'epoch')}{last}.{without}",
        caption=f"Losses are the cross-entropy in nats, mean over the examples; training losses with label smoothing "
        f"{measure(facts.label_smoothing)}. It learned from {count(facts.training_examples)} examples.",
        tables=(Rows(caption="Every epoch", columns=columns, cells=cells),) if cells else (),
    )


def gradients(flow: GradientFlow) -> Section:
    """Says how the gradient changes on its way back, and whether that is as predicted, and whether healthy."""
    where = "additions" if flow.along == "additions" else "layers"
    low, high = flow.per_layer_interval
    return Section(
        name="gradients",
        title="The gradient, layer by layer",
        says=f"On its way back the gradient changes by ×{measure(flow.per_layer)} a layer "
        f"(95 % interval {measure(low)} to {measure(high)}) over {plural(flow.layers, 'layer')}.",
        caption="Norm of the gradient of one example’s loss by a place’s output, root mean square over "
        f"{plural(flow.examples, 'example')}; unit: loss (nats for a cross-entropy) a unit of the output. The line is "
        f"the median of {plural(len(flow.ratio.values), 'batch', 'batches')}, the band from the smallest to the "
        f"largest. The change a layer is a Theil–Sen fit over the {where}.",
        drawings=tuple(_gradient_drawings(flow)),
        tables=(_ratio(flow), _places(flow)),
    )


def _gradient_drawings(flow: GradientFlow) -> Iterator[Drawing]:
    label = "Gradient norm over the depth, on a logarithmic axis"
    yield Drawing(name="gradients", draw=lambda: along.gradient_flow(flow), label=label, wide=True)
    if any(place.weights is not None for place in flow.places):
        label = "Norm of each layer's gradient over the norm of its weights, over the depth"
        yield Drawing(name="weight-gradients", draw=lambda: along.weight_gradients(flow), label=label)


def _ratio(flow: GradientFlow) -> Rows:
    """Keeps apart what theory says of the ratio and whether it is healthy: a plain net may explode as predicted."""
    prediction = flow.prediction
    predicted = measure(prediction.value) if prediction else f"none: {flow.no_prediction}"
    theory = {None: "nothing predicted", True: "yes", False: "no"}[flow.as_theory]
    quantity = prediction.quantity if prediction else "norm at the first place over that at the last"
    if prediction:
        predicted += f" ({prediction.source})"
    return Rows(
        caption=f"The ratio over the whole depth, over {plural(flow.layers, 'layer')}; no unit",
        columns=("ratio", "measured", "predicted", "as theory says", "healthy"),
        cells=((quantity, spread(flow.ratio), predicted, theory, "yes" if flow.is_healthy else "no"),),
        folded=False,
    )


def _places(flow: GradientFlow) -> Rows:
    cells = tuple(
        (
            place.name or "the network",
            str(place.layers_before),
            spread(place.stream),
            spread(place.branch),
            spread(place.shortcut),
            spread(place.weights),
        )
        for place in flow.places
    )
    columns = ("place", "depth", "stream", "branch’s part", "shortcut’s part", "over weights")
    return Rows(caption="Every place: median (smallest to largest over the batches)", columns=columns, cells=cells)


def signals(found: Signals) -> Section:
    """Says how large the stream grows, and which units are dead."""
    return Section(
        name="signals",
        title="The signal on its way forward",
        says=" ".join(_signals_say(found)) or "Nothing along the way could be measured.",
        caption=f"Inputs have mean {measure(found.input_mean)} and standard deviation "
        f"{measure(found.input_deviation)}, outputs standard deviation {measure(found.output_deviation)}. Variance: of "
        "a channel over examples and positions, mean over the channels, in squared units of the stream. A dead unit is "
        "0 for all examples and positions; a saturated output lies where the derivative is below a twentieth of its "
        "largest.",
        drawings=tuple(_signal_drawings(found)),
        tables=tuple(table for table in _signal_tables(found) if table.cells),
    )


def _signals_say(found: Signals) -> Iterator[str]:
    if not found.is_finite:
        yield f"Numbers stop being finite at {found.first_bad}."
    if found.stream:
        first, last = found.stream[0], found.stream[-1]
        ahead = "" if last.predicted_variance is None else f", predicted {measure(last.predicted_variance)}"
        yield (
            f"The stream’s variance goes from {measure(first.variance)} to {measure(last.variance)}{ahead}, over "
            f"{plural(len(found.stream), 'addition')}; the last branch’s share of it is "
            f"{percent(last.share_of_variance)}."
        )
    if found.activations:
        worst = max(found.activations, key=lambda one: one.dead)
        yield f"Most dead units: {percent(worst.dead)} of the {count(worst.units)} in {worst.name or worst.op}."


def _signal_drawings(found: Signals) -> Iterator[Drawing]:
    if found.stream:
        yield Drawing(name="variance", draw=lambda: along.stream_variance(found), label="Variance of the stream")
        yield Drawing(name="share", draw=lambda: along.branch_share(found), label="Share of the branch in the stream")
    if found.activations:
        yield Drawing(name="dead-units", draw=lambda: along.dead_units(found), label="Share of dead units")
    if found.layer_deviations:
        label = "Standard deviation of each layer's output"
        yield Drawing(name="deviations", draw=lambda: along.layer_deviations(found), label=label)


def _signal_tables(found: Signals) -> tuple[Rows, ...]:
    stream = tuple(
        (
            one.name,
            measure(one.squared_mean),
            measure(one.variance),
            measure(one.predicted_variance),
            percent(one.share_of_moment),
            percent(one.share_of_variance),
            percent(one.predicted_share),
        )
        for one in found.stream
    )
    activations = tuple(
        (one.name or "the network", one.op, count(one.units), percent(one.dead), percent(one.saturated))
        for one in found.activations
    )
    norms = tuple(
        (
            one.name,
            measure(one.mean_shift),
            measure(one.variance_ratio),
            "–" if one.tracked is None else count(one.tracked),
            "evaluation" if one.in_eval else "as the module",
        )
        for one in found.norms
    )
    layers = tuple((name, measure(deviation)) for name, deviation in found.layer_deviations)
    heads = ("addition", "mean²", "variance", "predicted", "of the moment", "of the variance", "predicted share")
    return (
        Rows(caption="The stream behind every addition; shares are the branch’s", columns=heads, cells=stream),
        Rows(caption="Activations", columns=("place", "what", "units", "dead", "saturated"), cells=activations),
        Rows(
            caption="Batch norms: running statistics beside these examples’. Shift in standard deviations; variance as "
            "running over these",
            columns=("norm", "shift", "variance", "batches", "mode"),
            cells=norms,
        ),
        Rows(caption="Layers: standard deviation of the output", columns=("layer", "deviation"), cells=layers),
    )


def additive(found: AdditiveCheck) -> Section:
    """Says whether the gradient of every block is the sum of its two ways'."""
    failed = len(found.failed)
    good = f"In all {plural(len(found.blocks), 'block')} the gradient is the sum of the branch’s and the shortcut’s."
    bad = f"{failed} of {plural(len(found.blocks), 'block')} fail: the backward pass is not that of the forward pass."
    cells = tuple(
        (
            one.name,
            _KINDS[one.kind],
            measure(one.total),
            measure(one.shortcut),
            measure(one.branch),
            measure(one.error),
            measure(one.slope_error),
            "fails" if one in found.failed else "holds",
        )
        for one in found.blocks
    )
    columns = ("block", "shortcut is", "whole", "shortcut’s", "branch’s", "error", "slope error", "")
    return Section(
        name="additive",
        title="Whether gradients add up",
        says=bad if failed else good,
        caption=f"He et al. 2016, Eq. 5, by independent products in {found.precision}: norms of gradients by the "
        f"block’s input. Errors are relative, without unit; at most {measure(found.tolerance)} is allowed, and "
        f"{measure(found.slope_tolerance)} of the slope.",
        tables=(Rows(caption="Every block", columns=columns, cells=cells),),
    )
