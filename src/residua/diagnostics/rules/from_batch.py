"""What one batch shows on its way forward, and what its gradient does not reach."""

from residua.diagnostics.result import Diagnosis
from residua.diagnostics.rules.rule import WHOLE, Seen, rule
from residua.diagnostics.signals import NormPlace

LARGE_INPUT = 10.0
"""|mean| or standard deviation of the inputs: a unit of healthy inputs is about 1 (LeCun 1998, §4.3), and pixels that
were divided by 255 are below it; what was forgotten is 100 times above."""
SMALL_INPUT = 0.01
"""Standard deviation of the inputs below which biases outweigh them."""
SATURATED = 0.5
"""Share of an activation's outputs, in the median activation."""
DEAD = 0.9
"""Share of an activation's units. At initialisation a half of the units of a deep plain network gives zero for a whole
batch, for its examples have become alike; that is not this fault."""
OFF_MEAN, OFF_VARIANCE = 1.0, 4.0
"""Shift of a running mean in standard deviations, and factor of a running variance."""
SETTLED = 30
"""Batches from which running statistics say something."""
SIGMOIDS = frozenset({"sigmoid", "hardsigmoid", "logsigmoid"})
VANISHING_SIGMOIDS = 0.7
"""Factor of the gradient a layer; five layers then keep a sixth of it."""
FLOOR_SHARE = 0.45
"""Cross-entropy of probabilities taken for logits cannot fall below ln(e + k − 1) − 1, which is 0.45 ln k for two
classes and more for others: a loss that falls lower applies no softmax of its own."""


@rule(
    "inputs not normalised",
    "batch",
    asks=f"inputs of standard deviation {SMALL_INPUT:g} to {LARGE_INPUT:g} and |mean| up to {LARGE_INPUT:g}",
    source="LeCun et al. 1998, Efficient BackProp, §4.3",
)
def inputs_not_normalised(diagnosis: Diagnosis) -> Seen | None:
    """Asks whether inputs are about one unit large; a norm behind the first layer mends most of it."""
    found = diagnosis.signals
    if found is None or found.has_whole_numbers or found.first_bad == "input":
        return None
    mean, deviation = found.input_mean, found.input_deviation
    if abs(mean) <= LARGE_INPUT and SMALL_INPUT <= deviation <= LARGE_INPUT:
        return None
    return Seen(
        severity="warning" if found.has_norms else "serious",
        says=f"mean {mean:.3g}, standard deviation {deviation:.3g}; about 0 and 1 are asked for",
        measured=deviation,
        predicted=1.0,
        where="input",
        remedy=f"subtract {mean:.3g} and divide by {deviation:.3g}, the training examples' own, before the first layer",
    )


@rule(
    "softmax before the loss",
    "batch",
    asks="outputs that are no probabilities, where the loss applies a softmax of its own",
    source="torch.nn.CrossEntropyLoss; the floor ln(e + k − 1) − 1 derived in docs/faults.md",
)
def softmax_before_the_loss(diagnosis: Diagnosis) -> Seen | None:
    """Asks whether the outputs are logits; a loss that was given may want probabilities, and shows it by falling."""
    if diagnosis.signals is None or not diagnosis.signals.are_probabilities:
        return None
    given, asked = not diagnosis.loss_name.startswith("cross-entropy"), diagnosis.questions
    if given and asked is not None and asked.overfit and min(asked.overfit) < FLOOR_SHARE * asked.overfit[0]:
        return None
    return Seen(
        severity="warning" if given else "serious",
        says=f"the outputs sum to one, and the loss is {diagnosis.loss_name}",
        where="output",
        remedy="return the logits: take the softmax out of the forward pass, and use it where probabilities are read",
    )


@rule(
    "norm in evaluation mode",
    "batch",
    asks="batch norms that train while the network trains",
    source="Ioffe and Szegedy 2015, §3.1",
)
def norm_in_evaluation_mode(diagnosis: Diagnosis) -> Seen | None:
    """Asks whether batch norms use the batch; with statistics that fit the examples freezing them may be meant."""
    found = [one for one in diagnosis.signals.norms if one.in_eval] if diagnosis.signals else []
    if not found:
        return None
    fresh = [one for one in found if one.tracked == 0 or _is_off(one.mean_shift, one.variance_ratio)]
    worst = (fresh or found)[0]
    return Seen(
        severity="serious" if fresh else "warning",
        says=f"{len(found)} of {len(diagnosis.signals.norms) if diagnosis.signals else 0} batch norms use running "
        f"statistics while the network trains, from {worst.tracked} batches at {worst.name}",
        measured=worst.variance_ratio,
        predicted=1.0,
        where=worst.name,
        remedy="call model.train() before training, also after every evaluation; "
        "freeze statistics only where they come from training",
    )


