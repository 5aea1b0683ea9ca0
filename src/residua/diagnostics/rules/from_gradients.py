"""What the gradient tells on its way back, and the forward scale that belongs to it."""

from collections.abc import Sequence
from itertools import pairwise
from math import exp, inf, isfinite, log, prod
from statistics import median

from residua.diagnostics.additive import AdditiveBlock
from residua.diagnostics.gradients import HEALTHY, GradientFlow, largest_healthy
from residua.diagnostics.result import Diagnosis
from residua.diagnostics.rules.rule import WHOLE, Seen, rule, times

SCALED = 0.9
"""Median over the blocks of what a shortcut passes of the gradient."""
SCALED_AWAY = 0.1
"""Product of these over all blocks (He et al. 2016, §3.1: the product of the scales)."""
DEVIATION = 1e2
"""Factor by which the standard deviation of layers' outputs may change over the network without a norm."""
DEEP = 20
"""Weighted layers from which plain networks train worse than shallower ones (He et al. 2015, Fig. 1 and 6: 20 does, 56
does not)."""
PLAIN_RATIO = 30.0
"""Gradient ratio, either way, of a deep plain network: with batch norm (π/(π − 1))^(L/2) is 46 for 20 layers."""


@rule(
    "gradient not additive",
    "batch",
    asks="that the gradient of every block is the sum of its shortcut's and its branch's",
    source="He et al. 2016, Eq. 5",
)
def gradient_not_additive(diagnosis: Diagnosis) -> Seen | None:
    """Asks whether each block's backward belongs to its forward."""
    failed = diagnosis.additive.failed if diagnosis.additive else ()
    if not failed:
        return None
    worst = max(failed, key=_error)
    return Seen(
        severity="serious",
        says=f"at {len(failed)} of {len(diagnosis.additive.blocks) if diagnosis.additive else 0} blocks, by "
        f"{_error(worst):.1e} at {worst.name}",
        measured=_error(worst),
        predicted=0.0,
        where=worst.name,
        remedy=f"run torch.autograd.gradcheck on {worst.name}: a custom backward in its branch is wrong",
    )


@rule(
    "shortcuts are scaled",
    "batch",
    asks=f"shortcuts that pass more than {SCALED:g} and less than {1 / SCALED:.2g} of the gradient",
    source="He et al. 2016, §3.1 and Table 1: scales of 0.5 took the error of ResNet-110 from 6.6 to 12.4 %",
)
def shortcuts_are_scaled(diagnosis: Diagnosis) -> Seen | None:
    """Asks whether shortcuts pass the gradient as it is: scales multiply from block to block."""
    scales = _scales(diagnosis.gradients)
    if len(scales) < 2 or SCALED < median(scales) < 1 / SCALED:
        return None
    product = prod(scales)
    away = product < SCALED_AWAY or product > 1 / SCALED_AWAY
    return Seen(
        severity="serious" if away else "warning",
        says=f"they pass {times(median(scales))} of the gradient, {times(product)} over {len(scales)} blocks",
        measured=product,
        predicted=1.0,
        remedy="make the shortcut the identity, h + branch(h); scale the branch instead where the sum grows",
    )


@rule(
    "wrong initialisation",
    "batch",
    asks=f"layers without norm whose outputs change by less than ×{DEVIATION:g}, and gradients by less than "
    f"×{HEALTHY:g}, over the network",
    source="He et al. 2015 (Delving Deep), §2.2, Eq. 10 and 14; Glorot and Bengio 2010, §4.2.1",
)
def wrong_initialisation(diagnosis: Diagnosis) -> Seen | None:
    """Asks whether initialisation keeps the signal or the gradient at one scale, where no norm does."""
    if diagnosis.signals is None or diagnosis.signals.has_norms:
        return None
    deviations = [value for _, value in diagnosis.signals.layer_deviations]
    forward = _factor(deviations)
    over_all = abs((len(deviations) - 1) * log(forward))  # in logarithms: deep networks overflow
    flow = diagnosis.gradients
    backward = flow.per_layer if flow is not None and _leaves(flow) else 1.0
    if over_all < log(DEVIATION) and backward == 1.0:
        return None
    return Seen(
        severity="serious",
        says=f"outputs change by {times(forward)} a layer over {len(deviations)} layers"
        + (f", gradients by {times(backward)}" if backward != 1.0 else ""),
        measured=forward,
        predicted=1.0,
        where=diagnosis.signals.layer_deviations[0][0] if deviations else WHOLE,
        remedy="initialise every layer with nn.init.kaiming_normal_(weight, nonlinearity='relu') and its bias with 0 "
        "(nn.init.xavier_normal_ for tanh), the last layer of each branch with 0, or put a norm behind each layer",
    )


