"""What a run will take, said before its first step: time from multiply-adds at a measured rate, and memory.

Time: the multiply-adds of the training steps over the rate at which this machine does them, which is measured on a few
steps of this very run; the validation after each epoch and the last evaluation, with all of its views, count as
forward passes, a third of a step an image. Another network's time follows from its multiply-adds at the same rate. Of
several processes each times its share of a batch while the others time theirs; the slowest is waited for, and the
gradients' averaging added.

Memory: what the process has already (its images, its weights), and on top the optimizer's numbers, the copy of the best
weights, and the largest of a training step, an evaluation and the writing of a checkpoint. A step's activations follow
from two small ones that are watched (`residua.training.allocations`).

How near both come is measured by ``benchmarks/estimates.py``.
"""

import copy
from dataclasses import dataclass, replace
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.nn import functional

from residua import evaluation, machine
from residua.errors import NonFiniteLoss
from residua.networks import catalogue, cost
from residua.training import choice, pace
from residua.training.allocations import Demand, demand
from residua.training.distributed import ALONE
from residua.training.loop import Course, forward_of
from residua.training.plan import Plan
from residua.training.recipe import Optimizer
from residua.training.state import State

_MUCH_LESS = 1 / 2
"""Of the time: another network is named that takes this share at most."""
_WORTH_NAMING_SECONDS = 60
_FLOAT = 4
_SAVED_TWICE = 2
"""A checkpoint is put together in memory and copied once before it is written."""


