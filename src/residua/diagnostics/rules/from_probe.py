"""What a short training on a copy shows."""

from collections.abc import Sequence
from math import inf, isfinite, log
from statistics import median

from residua.diagnostics.questions import Questions
from residua.diagnostics.result import Diagnosis
from residua.diagnostics.rules.rule import Seen, rule, times

UPDATE_TOO_LARGE, UPDATE_TOO_SMALL = 0.1, 1e-6
"""Median of ‖w′ − w‖ / ‖w‖ at the first step, over the weights that the step moves; healthy networks have 1e-4 to 0.05
(docs/faults.md)."""
MOVED = 0.01
"""Share of the largest such ratio below which a tensor counts as not moved: in a zero-initialised branch the layers
before the last get no gradient at first, but for decay."""
FIRST_LOSS_OFF = 2.0
"""First loss over ln k."""
FEW_STEPS = 20
"""Below so many, in the little time that a large network leaves, not learning says nothing."""
MEMORISED = 0.5
"""Share of its first loss to which one small batch must come down."""
KNOWN = 0.1
"""Share of ln k below which a batch counts as known already."""
NO_BETTER = 0.95
"""Share of the loss of the other training that a training must come below to be better than it."""


@rule(
    "update too large",
    "probe",
    asks=f"a first step that moves the median tensor by less than {UPDATE_TOO_LARGE:g} of its norm",
    source="docs/faults.md, measured; You et al. 2017, arXiv:1708.03888, Table 2, for the usual size",
)
def update_too_large(diagnosis: Diagnosis) -> Seen | None:
    """Asks whether the first step leaves the weights what they are."""
    ratio = _update(diagnosis.questions)
    asked = diagnosis.questions
    if ratio is None or ratio <= UPDATE_TOO_LARGE or (asked is not None and not isfinite(asked.first_loss)):
        return None
    return Seen(
        severity="serious",
        says=f"the first step moves the median tensor by {_of(ratio)} of its norm; about 1e-3 is usual",
        measured=ratio,
        predicted=1e-3,
        where="optimizer",
        remedy=f"divide the learning rate by {10 ** max(1, round(log(min(ratio, 1e9) / 1e-2, 10))):g}",
    )


@rule(
    "update too small",
    "probe",
    asks=f"a first step that moves the median tensor by more than {UPDATE_TOO_SMALL:g} of its norm",
    source="You et al. 2017, arXiv:1708.03888, Table 2, for the usual size",
)
def update_too_small(diagnosis: Diagnosis) -> Seen | None:
    """Asks whether the first step moves anything."""
    ratio = _update(diagnosis.questions)
    if ratio is None or ratio >= UPDATE_TOO_SMALL:
        return None
    return Seen(
        severity="warning",
        says=f"the first step moves the median tensor by {ratio:.1e} of its norm; about 1e-3 is usual",
        measured=ratio,
        predicted=1e-3,
        where="optimizer",
        remedy="multiply the learning rate by 100, once the gradients' own findings are mended",
    )


@rule(
    "labels say nothing",
    "probe",
    asks=f"a training that comes below {NO_BETTER:g} of the loss with permuted labels",
    source="Zhang et al. 2017, arXiv:1611.03530, §2: random labels are learned only by heart",
)
def labels_say_nothing(diagnosis: Diagnosis) -> Seen | None:
    """Asks whether true labels are learned faster than permuted ones, by a network that can learn a batch by heart."""
    asked = diagnosis.questions
    if asked is None or asked.steps < FEW_STEPS:
        return None
    if not _memorises(asked) or not _no_better(asked.learned, asked.permuted) or not isfinite(_end(asked.learned)):
        return None
    return Seen(
        severity="warning",
        says=f"after {asked.steps} steps the loss is {_end(asked.learned):.3g}, and {_end(asked.permuted):.3g} "
        "with labels permuted among the examples",
        measured=_end(asked.learned),
        predicted=_end(asked.permuted),
        where="labels",
        remedy="look at some examples beside their labels, which may have been shuffled or sorted apart; else the "
        "task needs more steps than these, and a longer training tells",
    )


