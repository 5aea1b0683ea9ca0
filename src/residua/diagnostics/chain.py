"""Blocks in a row, and the gradient through one path of them.

Notation: n blocks y_i = F_i(x_i) + s_i(x_i), x_{i+1} = a_i(y_i) with whatever stands between two of them; g is the
gradient of the loss by y_n. A path is a set of blocks: its gradient is Π_i J_aᵀ (J_Fᵀ where i is in the set, J_sᵀ
elsewhere) g. All 2ⁿ of them sum to the gradient by x_1.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import final

from torch import Tensor

from residua.diagnostics.additions import Addition
from residua.diagnostics.products import by_operations, product
from residua.diagnostics.trace import Trace
from residua.errors import BadNetwork

Path = frozenset[int]
"""The blocks, counted from 0, whose branch a path takes; it takes the others' shortcut."""


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Chain:
    """Blocks each of which reads what the one before gives, and nothing else."""

    trace: Trace
    blocks: tuple[Addition, ...]

    @classmethod
    def of(cls, found: Trace) -> "Chain":
        """Returns the chain of all additions; one within another's branch or shortcut is part of that one.

        Raises:
            BadNetwork: If there is no addition, or one reads more than the sum before it.
        """
        blocks = [one for one in found.additions if not any(_is_within(found, one, all_) for all_ in found.additions)]
        if not blocks:
            raise BadNetwork("path lengths are of residual blocks, and the forward pass has none; compare one that has")
        for before, after in pairwise(blocks):
            if not _reads_only(found, after.source, before.total):
                raise BadNetwork(
                    f"{after.name} reads more than what {before.name} gives: these blocks form no chain, "
                    "and path lengths are counted along one; leave this part out"
                )
        if any(found.operations[one.source].edge is None for one in blocks):
            raise BadNetwork("no gradient passes the first block's input; path lengths are of the gradient that does")
        return cls(trace=found, blocks=tuple(blocks))

    def at_the_end(self, loss: Tensor) -> Tensor:
        """Returns g, the gradient of a loss by the last sum.

        Raises:
            BadNetwork: If it is zero, or not finite.
        """
        end = self.blocks[-1].total
        gradient = by_operations(loss, self.trace, [end]).get(end)
        size = 0.0 if gradient is None else float(gradient.abs().max())
        if gradient is None or not 0 < size < math.inf:
            raise BadNetwork(
                f"the loss's gradient at the last addition is {size:g}: no path carries any; mend this first"
            )
        return gradient

    def follow(self, gradient: Tensor, paths: Sequence[Path]) -> Iterator[tuple[Path, float, Tensor]]:
        """Yields each path, the logarithm of the norm of its gradient by x_1, and that gradient's direction.

        Products that several paths share, from the end on, are taken once. The gradient is brought to norm 1 after
        every block and the logarithms are summed, so that long paths do not underflow. Of a path that carries nothing
        the logarithm is −∞ and the direction a zero.

        Raises:
            BadNetwork: If a product is not finite.
        """
        start = _normalised(gradient)
        open_ = [(len(self.blocks) - 1, *start, list(paths))]
        while open_:
            place, log, direction, through = open_.pop()
            if place < 0:
                yield from ((path, log, direction) for path in through)
                continue
            for taken in (True, False):
                some = [path for path in through if (place in path) == taken]
                if some:
                    change, turned = _normalised(self._product(place, direction, taken=taken))
                    open_.append((place - 1 if change > -math.inf else -1, log + change, turned, some))

    def _product(self, place: int, vector: Tensor, *, taken: bool) -> Tensor:
        """Returns J_aᵀ J_Fᵀ v, or J_aᵀ J_sᵀ v: from this block's sum to the one before, or to x_1."""
        block = self.blocks[place]
        by_branch, by_shortcut = (block.branch, block.branch_scale), (block.shortcut, block.shortcut_scale)
        operand, scale = by_branch if taken else by_shortcut
        vector = product(self.trace, operand, block.source, scale * vector)
        return product(self.trace, block.source, self.blocks[place - 1].total, vector) if place > 0 else vector


def _is_within(found: Trace, one: Addition, other: Addition) -> bool:
    """Says whether an addition lies on another's branch or shortcut."""
    ends = (other.branch, other.shortcut)
    return one is not other and any(
        step.index == one.total for end in ends for step in found.between(other.source, end)
    )


def _reads_only(found: Trace, end: int, start: int) -> bool:
    """Says whether an operation depends on another, and on the inputs through that one alone."""
    if end == start:
        return True
    operations = found.operations
    return operations[end].comes_from(start) and all(
        parent == start or operations[parent].comes_from(start)
        for one in found.between(start, end)
        for parent in one.parents
    )


def _normalised(vector: Tensor) -> tuple[float, Tensor]:
    """Returns the logarithm of a vector's norm, and the vector at norm 1; −∞ and a zero of zeros."""
    norm = float(vector.double().norm())
    if not math.isfinite(norm):
        raise BadNetwork("the gradient through the blocks is not finite; mend the values or the rate first")
    return (math.log(norm), vector / norm) if norm > 0 else (-math.inf, vector.new_zeros(()))