@rule(
    "saturated activations",
    "batch",
    asks=f"less than {SATURATED:.0%} of the outputs of sigmoids and tanhs where the derivative is below a twentieth",
    source="Glorot and Bengio 2010, §3",
)
def saturated_activations(diagnosis: Diagnosis) -> Seen | None:
    """Asks whether squashing activations still pass a gradient."""
    places = [one for one in diagnosis.signals.activations if one.saturated > 0] if diagnosis.signals else []
    worst = [one for one in places if one.saturated > SATURATED]
    if not worst:
        return None
    first = worst[0]
    return Seen(
        severity="serious" if 2 * len(worst) > len(places) else "warning",
        says=f"{first.saturated:.0%} of the outputs of {first.op} at {first.name}, and {len(worst)} activations in all",
        measured=first.saturated,
        predicted=0.0,
        where=first.name,
        remedy="initialise with nn.init.xavier_normal_ (gain 5/3 for tanh), or normalise before the activation, "
        "or use ReLU with He's initialisation",
    )


@rule(
    "sigmoid activations",
    "batch",
    asks="no stack of sigmoids whose gradient vanishes: the derivative of each is a quarter at most",
    source="Hochreiter 1991; Glorot and Bengio 2010, §3",
)
def sigmoid_activations(diagnosis: Diagnosis) -> Seen | None:
    """Asks whether most activations are sigmoids, which divide the gradient by four or more at every layer."""
    if diagnosis.signals is None or diagnosis.gradients is None:
        return None
    places = diagnosis.signals.activations
    sigmoids = [one for one in places if one.op.rstrip("_") in SIGMOIDS]
    factor = diagnosis.gradients.per_layer
    if len(sigmoids) < 3 or 2 * len(sigmoids) <= len(places) or not factor < VANISHING_SIGMOIDS:
        return None
    return Seen(
        severity="serious",
        says=f"{len(sigmoids)} of {len(places)} activations are sigmoids, and the gradient changes by "
        f"×{factor:.2g} a layer",
        measured=factor,
        predicted=1.0,
        where=sigmoids[0].name,
        remedy="replace nn.Sigmoid by nn.ReLU inside the network and initialise with nn.init.kaiming_normal_",
    )


@rule(
    "dead units",
    "batch",
    asks=f"no activation with more than {DEAD:.0%} of its units at zero for a whole batch",
    source="Maas et al. 2013, §2; Lu et al. 2019, arXiv:1903.06733",
)
def dead_units(diagnosis: Diagnosis) -> Seen | None:
    """Asks whether every activation lets something through: a layer that gives zero for all stops every gradient."""
    places = [one for one in diagnosis.signals.activations if one.dead > DEAD] if diagnosis.signals else []
    if not places:
        return None
    first = places[0]
    return Seen(
        severity="serious",
        says=f"{first.dead:.0%} of {first.units} units at {first.name} give zero for all examples, "
        f"and so in {len(places)} activations in all",
        measured=first.dead,
        predicted=0.0,
        where=first.name,
        remedy="initialise anew with biases at zero, and lower the learning rate or warm it up; "
        "nn.LeakyReLU passes a gradient where nn.ReLU does not",
    )


@rule(
    "numbers not finite",
    "batch",
    asks="finite numbers in the forward pass",
    source="IEEE 754; torch.autograd.detect_anomaly finds the same in a backward pass",
)
def numbers_not_finite(diagnosis: Diagnosis) -> Seen | None:
    """Asks whether infinities or NaN appear."""
    found = diagnosis.signals
    if found is None or found.is_finite:
        return None
    return Seen(
        severity="serious",
        says=f"the first appear at {found.first_bad or 'an operation without a module'}",
        where=found.first_bad or WHOLE,
        remedy="look at what enters there: inputs with NaN, a division by zero, a logarithm of zero, or float16",
    )


@rule(
    "norm statistics off",
    "batch",
    asks=f"running means within {OFF_MEAN:g} standard deviation and variances within a factor {OFF_VARIANCE:g}",
    source="Ioffe and Szegedy 2015, §3.1",
)
def norm_statistics_off(diagnosis: Diagnosis) -> Seen | None:
    """Asks whether running statistics fit the examples; those of a network that hardly trained need not."""
    norms = diagnosis.signals.norms if diagnosis.signals else ()
    off = [one for one in norms if _has_settled(one) and _is_off(one.mean_shift, one.variance_ratio)]
    if not off:
        return None
    worst = max(off, key=lambda one: max(one.variance_ratio, 1 / max(one.variance_ratio, 1e-12)))
    return Seen(
        severity="warning",
        says=f"at {len(off)} of {len(norms)} batch norms; at {worst.name} the running variance is "
        f"×{worst.variance_ratio:.2g} the examples' and the mean {worst.mean_shift:.2g} standard deviations off",
        measured=worst.variance_ratio,
        predicted=1.0,
        where=worst.name,
        remedy="normalise the examples as in training, or take the statistics anew: reset_running_stats() and some "
        "batches in training mode",
    )


def _has_settled(norm: NormPlace) -> bool:
    """Says whether enough batches were counted: at torch's momentum of 0.1, 0.9^30 = 4 % of the start are left."""
    return norm.tracked is None or norm.tracked >= SETTLED


def _is_off(mean_shift: float, variance_ratio: float) -> bool:
    return not (mean_shift <= OFF_MEAN and 1 / OFF_VARIANCE <= variance_ratio <= OFF_VARIANCE)
