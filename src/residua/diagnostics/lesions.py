"""What is lost when blocks are removed or exchanged (Veit et al. 2016, arXiv:1605.06431, §4.1 and 4.2)."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from math import ceil
from time import perf_counter
from typing import Literal, TypeVar, final

import torch

from residua.diagnostics.case import Case, Examples, answer, reseed, run, undisturbed
from residua.diagnostics.recalibration import recalibrated
from residua.diagnostics.replacing import Block, blocks_of, exchangeable, exchanged, without
from residua.diagnostics.trace import written_out
from residua.networks.recalibration import batch_norms

_SECONDS = 15.0
"""That all lesions may take; the examples, and then the draws, are as many as fit."""
_WISHED, _FEWEST = 64, 16
"""Examples below which draws are given up, and that are taken at all events."""
_BATCH = 64
_PASSES_RECALIBRATED = 3
"""As it is, for the statistics, and with them."""
_Within = Callable[[], AbstractContextManager[None]]
"""Makes what one forward pass runs in."""
_T = TypeVar("_T")


@final
@dataclass(frozen=True, kw_only=True)
class Lesion:
    """The error without some blocks, or with some exchanged."""

    names: tuple[str, ...]
    """Of the blocks; where pairs are exchanged, pair after pair."""
    error: float
    recalibrated: float | None
    """With batch norms' statistics taken anew from training examples; None where there is no batch norm, or no time."""
    changes_shape: bool = False
    """Whether a removed block's shortcut is no identity."""


@final
@dataclass(frozen=True, kw_only=True)
class Lesions:
    """All lesions of one network."""

    quantity: Literal["error", "loss"]
    """Share of wrong answers, or the loss where there are no classes."""
    whole: float
    """Of the network as it is."""
    chance: float | None
    """Error of the commonest class."""
    single: tuple[Lesion, ...]
    """Each block removed: y = s(x)."""
    several: tuple[Lesion, ...]
    """k random blocks removed, for k = 2, 4, 8, … up to half of them, several draws each."""
    swapped: tuple[Lesion, ...]
    """k random pairs of blocks of one shape exchanged, for k = 1, 2, 4, …, likewise."""
    examples: int
    held_out: bool
    """Whether the examples are such that it did not learn from."""


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class _Plan:
    """What there is time for."""

    examples: int
    draws: int
    recalibrates: bool


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class _Bench:
    """Measures a network in evaluation mode, whole or not."""

    case: Case
    batches: tuple[Examples, ...]
    calibrating: tuple[Examples, ...]
    """Training examples for batch norms' statistics; none where these are not taken anew."""

    def measure(self, within: _Within) -> float:
        """Returns the share of wrong answers, or the loss, mean over the examples."""
        return sum(self._of(batch, within) for batch in self.batches) / len(self.batches)

    def removed(self, blocks: Sequence[Block]) -> Lesion:
        """Returns what is lost without some blocks."""
        changes = any(block.changes_shape for block in blocks)
        return self._lesion(tuple(block.name for block in blocks), partial(without, blocks), changes_shape=changes)

    def swapped(self, pairs: Sequence[tuple[Block, Block]]) -> Lesion:
        """Returns what is lost with some blocks in one another's place."""
        return self._lesion(tuple(block.name for pair in pairs for block in pair), partial(exchanged, pairs))

    def _lesion(self, names: tuple[str, ...], within: _Within, *, changes_shape: bool = False) -> Lesion:
        error, anew = self.measure(within), None
        if self.calibrating:
            with recalibrated(self.case.module, self.calibrating, within):
                anew = self.measure(within)
        return Lesion(names=names, error=error, recalibrated=anew, changes_shape=changes_shape)

    def _of(self, batch: Examples, within: _Within) -> float:
        with within():
            given = run(self.case.module, batch)
        if not self.case.is_cross_entropy:
            return float(self.case.loss(given, batch.labels))
        return float((answer(given).argmax(1) != batch.labels).double().mean())


