"""The classic questions that a short training on a copy answers."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from math import isfinite, log
from time import perf_counter
from typing import final

import torch
from torch import Tensor

from residua.diagnostics.case import Case, Examples, as_passes, linear_functional, reseed, undisturbed
from residua.diagnostics.twins import copied, optimizer_name, step
from residua.errors import BadNetwork

_SECONDS = 20.0
"""That all trainings together may take: a third for the one batch, the rest for the three others."""
_TIMED = (4, 16, 64)
_LONG = 0.25
"""Seconds after which a step is not timed on more examples."""
_FEWEST_EXAMPLES, _FEWEST_STEPS = 16, 5
_OVERFIT_EXAMPLES, _OVERFIT_STEPS = 32, 200
_LEARNED = 1 / 20
"""Of the first loss: below it the batch is learned."""
_SMOOTHING = 0.8


@final
@dataclass(frozen=True, kw_only=True)
class FirstUpdate:
    """How far the first step moves one tensor."""

    name: str
    ratio: float
    """‖w′ − w‖ / ‖w‖."""


@final
@dataclass(frozen=True, kw_only=True)
class Questions:
    """The answers; losses are means over examples. What could not be asked is None."""

    first_loss: float
    """In training mode on the first batch."""
    expected_first_loss: float | None
    """ln k for the cross-entropy of k classes."""
    overfit: tuple[float, ...]
    """Losses while one small batch is learned again and again, each before its step."""
    overfit_examples: int
    learned: tuple[float, ...] | None
    """Losses of a short training on the examples as they are, smoothed."""
    blanked: tuple[float, ...] | None
    """Likewise with all inputs the same: what the labels' frequencies alone give."""
    permuted: tuple[float, ...] | None
    """Likewise with labels permuted among the examples: what remembering gives."""
    updates: tuple[FirstUpdate, ...]
    """Of the parameters that learn, in the module's order; those that are all zero have no ratio and are left out."""
    optimizer: str
    """Which, and whose choice: ``SGD, as given``, ``Adam 1e-3, none was given``."""
    steps: int
    """Of a short training, as planned; a curve ends early where its loss is no number."""
    size: int = 0
    """Examples in a batch of a short training."""


@final
@dataclass(frozen=True, kw_only=True)
class _Plan:
    """What there is time for."""

    size: int
    steps: int
    overfit_examples: int
    overfit_steps: int


def questions(case: Case, *, steps: int = 40, size: int = 64, seed: int = 0) -> Questions:
    """Returns the answers of short trainings on copies, in training mode; the module and its optimizer stay untouched.

    A step is timed first, and all trainings together are meant to take 20 seconds: where fewer steps fit, half as many
    are taken, a quarter, …, and then batches halve, down to 5 steps of 16 examples, whatever these take.

    Args:
        case: What is diagnosed; its held-out examples are not read.
        steps: Of a short training, at most.
        size: Examples in a batch, at most.
        seed: Of the order of the examples, the permutation, and what the module itself draws.

    Raises:
        BadNetwork: If no parameter learns, or the module cannot be copied.
    """
    _must_learn(case)
    with undisturbed(case.module), torch.enable_grad():
        plan = _planned(case, steps, size)
        orders = tuple(islice(_orders(len(case.examples), plan.size, seed), plan.steps))
        first_loss, updates = _first_step(case, case.examples.take(orders[0]), seed)
        small = case.examples.take(orders[0][: plan.overfit_examples])
        overfit = _losses(replace(case, examples=small), [slice(None)] * plan.overfit_steps, seed, until=_LEARNED)

        def short(examples: Examples | None) -> tuple[float, ...] | None:
            return None if examples is None else smoothed(_losses(replace(case, examples=examples), orders, seed))

        has_labels = isinstance(case.examples.labels, Tensor) and case.loss is not linear_functional
        return Questions(
            first_loss=first_loss,
            expected_first_loss=None if case.classes is None else log(case.classes),
            overfit=overfit,
            overfit_examples=len(small),
            learned=short(case.examples),
            blanked=short(blanked(case.examples) if has_labels else None),
            permuted=short(permuted(case.examples, seed) if has_labels else None),
            updates=updates,
            optimizer=optimizer_name(case),
            steps=plan.steps,
            size=plan.size,
        )


