"""Which axis of an activation holds its channels.

A convolution gives axis 1, every other weighted layer (linear, attention, embedding) the last. Behind it the axis goes
where views take it (``transpose``, ``permute``, ``flatten``); an addition has that of its shortcut, which is the
stream's: between two transposes the branch of a mixer calls positions what the stream calls channels.
"""

from typing import Any, final

from torch import Tensor

from residua.diagnostics.additions import Addition
from residua.diagnostics.operations import Operation


@final
class Channels:
    """Follows the channels' axis through one forward pass."""

    def __init__(self) -> None:
        self._axes: dict[int, int] = {}

    def look(self, operation: Operation, args: tuple[Any, ...], output: Tensor) -> int:
        """Writes down, and returns, the channels' axis of an operation's output."""
        if operation.index not in self._axes:
            self._axes[operation.index] = self._axis(operation, args, output)
        return self._axes[operation.index]

    def meet(self, addition: Addition, output: Tensor) -> int:
        """Writes down, and returns, the channels' axis of an addition's sum."""
        known = (self._axes.get(one) for one in (addition.shortcut, addition.branch))
        axis = next((one for one in known if one is not None), axis_by_shape(output))
        return self._axes.setdefault(addition.total, axis)

    def _axis(self, operation: Operation, args: tuple[Any, ...], output: Tensor) -> int:
        if operation.kind == "layer":
            return 1 if operation.op.startswith("conv") else output.dim() - 1
        before = next((self._axes[one] for one in operation.parents if one in self._axes), None)
        if before is None:
            return axis_by_shape(output)
        read = next((one for one in args if isinstance(one, Tensor)), None)
        return moved(before, read, output)


def moved(axis: int, read: Tensor | None, given: Tensor) -> int:
    """Returns where an axis of what was read is in what was given: where size and stride are, if that is a view."""
    if read is not None and axis < read.dim() and read.data_ptr() == given.data_ptr():
        sought = (read.shape[axis], read.stride(axis))
        places = [one for one in range(given.dim()) if (given.shape[one], given.stride(one)) == sought]
        if places:
            return min(places, key=lambda one: abs(one - axis))
    return min(axis, given.dim() - 1)


def axis_by_shape(tensor: Tensor) -> int:
    """Returns the channels' axis where no layer came before: the last of [b, t, c], else the second."""
    return 2 if tensor.dim() == 3 else min(1, tensor.dim() - 1)