def lesions(case: Case, *, examples: int = 512, draws: int = 5, seed: int = 0, timed: bool = True) -> Lesions:
    """Returns what is lost when blocks are removed or exchanged, in evaluation mode.

    Each block is removed alone; then k random blocks; then k random pairs change places. The module is left as it was.
    All passes together are meant to take 15 seconds by a forward pass that is timed first: the examples, a power of two
    or all, are as many as fit; where 64 would not fit, one draw is taken of each number; then nothing is recalibrated;
    then single blocks alone are removed, with 16 examples at least, whatever that takes.

    Args:
        case: What is diagnosed; its held-out examples are taken where it has any.
        examples: At most so many, drawn with the seed.
        draws: Of each number of blocks.
        seed: Of the examples and the draws.
        timed: Whether what does not fit the time is left out; else no clock has a say in what is measured.

    Raises:
        BadNetwork: If the forward pass fails, with what it said.
    """
    measured = case.examples if case.held_out is None else case.held_out
    module, generator = case.module, torch.Generator().manual_seed(seed)
    with undisturbed(module), torch.no_grad(), written_out():
        reseed(case.device, seed)  # for modules that draw in evaluation mode, too
        module.eval()
        two = case.examples.take(slice(0, 2))
        blocks = blocks_of(module, two)
        pairs = exchangeable(module, two, blocks)
        removals, swaps = _rising(2, len(blocks) // 2), _rising(1, min(len(pairs), len(blocks) // 2))
        most = min(examples, len(measured))
        plan = _Plan(examples=most, draws=draws, recalibrates=bool(batch_norms(module)))
        if timed:
            plan = _planned(case, most, len(blocks), draws * (len(removals) + len(swaps)), draws)
        chosen = _some(measured, plan.examples, generator)
        calibrating = _batches(_some(case.examples, plan.examples, generator)) if plan.recalibrates else ()
        bench = _Bench(case=case, batches=_batches(chosen), calibrating=calibrating)
        return Lesions(
            quantity="error" if case.is_cross_entropy else "loss",
            whole=bench.measure(nullcontext),
            chance=_chance(bench.batches) if case.is_cross_entropy else None,
            single=tuple(bench.removed([block]) for block in blocks),
            several=tuple(bench.removed(some) for k in removals for some in _drawn(blocks, k, plan.draws, generator)),
            swapped=tuple(bench.swapped(some) for k in swaps for some in _drawn(pairs, k, plan.draws, generator)),
            examples=sum(map(len, bench.batches)),
            held_out=case.held_out is not None,
        )


def _planned(case: Case, most: int, single: int, drawn: int, draws: int) -> _Plan:
    """Returns how many examples and draws fit the time; ``drawn`` is how many lesions ``draws`` draws are."""
    seconds = _seconds(case)
    wished = bool(batch_norms(case.module))
    options = ((draws, wished), (1, wished), (1, False), (0, False))
    plan = _Plan(examples=0, draws=0, recalibrates=False)
    for taken, recalibrates in options:
        passes = 1 + (single + drawn * taken // draws) * (_PASSES_RECALIBRATED if recalibrates else 1)
        fits = int(_SECONDS / seconds / passes)
        plan = _Plan(examples=min(most, _power_of_two(fits)), draws=taken, recalibrates=recalibrates)
        if fits >= min(most, _WISHED):
            return plan
    return replace(plan, examples=min(most, max(plan.examples, _FEWEST)))


def _power_of_two(number: int) -> int:
    """Returns the largest that is no more; so that runs of about one speed take the same examples."""
    return 1 << (number.bit_length() - 1) if number else 0


def _seconds(case: Case) -> float:
    """Times a forward pass, the second of two, and returns its seconds an example."""
    some = case.examples.take(slice(0, _FEWEST))
    begin = 0.0
    for _ in range(2):
        begin = perf_counter()
        float(answer(run(case.module, some)).sum())  # which waits for an accelerator
    return max(perf_counter() - begin, 1e-6) / len(some)


def _some(examples: Examples, count: int, generator: torch.Generator) -> Examples:
    return examples.take(torch.randperm(len(examples), generator=generator)[:count])


def _batches(examples: Examples) -> tuple[Examples, ...]:
    return examples.batches(len(examples) // ceil(len(examples) / _BATCH))


def _chance(batches: Sequence[Examples]) -> float:
    labels = torch.cat([batch.labels for batch in batches])
    return 1 - int(labels.bincount().max()) / len(labels)


def _rising(first: int, most: int) -> tuple[int, ...]:
    """Returns first, 2·first, 4·first, …, up to ``most``."""
    return tuple(first << power for power in range(most.bit_length()) if first << power <= most)


def _drawn(population: Sequence[_T], count: int, draws: int, generator: torch.Generator) -> tuple[tuple[_T, ...], ...]:
    """Returns different random subsets, in the population's order; fewer than ``draws`` where draws are the same."""
    places = (torch.randperm(len(population), generator=generator)[:count].sort().values for _ in range(draws))
    different = dict.fromkeys(tuple(chosen.tolist()) for chosen in places)
    return tuple(tuple(population[place] for place in chosen) for chosen in different)
