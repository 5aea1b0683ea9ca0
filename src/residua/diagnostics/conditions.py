"""Which prediction a network meets, read off one forward pass: either its conditions hold, or the first that fails.

The squared gradient is followed from the last place to the first (``docs/predictions.md``): a layer of weight variance
2q/fan_in multiplies it by 2qA, a ReLU by ½, a batch norm by the mean over the channels of 1/variance. A is the share of
a kernel's taps that lie inside the map, 1 without padding; a layer that reads BN–ReLU has the variance q ((1 − 1/π) A +
B/π), where B is what padding makes of the mean.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from math import pi, prod, sqrt
from typing import Any, final

import torch
from torch import Tensor, nn

from residua.diagnostics.additions import ADDS, Addition
from residua.diagnostics.operations import SAME_VALUES, Operation
from residua.diagnostics.predictions import C, Prediction
from residua.diagnostics.trace import Look, Trace

FEWEST_EXAMPLES = 128
"""That a batch norm must see, positions counted."""
FEWEST_INPUTS = 256
"""Of a layer behind BN–ReLU: its fan_in, so that variances are near their means over the weights."""
VARIANCE_TOLERANCE = 0.05
"""On the weights' variance, relative."""
SMALLEST_INSIDE = 0.8
"""Share of a kernel's taps that must lie inside the map in a residual network: 3×3 on maps of 8×8 have 0.84. The
gradient gathers where the map's border does not cut it off, which a plain network multiplies from layer to layer, so
that none of its layers may pad: with 3×3 on 16×16 and smaller, ln(ratio) was measured 14 % above."""
NORMAL_TOLERANCE = 0.05
"""On the variance of what the ReLUs give, on the whole, relative to that of normal numbers."""
_SOURCE = "docs/predictions.md"


class _Fails(Exception):
    """Carries the first condition that does not hold."""


@final
class Moments:
    """Keeps, while a pass is traced, the channel variances that the predictions start from, and the ReLUs' own."""

    def __init__(self) -> None:
        self.variances: dict[int, Tensor] = {}
        """Of layers and additions, by operation: over examples and positions, a number a channel."""
        self.activations: dict[int, float] = {}
        """Of ReLUs: twice the variance, mean over the channels."""

    @property
    def look(self) -> Look:
        """Returns what the trace is to call."""

        def keep(made: Operation, _args: Any, _kwargs: Any, output: Tensor) -> None:
            if output.dim() < 2:
                return
            if made.op in ("relu", "relu_"):
                self.activations[made.index] = 2 * float(_channel_variances(output).mean())
            elif made.kind == "layer" or made.op in ADDS:
                self.variances[made.index] = _channel_variances(output)

        return keep


def _channel_variances(output: Tensor) -> Tensor:
    others = [axis for axis in range(output.dim()) if axis != 1]
    return output.detach().double().var(others, correction=0)


def predicted_ratio(
    module: nn.Module, traced: Trace, moments: Moments, places: Sequence[int]
) -> tuple[Prediction | None, str]:
    """Returns what theory says of the gradient's norm at the first place over that at the last; else why nothing.

    Args:
        module: In training mode.
        traced: Its pass.
        moments: Kept during it.
        places: Operations, first to last: all the totals of additions, or all layers.
    """
    if len(places) < 2:
        return None, "there is one place alone, and a ratio is of two"
    reading = _Reading(module, traced, moments)
    residual = any(one.total == places[0] for one in traced.additions)
    try:
        found = reading.residual(places) if residual else reading.plain(places)
        reading.check_normal(places[0], places[-1])
    except _Fails as failed:
        return None, str(failed)
    kind = "Identity shortcuts round" if residual else "Layers of"
    return Prediction(
        value=sqrt(found.squared),
        quantity="‖∂L/∂x₁‖ / ‖∂L/∂x_L‖",
        source=_SOURCE,
        conditions=(
            f"{kind} BN–ReLU–linear, and nothing else between the places",
            "batch norms use the batch's statistics, γ = 1, β = 0",
            f"weights as drawn: their variance is an initialisation's within {VARIANCE_TOLERANCE:.0%}",
            f"{FEWEST_EXAMPLES} numbers or more a channel and batch, fan_in {FEWEST_INPUTS} or more",
            f"{SMALLEST_INSIDE:.0%} or more of the kernels' taps inside the maps",
            f"what ReLUs give varies as of normal numbers, within {NORMAL_TOLERANCE:.0%}",
            f"given the variance at the first place, {found.start:.3g}",
        ),
        variances=tuple(found.variances),
        shares=tuple(found.shares),
    ), ""


