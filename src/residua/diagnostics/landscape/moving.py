"""A module whose weights are moved, while the user's stays where it is.

Notation: θ [p] the weights at the centre, d_k [p] the directions; a point is θ + Σ_k a_k d_k, and what moves of the
buffers moves alike.
"""

import contextlib
import copy
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import final

import torch
from torch import Tensor, nn

from residua.diagnostics.case import Examples, run, undisturbed
from residua.diagnostics.landscape.directions import Direction
from residua.diagnostics.landscape.folding import Fold, foldable, folded
from residua.diagnostics.landscape.layout import flat, layout_of
from residua.errors import BadSetting


@final
class Moving:
    """A module in evaluation mode, and where it is; `Moving.to` writes its parameters and buffers.

    Each point is computed from the centre anew, so that none depends on those before it.

    Args:
        module: Whose tensors are written.
        directions: One an axis.
        is_copy: Whether nobody else has the module, so that its norms may be folded.
        channels_last: Whether it takes pictures in that layout, which convolutions are fastest in.

    Raises:
        BadSetting: If a direction is of another module.
    """

    def __init__(
        self, module: nn.Module, directions: Sequence[Direction], *, is_copy: bool, channels_last: bool = False
    ) -> None:
        self.module = module
        self.is_copy = is_copy
        self.channels_last = channels_last
        self.axes = len(directions)
        self.folds: tuple[Fold, ...] = ()
        self._layout = layout_of(module)
        self._centre = flat(module)
        if any(one.vector.dtype == torch.float64 for one in directions):
            self._centre = self._centre.double()  # the sum is rounded once, as it is written
        self._point = self._centre.clone()
        self._steps = [_fitting(one.vector, self._centre) for one in directions]
        parts = self._layout.parts(self._point)
        self._parts = parts
        self._targets = {name: one.data for name, one in module.named_parameters()}  # writes that no graph notices
        self._buffers = [
            (one, one.clone(), [dict(direction.buffers).get(name) for direction in directions])
            for name, one in module.named_buffers()
        ]

    def fold(self, examples: Examples) -> None:
        """Makes the norms that directly follow a convolution part of it, at every point by the exact formula."""
        pairs = foldable(self.module, examples) if self.is_copy else ()
        self.folds = tuple(folded(self.module, pair, self._parts) for pair in pairs)
        for name in {name for fold in self.folds for name in fold.written}:
            del self._targets[name]

    def to(self, point: Sequence[float]) -> None:
        """Moves the module to θ + Σ_k a_k d_k; at zeros it is θ to the bit."""
        self._point.copy_(self._centre)
        for a, step in zip(point, self._steps, strict=True):
            self._point.add_(step, alpha=a)
        for name, target in self._targets.items():
            target.copy_(self._parts[name])
        with torch.no_grad():
            for buffer, centre, differences in self._buffers:
                there = centre
                for a, difference in zip(point, differences, strict=True):
                    if difference is not None:
                        there = there + a * difference.to(centre.device)
                buffer.copy_(there)
            for fold in self.folds:
                fold.write()


@contextlib.contextmanager
def moving(module: nn.Module, directions: Sequence[Direction], examples: Examples) -> Iterator[Moving]:
    """Yields a copy of a module to be moved; the module itself where it cannot be copied, put back to the bit.

    Modes, buffers, gradients and random states are as they were afterwards in either case. Two of the examples tell
    whether a copy takes pictures in channels-last layout.

    Raises:
        BadSetting: If a direction is of another module.
    """
    with undisturbed(module):
        try:
            copied = copy.deepcopy(module)
        except Exception:  # what a module may hold that cannot be copied, and what it then raises, is anybody's
            copied = None
        if copied is not None:
            rearranged = _rearranged(copied.eval(), examples.take(slice(0, 2)))
            yield Moving(copied, directions, is_copy=True, channels_last=rearranged)
            return
        before = [(one.data, one.detach().clone()) for one in module.parameters()]
        try:
            yield Moving(module.eval(), directions, is_copy=False)
        finally:
            for target, own in before:
                target.copy_(own)


def channels_last(examples: Examples) -> Examples:
    """Returns examples with pictures in channels-last layout."""

    def laid(one: Tensor) -> Tensor:
        is_picture = one.dim() == 4 and one.is_floating_point()
        return one.contiguous(memory_format=torch.channels_last) if is_picture else one

    named = {name: laid(one) for name, one in examples.named.items()}
    return replace(examples, args=tuple(map(laid, examples.args)), named=named)


def _rearranged(module: nn.Module, examples: Examples) -> bool:
    """Lays convolutions' weights out channels-last; not where the forward pass fails then: a ``view`` may forbid it."""
    plain = [one for one in module.modules() if type(one) is nn.Conv2d]
    for one in plain:
        one.weight.data = one.weight.data.contiguous(memory_format=torch.channels_last)
    try:
        with torch.no_grad():
            run(module, channels_last(examples))
        return bool(plain)
    except Exception:  # whatever the forward pass says; without this layout it may say nothing
        for one in plain:
            one.weight.data = one.weight.data.contiguous()
        return False


def _fitting(vector: Tensor, centre: Tensor) -> Tensor:
    if vector.shape != centre.shape:
        raise BadSetting(
            f"a direction has {vector.numel():,} numbers, and the module {centre.numel():,} parameters; "
            "draw it for this module"
        )
    return vector.to(centre)
