"""The layers that every network is made of: convolution, norm, activation, and the scalars that stand in for norms."""

from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol, final, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

ActivationKind = Literal["relu", "leaky_relu", "prelu", "gelu", "silu", "hardswish", "sigmoid", "tanh"]
NormKind = Literal["batch", "group", "none"]

ACTIVATIONS: dict[ActivationKind, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "prelu": nn.PReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "hardswish": nn.Hardswish,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
}
"""None works in place: the layer before may be one that a shortcut, or a measurement, reads."""

Layers = list[tuple[str, nn.Module]]
"""Layers in the order that they are applied, each with its name."""


@runtime_checkable
class Style(Protocol):
    """Says how the layers of a network are made; a `NetworkSpec` is one, and documents each of these."""

    @property
    def norm(self) -> NormKind: ...
    @property
    def norm_groups(self) -> int: ...
    @property
    def bias(self) -> bool: ...
    @property
    def norm_on_projection(self) -> bool: ...
    @property
    def activation(self) -> ActivationKind: ...
    @property
    def has_shifts(self) -> bool: ...
    @property
    def shortcut_scale(self) -> float: ...
    @property
    def shortcut_dropout(self) -> float: ...
    @property
    def gate_bias(self) -> float: ...


@dataclass(frozen=True, kw_only=True)
class BlockShape:
    """Says what one block does to the shape of its input."""

    in_channels: int
    width: int
    """Channels of the 3×3 convolutions."""
    out_channels: int
    stride: int

    @property
    def changes(self) -> bool:
        """Whether the output differs in shape from the input."""
        return self.stride != 1 or self.in_channels != self.out_channels


@final
class Shift(nn.Module):
    """Adds one learned number, 0 at the start: Fixup's scalar bias (Zhang et al. 2019, §3)."""

    def __init__(self) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.zeros(1))

    def forward(self, x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        return x + self.value


@final
class Scale(nn.Module):
    """Multiplies by one learned number: 1 at the start of Fixup's, 0 of SkipInit's (De and Smith 2020, §2)."""

    def __init__(self) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.ones(1))

    def forward(self, x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        return x * self.value


@final
class FixedScale(nn.Module):
    """Multiplies by a number that does not learn."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        return x * self.factor

    def extra_repr(self) -> str:
        return f"factor={self.factor:.6g}"


@final
class GlobalAveragePool(nn.Module):
    """Leaves the mean of every channel, as torch's ``AdaptiveAvgPool2d(1)`` does, with a gradient that lies in memory
    as the maps do.

    That of torch's pool lies channels first, so that the last stage would read its maps in one order and their
    gradients in another, which costs a small network a twentieth of a step. Where nothing learns it is torch's pool,
    which exporters know.
    """

    def forward(self, maps: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c 1 1"]:
        if maps.requires_grad and maps.is_contiguous(memory_format=torch.channels_last):
            return maps.permute(0, 2, 3, 1).mean(dim=(1, 2))[:, :, None, None]
        return functional.adaptive_avg_pool2d(maps, 1)


@final
class SqueezeExcitation(nn.Module):
    """Weighs every channel by what the whole map holds (Hu et al. 2018, Eqs. 2 to 4).

    Args:
        channels: Of the maps.
        reduction: Channels over the hidden layer's units; at least one unit is left.
    """

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        hidden = max(1, channels // reduction)
        self.squeeze = nn.Linear(channels, hidden)
        self.excite = nn.Linear(hidden, channels)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        weights = self.excite(torch.relu(self.squeeze(x.mean(dim=(2, 3))))).sigmoid()
        return x * weights[:, :, None, None]


@final
class SubsampledConvolution(nn.Conv2d):
    """A strided 1×1 convolution of few channels that leaves out first what it would step over: the same numbers.

    On processors without AVX-512 the gradient of torch's own for its weights writes beyond its memory, or is wrong,
    where there are fewer channels than the kernel takes at a time (oneDNN issue 6035, channels last).
    """

    FEWEST = 16
    """Channels from which on torch's own is used: the widest block of its kernels."""

    def forward(self, input: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c2 h2 w2"]:
        down, right = self.stride
        return functional.conv2d(input[:, :, ::down, ::right], self.weight, self.bias)


def convolution(
    in_channels: int, out_channels: int, kernel: int, *, stride: int = 1, bias: bool, groups: int = 1
) -> nn.Conv2d:
    """Returns a convolution that keeps the size of its maps, up to the stride, by padding half the kernel."""
    few = kernel == 1 and stride > 1 and in_channels < SubsampledConvolution.FEWEST
    kind = SubsampledConvolution if few and groups == 1 else nn.Conv2d
    return kind(in_channels, out_channels, kernel, stride=stride, padding=kernel // 2, bias=bias, groups=groups)


def norm_and_activation(style: Style, channels: int) -> Layers:
    """Returns the norm, where the network has one, and the activation after it."""
    return [*norm(style, channels), *activation(style)]


def norm(style: Style, channels: int) -> Layers:
    """Returns the norm over ``channels``, or nothing in a network without norms.

    A group norm has the largest number of groups, up to ``style.norm_groups``, that divides the channels and leaves
    each group two of them: with one it would be an instance norm, and know nothing of a map of one position.
    """
    if style.norm == "none":
        return []
    if style.norm == "group":
        most = max(1, min(style.norm_groups, channels // 2))
        groups = next(count for count in range(most, 0, -1) if channels % count == 0)
        return [("norm", nn.GroupNorm(groups, channels))]
    return [("norm", nn.BatchNorm2d(channels))]


def activation(style: Style) -> Layers:
    """Returns the activation, behind its shift where the network has shifts; a PReLU has one slope for all channels."""
    return [*shift(style), ("activation", ACTIVATIONS[style.activation]())]


def shift(style: Style) -> Layers:
    """Returns the scalar bias that stands before convolutions, activations and the head of a Fixup network."""
    return [("shift", Shift())] if style.has_shifts else []


def chain(layers: Layers) -> nn.Sequential:
    """Returns layers with different names as one module whose parts keep them."""
    return nn.Sequential(OrderedDict(layers))


def numbered(layers: Layers) -> Layers:
    """Returns the layers with their number among those of their name: the second ``norm`` becomes ``norm2``."""
    seen: Counter[str] = Counter()
    named: Layers = []
    for name, layer in layers:
        seen[name] += 1
        named.append((f"{name}{seen[name]}", layer))
    return named


def joined(layers: Layers) -> nn.Module:
    """Returns no layer as the identity, one as itself, more as a chain, numbered where two have the same name."""
    if len(layers) == 1:
        return layers[0][1]
    different = len(dict(layers)) == len(layers)
    return chain(layers if different else numbered(layers)) if layers else nn.Identity()
