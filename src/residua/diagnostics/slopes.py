"""Slopes of branches by their values alone: the forward pass is run again with the blocks' inputs moved.

Notation: a block computes F(x) + s(x); x is moved to x ± εv, and ⟨g, F⟩ is read at the addition.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, final

import torch
from torch import Tensor

from residua.diagnostics.additions import Addition
from residua.diagnostics.case import Case, Examples, reseed, undisturbed
from residua.diagnostics.operations import Operation
from residua.diagnostics.trace import Trace, trace

_SEED = 0


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Direction:
    """Where a block's input x is moved."""

    x: Tensor
    vector: Tensor
    """v ~ N(0, 1), but 0 where x is exactly 0: where a ReLU or a max pool has made it so, the next one has its kink."""

    def at(self, step: float) -> Tensor:
        """Returns x + step · v, the step relative to the root mean square of x."""
        return self.x + self.absolute(step) * self.vector

    def absolute(self, step: float) -> float:
        """Returns ε for a step relative to x."""
        return step * (float(self.x.square().mean().sqrt()) or 1.0)


@contextlib.contextmanager
def as_it_learns(case: Case) -> Iterator[None]:
    """Puts the module into training mode with a fixed random state, and everything back."""
    with undisturbed(case.module) as module:
        module.train()
        reseed(case.device, _SEED)
        yield


def directions(case: Case, additions: Sequence[Addition]) -> dict[int, Direction]:
    """Returns by operation where the blocks' inputs lie, and a random direction each; only those that can be moved."""
    wanted, values = {one.source for one in additions}, {}

    def keep(made: Operation, _args: Any, _kwargs: Any, output: Tensor) -> None:
        if made.index in wanted:
            values[made.index] = output.detach().clone()

    with as_it_learns(case):
        trace(case.module, case.examples, look=keep)
    given = enumerate((*case.examples.args, *case.examples.named.values()))
    values |= {index: one.detach() for index, one in given if index in wanted and one.is_floating_point()}
    generator = torch.Generator().manual_seed(_SEED)
    found = {}
    for index in sorted(values):
        x = values[index]
        vector = torch.randn(x.shape, generator=generator, dtype=torch.float64).to(x)
        found[index] = Direction(x=x, vector=vector * (x != 0))
    return found


def slopes(
    case: Case, moved: Mapping[int, Direction], gradients: Mapping[Addition, Tensor], *, step: float
) -> dict[Addition, float]:
    """Returns the central difference of ⟨g, F(x + εv)⟩ of every block whose input can be moved.

    Every block's input is set, not added to, so that what one block's move does to its output reaches no other, and
    one pass a sign serves all blocks that do not lie within each other's branches.
    """
    with as_it_learns(case):
        traced = trace(case.module, case.examples)
    found: dict[Addition, float] = {}
    for group in _apart(traced, [one for one in gradients if one.source in moved]):
        values = [_values(case, group, moved, gradients=gradients, step=sign * step) for sign in (1, -1)]
        for addition in group:
            above, below = (one[addition.total] for one in values)
            found[addition] = (above - below) / (2 * moved[addition.source].absolute(step))
    return found


def _values(
    case: Case,
    group: Sequence[Addition],
    moved: Mapping[int, Direction],
    *,
    gradients: Mapping[Addition, Tensor],
    step: float,
) -> dict[int, float]:
    """Returns ⟨g, F⟩ by addition, from one pass with the group's inputs moved."""
    sources = {one.source for one in group}
    by_total = {one.total: gradients[one] for one in group}
    found = {}

    def move(made: Operation, _args: Any, _kwargs: Any, output: Tensor) -> None:
        if made.index in sources:
            output.detach().copy_(moved[made.index].at(step))

    def read(addition: Addition, branch: Tensor, _shortcut: Tensor, _y: Tensor) -> None:
        if addition.total in by_total:
            found[addition.total] = float((by_total[addition.total] * branch.detach()).sum(dtype=torch.float64))

    with as_it_learns(case):
        inputs = {index: moved[index].at(step) for index in sources}
        trace(case.module, _with_inputs(case.examples, inputs), look=move, meet=read)
    return found


def _with_inputs(examples: Examples, inputs: Mapping[int, Tensor]) -> Examples:
    """Returns the examples with some of their tensors replaced, counted as a trace counts its inputs."""
    counted = 0

    def replaced(tensor: Tensor) -> Tensor:
        nonlocal counted
        counted += 1
        return inputs.get(counted - 1, tensor)

    args = tuple(replaced(one) for one in examples.args)
    return replace(examples, args=args, named={name: replaced(one) for name, one in examples.named.items()})


def _apart(traced: Trace, additions: Sequence[Addition]) -> list[list[Addition]]:
    """Puts the blocks into groups in which no block's input lies on another's branch."""
    ways = {one: {operation.index for operation in traced.branch_of(one)} for one in additions}
    groups: list[list[Addition]] = []
    for one in additions:
        fits = (group for group in groups if not any(b.source in ways[one] or one.source in ways[b] for b in group))
        group = next(fits, None)
        if group is None:
            groups.append([one])
        else:
            group.append(one)
    return groups