@rule(
    "deep plain network",
    "batch",
    asks=f"shortcuts in a network of {DEEP} layers or more whose gradient changes by ×{PLAIN_RATIO:g} or more",
    source="He et al. 2015, Fig. 1 and 6; Balduzzi et al. 2017, arXiv:1702.08591",
)
def deep_plain_network(diagnosis: Diagnosis) -> Seen | None:
    """Asks whether a deep network that has no additions suffers from their lack."""
    flow = diagnosis.gradients
    if flow is None or diagnosis.additions or diagnosis.layers < DEEP:
        return None
    if 1 / PLAIN_RATIO <= flow.ratio.median <= PLAIN_RATIO:
        return None
    predicted = flow.prediction.value if flow.prediction else None
    beside = f" ({predicted:.2g} as predicted for a plain network)" if predicted else ""
    return Seen(
        severity="serious" if _leaves(flow) else "warning",
        says=f"{diagnosis.layers} layers without a shortcut, and the gradient changes by "
        f"{times(flow.ratio.median)}{beside} from the last to the first",
        measured=flow.ratio.median,
        predicted=predicted,
        remedy="add shortcuts, h + branch(h), around every two layers: the residual twin of the same layers",
    )


@rule(
    "gradients vanish",
    "batch",
    asks=f"a gradient at the first place above {1 / HEALTHY:g} of that at the last, L^-1.5 over very many layers",
    source="Hochreiter 1991; Glorot and Bengio 2010, §4.2; docs/faults.md for the threshold",
)
def gradients_vanish(diagnosis: Diagnosis) -> Seen | None:
    """Asks whether enough of the gradient reaches the first layers."""
    flow = diagnosis.gradients
    return None if flow is None or not _vanishes(flow) else _flow_seen(flow, "raise", diagnosis)


@rule(
    "gradients explode",
    "batch",
    asks=f"a gradient at the first place below {HEALTHY:g} times that at the last, L^1.5 over very many layers",
    source="Pascanu et al. 2013, arXiv:1211.5063; docs/faults.md for the threshold",
)
def gradients_explode(diagnosis: Diagnosis) -> Seen | None:
    """Asks whether the gradient stays finite and of one scale on its way to the first layers."""
    flow = diagnosis.gradients
    return None if flow is None or not _explodes(flow) else _flow_seen(flow, "lower", diagnosis)


def _error(block: AdditiveBlock) -> float:
    return max(block.error, block.slope_error or 0.0)


def _flow_seen(flow: GradientFlow, change: str, diagnosis: Diagnosis) -> Seen:
    first = next((one for one in flow.places if flow.along == f"{one.kind}s"), flow.places[0])
    predicted = flow.prediction.value if flow.prediction else None
    beside = f"; predicted for the ratio {predicted:.2g}, measured {flow.ratio.median:.2g}" if predicted else ""
    return Seen(
        severity="serious",
        says=f"{times(flow.per_layer)} a layer over {flow.layers} layers, {first.stream.median:.1e} at "
        f"{f'module {first.name}' if first.name.isdigit() else first.name}{beside}",
        measured=flow.ratio.median,
        predicted=predicted,
        where=first.name,
        remedy=f"{change} the scale of the weights (He's initialisation), add norms"
        + ("" if diagnosis.additions else ", add shortcuts around every two layers")
        + ("; clip the gradient's norm until then" if change == "lower" else ""),
    )


def _scales(flow: GradientFlow | None) -> list[float]:
    """Returns ‖J_sᵀ g‖ / ‖g‖ of the blocks whose shortcut could be the identity.

    One that projects learns its scale, and one that pads and strides passes what it does not leave out.
    """
    places = [one for one in flow.places if one.shortcut_kind != "projection" and one.keeps_shape] if flow else []
    pairs = [(one.shortcut.median, one.stream.median) for one in places if one.shortcut is not None]
    return [shortcut / stream for shortcut, stream in pairs if stream > 0 and isfinite(shortcut / stream)]


def _leaves(flow: GradientFlow) -> bool:
    """Says whether the gradient's ratio is no healthy one, or no number at all."""
    most = largest_healthy(flow.layers)
    return not 1 / most <= flow.ratio.median <= most


def _vanishes(flow: GradientFlow) -> bool:
    return flow.ratio.median < 1 / largest_healthy(flow.layers)


def _explodes(flow: GradientFlow) -> bool:
    return flow.ratio.median > largest_healthy(flow.layers)


def _factor(values: Sequence[float]) -> float:
    """Returns the median factor from one value to the next; 1 for fewer than three."""
    steps = [log(b / a) for a, b in pairwise(values) if 0 < a < inf and 0 < b < inf]
    return exp(median(steps)) if len(steps) >= 2 else 1.0