@dataclass(frozen=True, kw_only=True)
class _Found:
    """What the theory gives."""

    squared: float
    """The ratio, squared."""
    start: float
    """The variance that it starts from."""
    variances: Sequence[float] = ()
    shares: Sequence[float] = ()


@dataclass(frozen=True)
class _Layer:
    """A weighted layer: q, A and B."""

    scale: float
    inside: float
    border: float

    @property
    def variance(self) -> float:
        """Returns its output's variance behind BN–ReLU."""
        return self.scale * (C * self.inside + self.border / pi)

    @property
    def gain(self) -> float:
        """Returns half of what it multiplies the squared gradient by: a ReLU takes the other."""
        return self.scale * self.inside


@dataclass(frozen=True, eq=False)
class _Reading:
    module: nn.Module
    traced: Trace
    moments: Moments

    def plain(self, places: Sequence[int]) -> _Found:
        """Returns what is predicted over layers."""
        start = self._start(places[0])
        squared, reciprocal = 1.0, float((1 / start).mean())
        for before, index in pairwise(places):
            layer = self._chain(before, index, count=1)[0]
            if layer.inside < 1:
                raise _Fails(f"{_where(self.traced.operations[index])} pads, and no shortcut evens the borders out")
            squared *= layer.gain * reciprocal
            reciprocal = 1 / layer.variance
        return _Found(squared=squared, start=float(start.mean()))

    def residual(self, places: Sequence[int]) -> _Found:
        """Returns what is predicted over additions."""
        additions = {one.total: one for one in self.traced.additions}
        variances = start = self._start(places[0])
        squared, behind, shares = 1.0, [], []
        for before, index in pairwise(places):
            addition = additions[index]
            if addition.branch_scale != 1 or addition.shortcut_scale != 1:
                raise _Fails(f"{addition.name} scales what it adds")
            reciprocal = float((1 / variances).mean())
            if addition.kind == "identity":
                branch = self._branch(before, addition)
                squared *= 1 + _through(branch) * reciprocal
                variances = variances + branch[-1].variance
            else:
                branch, shortcut = self._projecting(before, addition)
                squared *= (_through(branch) + shortcut.gain) * reciprocal
                variances = torch.tensor([branch[-1].variance + shortcut.variance])
            behind.append(float(variances.mean()))
            shares.append(branch[-1].variance / behind[-1])
        return _Found(squared=squared, start=float(start.mean()), variances=behind, shares=shares)

    def _branch(self, before: int, addition: Addition) -> tuple[_Layer, ...]:
        """Reads a block whose shortcut is the identity."""
        if addition.source != before:
            raise _Fails(f"{addition.name} does not read the sum before it{self._first_between(before, addition)}")
        return self._chain(before, addition.branch)

    def _projecting(self, before: int, addition: Addition) -> tuple[tuple[_Layer, ...], _Layer]:
        """Reads a unit whose input is normalised: y = F(h) + W h with h = ReLU(BN(x))."""
        if addition.kind != "projection":
            raise _Fails(f"the shortcut of {addition.name} is neither the identity nor a projection")
        return self._chain(before, addition.branch), self._chain(before, addition.shortcut, count=1)[0]

    def _chain(self, start: int, end: int, *, count: int | None = None) -> tuple[_Layer, ...]:
        """Reads (BN–ReLU–linear) × m from one operation to another; m is ``count`` where that is given."""
        found = [one for one in self.traced.between(start, end) if one.op not in SAME_VALUES]
        for position, one in enumerate(found):
            wanted = ("norm", "activation", "layer")[position % 3]
            if one.kind != wanted:
                raise _Fails(f"{_where(one)} calls {one.op} where the theory has BN–ReLU–linear")
            if wanted == "norm":
                self._check_norm(one)
            elif wanted == "activation" and one.op.rstrip("_") != "relu":
                raise _Fails(f"{_where(one)} is a {one.op} and no ReLU")
        if not found or len(found) % 3 or (count is not None and len(found) != 3 * count):
            last = _where(self.traced.operations[end])
            raise _Fails(f"what leads to {last} is not BN–ReLU–linear, layer after layer")
        return tuple(self._layer(one) for one in found[2::3])

    def _check_norm(self, norm: Operation) -> None:
        module, where = self.module.get_submodule(norm.module), _where(norm)
        if norm.op != "batch_norm" or not isinstance(module, nn.modules.batchnorm._BatchNorm):
            raise _Fails(f"{where} is no batch norm")
        if not module.training:
            raise _Fails(f"{where} is in evaluation mode")
        if module.affine and not (bool((module.weight == 1).all()) and bool((module.bias == 0).all())):
            raise _Fails(f"{where} is not as initialised: γ = 1, β = 0")
        seen = prod(norm.shape) // norm.shape[1]
        if seen < FEWEST_EXAMPLES:
            raise _Fails(f"{where} sees {seen} numbers a channel in a batch; {FEWEST_EXAMPLES} are needed")

    def check_normal(self, first: int, last: int) -> None:
        """Checks that the ReLUs between two places read normal numbers on the whole, as the variance c asks for."""
        between = (one.index for one in self.traced.between(first, last))
        read = [self.moments.activations[index] for index in between if index in self.moments.activations]
        off = sum(read) / len(read) / C - 1
        if abs(off) > NORMAL_TOLERANCE:
            raise _Fails(
                f"what the ReLUs give varies {abs(off):.0%} {'more' if off > 0 else 'less'} than of normal numbers: "
                "the examples, or the channels' inputs, are too much alike"
            )

    def _layer(self, layer: Operation) -> _Layer:
        """Reads a layer's weights and padding."""
        module, where = self.module.get_submodule(layer.module), _where(layer)
        if not isinstance(module, nn.Linear) and not _is_full_convolution(module):
            raise _Fails(f"{where} is no linear layer, and no convolution of all channels")
        scale = _scale(module.weight.detach().double(), where)  # type: ignore[operator]
        sizes = self.traced.operations[layer.parents[0]].shape[2:]
        taps = [1.0] if isinstance(module, nn.Linear) else _taps(module, sizes)  # type: ignore[arg-type]
        inside = sum(taps) / len(taps)
        if inside < SMALLEST_INSIDE:
            raise _Fails(f"{where} has {1 - inside:.0%} of its taps outside the map; its maps are too small")
        border = sum(share * (1 - share) for share in taps) / len(taps)
        return _Layer(scale=scale, inside=inside, border=border)

    def _start(self, place: int) -> Tensor:
        """Returns the channel variances at the first place, as measured."""
        found = self.moments.variances.get(place)
        if found is None or not bool((found > 0).all()):
            raise _Fails(f"a channel does not vary at {_where(self.traced.operations[place])}, the first place")
        return found

    def _first_between(self, before: int, addition: Addition) -> str:
        between = self.traced.between(before, addition.source)
        return f": {between[0].op} is between" if between else ""