def blanked(examples: Examples) -> Examples:
    """Returns as many examples with the same input each: the mean, or the first where inputs are whole numbers."""

    def blank(tensor: Tensor) -> Tensor:
        one = tensor.mean(0, keepdim=True) if tensor.is_floating_point() else tensor[:1]
        return one.expand_as(tensor).contiguous()

    named = {name: blank(tensor) for name, tensor in examples.named.items()}
    return replace(examples, args=tuple(map(blank, examples.args)), named=named)


def permuted(examples: Examples, seed: int) -> Examples:
    """Returns the examples with one another's labels."""
    order = torch.randperm(len(examples), generator=torch.Generator().manual_seed(seed))
    return replace(examples, labels=examples.labels[order.to(examples.labels.device)])


def smoothed(losses: Sequence[float]) -> tuple[float, ...]:
    """Returns the average over the losses so far, with weights that fall by 0.8 a step back and sum to one."""
    averages, average = [], 0.0
    for count, loss in enumerate(losses, start=1):
        average = _SMOOTHING * average + (1 - _SMOOTHING) * loss
        averages.append(average / (1 - _SMOOTHING**count))
    return tuple(averages)


def _must_learn(case: Case) -> None:
    if not any(one.requires_grad for one in case.module.parameters()):
        raise BadNetwork(f"no parameter of {case.name} needs a gradient; requires_grad_(True) lets it learn")


def _loss(twin: Case, examples: Examples) -> Tensor:
    with as_passes(twin.module):
        return twin.loss_of(examples)


def _losses(
    case: Case, batches: Sequence[Tensor | slice], seed: int, *, until: float | None = None
) -> tuple[float, ...]:
    """Trains a copy and returns the loss before each step; ends at one that is no number, or is ``until`` the first."""
    twin, losses = copied(case), []
    reseed(case.device, seed)
    for places in batches:
        loss = _loss(twin, case.examples.take(places))
        losses.append(float(loss.detach()))
        if not isfinite(losses[-1]) or (until is not None and losses[-1] < until * losses[0]):
            break
        step(twin, loss)
    return tuple(losses)


def _first_step(case: Case, batch: Examples, seed: int) -> tuple[float, tuple[FirstUpdate, ...]]:
    """Returns the loss of a batch, and how far one step on it moves each tensor."""
    twin = copied(case)
    reseed(case.device, seed)
    loss = _loss(twin, batch)
    learning = {name: one for name, one in twin.module.named_parameters() if one.requires_grad}
    before = {name: one.detach().clone() for name, one in learning.items()}
    step(twin, loss)
    updates = (
        FirstUpdate(name=name, ratio=float((one.detach() - before[name]).norm() / before[name].norm()))
        for name, one in learning.items()
        if before[name].any()
    )
    return float(loss.detach()), tuple(updates)


def _orders(count: int, size: int, seed: int) -> Iterator[Tensor]:
    """Yields whole batches of places without end, every example once before any comes again."""
    generator = torch.Generator().manual_seed(seed)
    while True:
        yield from torch.randperm(count, generator=generator)[: count // size * size].split(size)


def _planned(case: Case, steps: int, size: int) -> _Plan:
    """Returns how many steps of how many examples fit the time."""
    most = len(case.examples)
    per_example = _seconds(case)
    allowed = _SECONDS * 2 / 9 / per_example  # examples of one short training
    size, fewest = min(size, most), min(_FEWEST_STEPS, steps)
    while steps * size > allowed and steps // 2 >= fewest:
        steps //= 2
    while steps * size > allowed and size // 2 >= _FEWEST_EXAMPLES:
        size //= 2
    overfit_examples = min(_OVERFIT_EXAMPLES, size)
    fits = int(_SECONDS / 3 / per_example / overfit_examples)
    return _Plan(
        size=size,
        steps=steps,
        overfit_examples=overfit_examples,
        overfit_steps=max(min(fits // 10 * 10, _OVERFIT_STEPS), 2 * fewest),
    )


def _seconds(case: Case) -> float:
    """Times a step of a copy on more and more examples, until it is long, and returns its seconds an example.

    The first step of all is not counted: it takes memory and starts threads.
    """
    twin, seconds, count = copied(case), 0.0, 1
    for number, count in enumerate(min(count, len(case.examples)) for count in (_TIMED[0], *_TIMED)):
        begin = perf_counter()
        loss = _loss(twin, case.examples.take(slice(0, count)))
        step(twin, loss)
        float(loss.detach())  # which waits for an accelerator
        seconds = perf_counter() - begin
        if number and seconds > _LONG:
            break
    return max(seconds, 1e-6) / count
