"""How much memory the tensors of a computation take at its peak, by the number of images.

Two small computations are watched, and what they hold after each new tensor is a straight line in the number of images:
fixed (gradients, casts of weights) plus so much an image (activations, in the precision that they are kept in).
What a kernel takes for itself while it runs is not seen.
"""

import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

_FEW, _MORE = 2, 4
"""Images of the two computations; batch norm needs two numbers a channel."""


@final
@dataclass(frozen=True, kw_only=True)
class Demand:
    """What a computation holds at its peak, as a function of the number of images."""

    lines: tuple[tuple[float, float], ...]
    """Fixed bytes, and bytes an image, after each new tensor."""

    def bytes_for(self, images: int) -> int:
        """Returns the bytes held at the peak: the highest of the lines."""
        return round(max((fixed + each * images for fixed, each in self.lines), default=0))


def demand(compute: Callable[[int], object]) -> Demand:
    """Returns what ``compute(images)`` holds above what was there before.

    Args:
        compute: Is called with two numbers of images and must make the same tensors for both, but for their size.
    """
    few, more = watched(lambda: compute(_FEW)), watched(lambda: compute(_MORE))
    if len(few) != len(more):  # a kernel was chosen by the size: the whole grows with the images
        few, more = [max(few, default=0)], [max(more, default=0)]
    slopes = [(after - before) / (_MORE - _FEW) for before, after in zip(few, more, strict=True)]
    return Demand(
        lines=tuple((before - _FEW * slope, slope) for before, slope in zip(few, slopes, strict=True)),
    )


def watched(compute: Callable[[], object]) -> list[int]:
    """Returns the bytes that tensors made by ``compute`` hold, after each new one."""
    watch = _Watch()
    with watch:
        compute()
    return watch.history


@final
class _Watch(TorchDispatchMode):
    """Counts the memory of every tensor that an operation returns until it is freed."""

    def __init__(self) -> None:
        super().__init__()
        self.history: list[int] = []
        self._held: dict[int, int] = {}
        self._bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        there = {leaf.untyped_storage()._cdata for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)}
        made = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(made):
            if isinstance(leaf, Tensor) and leaf.untyped_storage()._cdata not in there:
                self._add(leaf)
        return made

    def _add(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        if storage._cdata in self._held:
            return
        self._held[storage._cdata] = storage.nbytes()
        self._bytes += storage.nbytes()
        self.history.append(self._bytes)
        weakref.finalize(storage, self._remove, storage._cdata)

    def _remove(self, key: int) -> None:
        self._bytes -= self._held.pop(key, 0)