def _where(operation: Operation) -> str:
    return operation.module or "the network itself"


def _is_full_convolution(module: nn.Module) -> bool:
    is_convolution = isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d)
    return is_convolution and module.groups == 1 and module.padding_mode == "zeros" and set(module.dilation) == {1}


def _scale(weight: Tensor, where: str) -> float:
    """Returns q of weights that an initialisation drew: those of He, LeCun, Glorot, and torch's own.

    The tolerance on their variance is wider where there are few of them: four standard deviations, 4 √(2/count).
    """
    fan_in, fan_out = weight[0].numel(), weight.numel() // weight.shape[1]
    if fan_in < FEWEST_INPUTS:
        raise _Fails(f"{where} sums {fan_in} inputs; {FEWEST_INPUTS} are needed for variances near their means")
    variance = float(weight.square().mean())
    drawn = (2 / fan_in, 2 / fan_out, 1 / fan_in, 2 / (fan_in + fan_out), 1 / (3 * fan_in))
    tolerance = max(VARIANCE_TOLERANCE, 4 * sqrt(2 / weight.numel()))
    if not any(abs(variance / one - 1) <= tolerance for one in drawn):
        raise _Fails(f"{where} is not as initialised: its weights have variance {variance:.3g}")
    return variance * fan_in / 2


def _through(branch: Sequence[_Layer]) -> float:
    """Returns what a branch multiplies the squared gradient by, but for its first batch norm."""
    return branch[-1].gain * prod(layer.gain / layer.variance for layer in branch[:-1])


def _taps(layer: nn.Conv1d | nn.Conv2d | nn.Conv3d, sizes: Sequence[int]) -> list[float]:
    """Returns for every tap of the kernel the share of the output's positions at which it lies inside the map."""
    sides = []
    for axis, (size, kernel, stride) in enumerate(zip(sizes, layer.kernel_size, layer.stride, strict=True)):
        padding = (
            layer.padding[axis] if not isinstance(layer.padding, str) else layer.padding.count("same") * kernel // 2
        )
        starts = range(-padding, size + padding - kernel + 1, stride)
        sides.append([sum(0 <= start + tap < size for start in starts) / len(starts) for tap in range(kernel)])
    return [prod(shares) for shares in product(*sides)]
