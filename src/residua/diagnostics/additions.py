"""Which additions of a forward pass add a branch to a shortcut.

An addition is a block's if both of its operands come from one tensor, the block's input, and a parameter enters on the
way to one of them. The operand that passes fewer layers is the shortcut, the other the branch.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, final

from torch import Tensor

from residua.diagnostics.operations import SAME_VALUES, Operation

ADDS = frozenset({"add", "add_", "__add__", "__iadd__", "__radd__"})


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Addition:
    """A branch F and a shortcut s meet: y = F(x) + s(x)."""

    name: str
    """Path of the module that adds, numbered where it adds several times: ``layer1.0``, ``layers.2 #1``."""
    ordinal: int
    """Which of the pass's additions of two tensors it is, from 0, counting those that are no block's."""
    total: int
    """Index of y."""
    branch: int
    """Index of F(x)."""
    shortcut: int
    """Index of s(x); that of x itself where the shortcut is the identity."""
    source: int
    """Index of x."""
    kind: Literal["identity", "free", "projection"]
    """Of the shortcut: x itself; without parameters (padded, pooled, scaled); with them."""
    branch_scale: float = 1.0
    """What the addition itself multiplies the branch by: its ``alpha``, where the branch is its second operand."""
    shortcut_scale: float = 1.0
    """Likewise of the shortcut."""


@final
class AdditionCounter:
    """Tells additions of two tensors from all other calls, in the same order in every pass."""

    def __init__(self) -> None:
        self._count = -1

    def ordinal(self, name: str, args: tuple[Any, ...]) -> int | None:
        """Returns which addition of two tensors of one shape a call is, from 0; None where it is none."""
        if name not in ADDS or len(args) < 2:
            return None
        first, second = args[:2]
        if not (isinstance(first, Tensor) and isinstance(second, Tensor)) or first is second:
            return None
        if first.shape != second.shape or not first.is_floating_point() or first.dim() < 2:
            return None
        self._count += 1
        return self._count


def scaled_operands(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Tensor, Tensor]:
    """Returns what an addition adds: its second operand comes times ``alpha``."""
    alpha = kwargs.get("alpha", 1)
    return args[0], args[1] if alpha == 1 else args[1] * alpha


def block(operations: Sequence[Operation], made: Operation, ordinal: int, indices: tuple[int, ...]) -> Addition | None:
    """Returns the block whose addition this is; None where its operands have no common source, or no weights between.

    The source is an operand itself where the other depends on it; else the latest operation that every way to both
    operands passes; else the latest that they share.
    """
    ways = [_Way.to(operations, index) for index in indices]
    source = _source(operations, indices)
    if source is None:
        return None
    counted = [way.since(source) for way in ways]
    if not any(weights for _, weights in counted):
        return None
    shortcut, branch = indices if counted[0] < counted[1] else indices[::-1]
    _, weights = min(counted)
    return Addition(
        name="",
        ordinal=ordinal,
        total=made.index,
        branch=branch,
        shortcut=shortcut,
        source=source,
        kind="projection" if weights else _kind_without_weights(operations, source, shortcut),
    )


def _source(operations: Sequence[Operation], indices: tuple[int, ...]) -> int | None:
    first, second = (operations[index] for index in indices)
    for one, other in ((first, second), (second, first)):
        origin = _same_values(operations, one.index)
        if other.comes_from(origin):
            return origin
    shared = first.above & second.above
    common = [index for index in range(min(indices), -1, -1) if shared >> index & 1]
    ends = (first, second)
    passed = (one for one in common if all(_passed_by_all(operations, one, end) for end in ends))
    return next(passed, common[0] if common else None)


def _same_values(operations: Sequence[Operation], index: int) -> int:
    """Goes back over operations that only copy or give another shape."""
    while operations[index].op in SAME_VALUES and len(operations[index].parents) == 1:
        index = operations[index].parents[0]
    return index


def _passed_by_all(operations: Sequence[Operation], source: int, end: Operation) -> bool:
    """Says whether every way from an input to ``end`` passes ``source``: none comes past it from before."""
    after = [one for one in operations[source + 1 : end.index + 1] if one is end or end.comes_from(one.index)]
    return all(parent == source or operations[parent].comes_from(source) for one in after for parent in one.parents)


@dataclass(frozen=True)
class _Way:
    """The operations that an operand depends on, and itself."""

    steps: tuple[Operation, ...]

    @classmethod
    def to(cls, operations: Sequence[Operation], index: int) -> "_Way":
        end = operations[index]
        weighted = (one for one in operations[: index + 1] if one.weighted)
        return cls(tuple(one for one in weighted if one is end or end.comes_from(one.index)))

    def since(self, source: int) -> tuple[int, int]:
        """Returns how many layers, and how many operations with parameters, lie behind ``source``."""
        behind = [one for one in self.steps if one.comes_from(source)]
        return sum(one.kind == "layer" for one in behind), len(behind)


def _kind_without_weights(operations: Sequence[Operation], source: int, shortcut: int) -> Literal["identity", "free"]:
    return "identity" if _same_values(operations, shortcut) == source else "free"


def numbered(additions: list[Addition]) -> tuple[Addition, ...]:
    """Names the additions of one module apart by their number in it."""
    names = [one.name for one in additions]
    seen: dict[str, int] = {}
    numbered = []
    for one in additions:
        seen[one.name] = seen.get(one.name, 0) + 1
        several = names.count(one.name) > 1
        path = one.name or "forward"
        numbered.append(replace(one, name=f"{path} #{seen[one.name]}" if several else path))
    return tuple(numbered)