@rule(
    "first loss off",
    "probe",
    asks=f"a first loss up to {FIRST_LOSS_OFF:g} ln k for k classes",
    source="−ln(1/k) for even probabilities; docs/faults.md for the threshold",
)
def first_loss_off(diagnosis: Diagnosis) -> Seen | None:
    """Asks whether an untrained network says that it does not know."""
    asked = diagnosis.questions
    if asked is None or not asked.expected_first_loss:
        return None
    if asked.first_loss <= FIRST_LOSS_OFF * asked.expected_first_loss:
        return None
    return Seen(
        severity="warning",
        says=f"{asked.first_loss:.3g} where even probabilities give {asked.expected_first_loss:.3g}",
        measured=asked.first_loss,
        predicted=asked.expected_first_loss,
        where="output",
        remedy="initialise the last layer with small weights and no bias: nn.init.normal_(head.weight, std=0.01)",
    )


@rule(
    "cannot learn one batch",
    "probe",
    asks=f"one small batch whose loss falls below {MEMORISED:.0%} of the first",
    source="Karpathy 2019, A Recipe for Training Neural Networks, step 2",
)
def cannot_learn_one_batch(diagnosis: Diagnosis) -> Seen | None:
    """Asks whether the network, the loss and the optimizer can learn a few examples by heart."""
    asked = diagnosis.questions
    if asked is None or _memorises(asked) or _ended_early(asked):
        return None
    best = min(map(_number, asked.overfit))
    return Seen(
        severity="warning" if _still_falls(asked.overfit) else "serious",
        says=f"{asked.overfit_examples} examples again and again, and the loss goes from {asked.overfit[0]:.3g} to "
        f"{_number(asked.overfit[-1]):.3g} in {len(asked.overfit)} steps",
        measured=best,
        predicted=0.0,
        remedy="mend the findings above first; else try learning rates ×10 and ÷10, and check that the labels belong "
        "to the outputs",
    )


@rule(
    "inputs do not matter",
    "probe",
    asks=f"a training that comes below {NO_BETTER:g} of the loss with all inputs alike",
    source="Karpathy 2019, A Recipe for Training Neural Networks, step 2: input-independent baseline",
)
def inputs_do_not_matter(diagnosis: Diagnosis) -> Seen | None:
    """Asks whether the network learns more than the labels' frequencies."""
    asked = diagnosis.questions
    if asked is None or asked.steps < FEW_STEPS or not _no_better(asked.learned, asked.blanked):
        return None
    return Seen(
        severity="warning" if _memorises(asked) else "serious",
        says=f"after {asked.steps} steps the loss is {_end(asked.learned):.3g}, and {_end(asked.blanked):.3g} "
        "with all inputs alike",
        measured=_end(asked.learned),
        predicted=_end(asked.blanked),
        remedy="mend the findings above first; else check that the inputs arrive: print some, and their gradient",
    )


def _update(asked: Questions | None) -> float | None:
    """Returns the median ratio over the weights that are moved; infinite where steps are no numbers.

    Biases are left out: they begin at zero, so that a step is large beside what they have become after a few.
    """
    updates = asked.updates if asked else ()
    ratios = [_number(one.ratio) for one in updates if one.name.rpartition(".")[2] != "bias"]
    return median(one for one in ratios if one >= MOVED * max(ratios)) if ratios else None


def _of(ratio: float) -> str:
    return times(ratio).removeprefix("×")


def _number(value: float) -> float:
    return value if isfinite(value) else inf


def _end(losses: Sequence[float] | None) -> float:
    """Returns the last loss; infinite where it is no number."""
    return _number(losses[-1]) if losses else inf


def _memorises(asked: Questions) -> bool:
    """Says whether the batch was learned by heart, or was known from the beginning; true where it was not asked."""
    known = KNOWN * (asked.expected_first_loss or 0.0)
    return not asked.overfit or min(map(_number, asked.overfit)) < max(known, MEMORISED * asked.overfit[0])


def _no_better(losses: Sequence[float] | None, others: Sequence[float] | None) -> bool:
    return bool(losses) and bool(others) and not _end(losses) < NO_BETTER * _end(others)


def _still_falls(losses: Sequence[float]) -> bool:
    """Says whether a tenth of the loss went, and some of that in the last fifth: slow, and on its way."""
    late = losses[-max(1, len(losses) // 5) - 1]
    return _number(losses[-1]) < 0.9 * losses[0] and _number(losses[-1]) < 0.99 * late


def _ended_early(asked: Questions) -> bool:
    """Says whether the one batch was given too few steps to learn, rather than lost at a loss that is no number."""
    return len(asked.overfit) < FEW_STEPS and all(map(isfinite, asked.overfit))