@final
@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What a run will take."""

    seconds: float | None
    """Of training and evaluation; None where no step could be measured."""
    multiply_adds_per_second: float | None
    """Measured: of forward passes trained, counting those of the forward pass alone."""
    memory_bytes: int
    """Of the whole process at its peak; on a GPU, of what torch holds there."""
    further_bytes: int
    """Of these, what is not taken yet."""
    free_bytes: int
    """What may still be taken; 0 where nobody says."""
    fitting_batch: int | None = None
    """Images a step that would fit, where this many do not; None where no batch would."""
    quicker: tuple[str, float] | None = None
    """The first network on the ladder that takes much less, and its seconds."""

    @property
    def fits(self) -> bool:
        """Says whether there is enough memory, as far as is known."""
        return not self.free_bytes or self.further_bytes <= self.free_bytes

    @property
    def says(self) -> str:
        """Says it in one line."""
        if not self.fits:
            smaller = f"--set batch_size={self.fitting_batch} or " if self.fitting_batch else ""
            return (
                f"needs about {_gigabytes(self.further_bytes)} more memory, and {_gigabytes(self.free_bytes)} are "
                f"free: it may be stopped for that; {smaller}--set checkpoint_activations=true takes less"
            )
        memory = f"{_gigabytes(self.memory_bytes)} of memory"
        if self.seconds is None:
            return f"will take about {memory}"
        said = f"will take about {_span(self.seconds)} and {memory}"
        if self.quicker is None:
            return said
        name, seconds = self.quicker
        return f"{said}; `--network {name}` would take about {_span(seconds)}"

    def to_json(self) -> dict[str, Any]:
        """Returns the numbers for JSON."""
        return {
            "seconds": self.seconds,
            "multiply_adds_per_second": self.multiply_adds_per_second,
            "memory_bytes": self.memory_bytes,
            "free_bytes": self.free_bytes,
        }


def estimate(plan: Plan, course: Course, state: State, *, per_step: float | None = None) -> Estimate:
    """Returns what a run will take; neither its weights nor any random state are changed.

    A network that is to be compiled is measured as it is, for compiling it takes longer: the time is then the most that
    it can be.

    Args:
        plan: What was decided.
        course: What stays the same over the run.
        state: Where it begins.
        per_step: Seconds of a step, where they are known; else one is measured, if the memory is enough for it in
            every process.
    """
    course = replace(course, recipe=replace(course.recipe, compile=False))
    train, look = demands(course, state)
    now, free = _now_and_free(course.device)
    further = _further(course, state, train, look, course.batch_size)
    found = Estimate(
        seconds=None,
        multiply_adds_per_second=None,
        memory_bytes=now + further,
        further_bytes=further,
        free_bytes=free,
        fitting_batch=_fitting(course, state, train, look, free),
    )
    per_step = per_step or _per_step(course, state, fits=found.fits)
    if per_step is None or not found.fits:
        return found
    seconds = course.epochs * pace.seconds_per_epoch(course, per_step) + pace.seconds_at_end(course, per_step)
    rate = plan.inspection.multiply_adds * course.batch_size / per_step
    return replace(found, seconds=seconds, multiply_adds_per_second=rate, quicker=_quicker(plan, seconds))


def _per_step(course: Course, state: State, *, fits: bool) -> float | None:
    """Measures a step of all processes; None where one of them has not the memory, or a loss that is no number.

    None of them waits for another in its steps, so that one that does not take them holds up nobody.
    """
    team = course.team
    measured = [seconds for seconds in team.gathered(_share_of_step(course, state) if fits else None) if seconds]
    if len(measured) < team.ranks:
        return None
    gradients = sum(p.numel() for p in state.network.parameters() if p.requires_grad)
    return max(measured) + team.seconds_to_average(gradients, course.device)


def _share_of_step(course: Course, state: State) -> float | None:
    """Measures a step on this process's share of a batch, by itself."""
    share = replace(course, team=ALONE, batch_size=-(-course.batch_size // course.team.ranks))
    try:
        return pace.seconds_per_step(share, state)
    except NonFiniteLoss:  # the run itself will say so
        return None


def demands(course: Course, state: State) -> tuple[Demand, Demand]:
    """Returns the memory of a training step and of an evaluation in float32, by their images."""
    network = copy.deepcopy(state.network).train()
    forward = forward_of(network, course.recipe)
    look = course.dataset.preprocessing

    def blank(images: int) -> Tensor:
        shape = (images, look.channels, *look.image_size)
        return torch.zeros(shape, device=course.device).contiguous(memory_format=torch.channels_last)

    def step(images: int) -> None:
        network.zero_grad(set_to_none=True)
        with machine.computing_in(course.precision, course.device):
            logits = forward(blank(images))
        labels = torch.zeros(images, dtype=torch.int64, device=course.device)
        functional.cross_entropy(logits.float(), labels).backward()

    def answer(images: int) -> None:
        with torch.no_grad():
            network(blank(images))

    with torch.random.fork_rng(devices=[course.device] if course.device.type == "cuda" else []):
        train = demand(step)
        network.eval().zero_grad(set_to_none=True)
        return train, demand(answer)


def _further(course: Course, state: State, train: Demand, look: Demand, batch: int) -> int:
    """Returns the bytes that a run takes beyond what is there before its first step."""
    weights = _bytes(state.network)
    held = [len(part) for part in (course.dataset.validation, course.dataset.test) if part is not None]
    best = weights * ((course.recipe.choose != "last") + (course.recipe.averaging.kind != "none"))
    kept = optimizer_bytes(state.network, course.recipe.optimizer)
    saving = _SAVED_TWICE * (weights + kept + best) if course.device.type == "cpu" else 0
    asked = look.bytes_for(min(evaluation.BATCH_SIZE, max(held, default=0)))
    at_once = -(-batch // (course.team.ranks * course.recipe.micro_batches))
    return kept + best + max(train.bytes_for(at_once), asked, saving)


def optimizer_bytes(network: nn.Module, spec: Optimizer) -> int:
    """Returns the bytes of what an optimizer remembers of each parameter: its moments."""
    moments = {"sgd": spec.momentum > 0, "muon": 1, "adam": 2, "adamw": 2, "rmsprop": 1 + (spec.momentum > 0)}
    return moments[spec.kind] * _FLOAT * sum(p.numel() for p in network.parameters() if p.requires_grad)


def _bytes(network: nn.Module) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in network.state_dict().values())


def _fitting(course: Course, state: State, train: Demand, look: Demand, free: int) -> int | None:
    """Returns the largest half, quarter, … of the batch that fits into the free memory."""
    batch = course.batch_size // 2
    while batch > 1:
        if _further(course, state, train, look, batch) <= free:
            return batch
        batch //= 2
    return None


def _now_and_free(device: torch.device) -> tuple[int, int]:
    """Returns the bytes that this process has, and its share of those that are free on its machine or GPU."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device), torch.cuda.mem_get_info(device)[0]
    return machine.resident_bytes(), machine.memory_bytes() // machine.place().local_ranks


def _quicker(plan: Plan, seconds: float) -> tuple[str, float] | None:
    """Returns the first network on the ladder, the most accurate first, that takes much less time than this one.

    None where the user named weights, which belong to one network.
    """
    named = plan.start is not None and plan.asked.weights is not None
    if seconds < _WORTH_NAMING_SECONDS or named:
        return None
    look = plan.dataset.preprocessing
    steps = choice.fine_tuned(plan.side) if plan.start else choice.ladder(plan.side)
    for name in steps.networks:
        spec = catalogue.specification(name, classes=len(plan.dataset.classes), in_channels=look.channels)
        share = cost.multiply_adds(spec, (look.channels, *look.image_size)) / plan.inspection.multiply_adds
        if share <= _MUCH_LESS:
            return name, share * seconds
    return None


def _span(seconds: float) -> str:
    """Writes a time that is known roughly: seconds, minutes or hours with at most one decimal."""
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= 0.95 * size:
            number = seconds / size
            return f"{number:.1f} {unit}" if number < 9.95 and unit == "h" else f"{number:.0f} {unit}"
    return f"{max(1, round(seconds))} s"


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB"
