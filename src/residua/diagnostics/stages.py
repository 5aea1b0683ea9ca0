"""The places of a forward pass at which the stream is looked at, and the stages that they make."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import final

from residua.diagnostics.trace import Trace


@final
@dataclass(frozen=True, kw_only=True)
class Place:
    """The output of one operation."""

    name: str
    index: int
    """Of the operation."""
    shape: tuple[int, ...]
    """Of one example's part."""


def places(trace: Trace) -> tuple[Place, ...]:
    """Returns the additions' sums; in a network without additions the layers' outputs. In the order of the pass."""
    found = [(one.name, one.total) for one in trace.additions] or [
        (one.module or one.op, one.index) for one in trace.layers
    ]
    return tuple(Place(name=name, index=index, shape=trace.operations[index].shape[1:]) for name, index in found)


def stages(found: Sequence[Place]) -> tuple[tuple[Place, ...], ...]:
    """Returns the runs of consecutive places of one shape."""
    return tuple(tuple(run) for _, run in groupby(found, key=lambda one: one.shape))
