"""What the first step will not move, and how much of it is decay."""

from residua.diagnostics.result import Diagnosis
from residua.diagnostics.rules.rule import Seen, rule

DECAYED = 0.05
"""Share of the first step that is weight decay; usual are 0.001 to 0.02 (docs/faults.md)."""
LEARNED_LOSS = 0.5
"""Share of ln k below which a loss belongs to a network that has learned, whose gradient decay may well balance."""


@rule(
    "blocks that never wake",
    "batch",
    asks="a gradient for some parameter of every block whose branch is zero",
    source="He et al. 2016, §3.1; Zhang et al. 2019 (Fixup), §3: only the last layer of a branch starts at zero",
)
def blocks_that_never_wake(diagnosis: Diagnosis) -> Seen | None:
    """Asks whether blocks that start as the identity can leave it."""
    asleep = diagnosis.first_step.asleep if diagnosis.first_step else ()
    if not asleep:
        return None
    return Seen(
        severity="serious",
        says=f"{len(asleep)} of {diagnosis.additions} branches give zero and get no gradient, the first at {asleep[0]}",
        measured=float(len(asleep)),
        predicted=0.0,
        where=asleep[0],
        remedy="set only the last layer of each branch to zero (the last norm's weight, or the last weight and no "
        "ReLU behind it), and initialise the others as usual",
    )


@rule(
    "blocks start at zero",
    "batch",
    asks="nothing: this is as it should be",
    source="Goyal et al. 2017, arXiv:1706.02677, §5.1",
)
def blocks_start_at_zero(diagnosis: Diagnosis) -> Seen | None:
    """Tells of zero-initialised branches that get a gradient."""
    waking = diagnosis.first_step.waking if diagnosis.first_step else ()
    if not waking:
        return None
    return Seen(
        severity="note",
        says=f"{len(waking)} of {diagnosis.additions} branches give zero and get a gradient: they will wake",
        measured=float(len(waking)),
        where=waking[0],
        remedy="none is needed; after some steps their share in the stream should be above zero",
    )


@rule(
    "frozen layers",
    "batch",
    asks="a gradient for the parameters of every layer that the input passes",
    source="torch.autograd; Yosinski et al. 2014 for what freezing early layers costs",
)
def frozen_layers(diagnosis: Diagnosis) -> Seen | None:
    """Asks whether all layers learn; frozen ones may be meant, where their weights come from elsewhere."""
    found = diagnosis.first_step
    if found is None or not found.frozen:
        return None
    several = len(found.frozen) > 1
    return Seen(
        severity="serious" if not found.learning else "warning",
        says=f"{len(found.frozen)} of {len(found.frozen) + len(found.learning)} layers get no gradient, "
        f"{'the first' if several else 'it is'} {found.frozen[0]}",
        measured=float(len(found.frozen)),
        predicted=0.0,
        where=found.frozen[0],
        remedy="if their weights were not trained before, call requires_grad_(True) on them, take detach() and "
        "no_grad() out of the forward pass, and give them to the optimizer",
    )


@rule(
    "weight decay too strong",
    "batch",
    asks=f"less than {DECAYED:.0%} of the first step from weight decay",
    source="docs/faults.md, measured; Loshchilov and Hutter 2019, §2, for what decay adds to a step",
)
def weight_decay_too_strong(diagnosis: Diagnosis) -> Seen | None:
    """Asks whether the first step of a network that has yet to learn follows the loss."""
    share = diagnosis.first_step.decay_share if diagnosis.first_step else None
    asked = diagnosis.questions
    if share is None or share < DECAYED:
        return None
    if asked is not None and asked.expected_first_loss and asked.first_loss < LEARNED_LOSS * asked.expected_first_loss:
        return None
    return Seen(
        severity="serious",
        says=f"{share:.0%} of the first step only shrinks the weights",
        measured=share,
        predicted=0.0,
        where="optimizer",
        remedy="divide the optimizer's weight_decay by 100; usual are 5e-4 for SGD and 1e-2 for AdamW",
    )
