"""Shortcuts: what travels round a residual function (He et al. 2015, §3.3 and §4.1; He et al. 2016, §3 and Table 1).

`SHORTCUTS` is the one place that lists them: a shortcut is a module made from (style, shape), and a line there.
Option D, pool before projecting, loses no position, where a strided 1×1 convolution reads one in four.
Scaling, gates and dropout act on an identity that is padded, as option A, where shapes differ.
"""

from collections.abc import Callable
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from residua.networks.layers import BlockShape, Style, chain, convolution, norm, shift


@final
class IdentityShortcut(nn.Module):
    """Passes x on unchanged (He et al. 2015, Eq. 1): the solid line of the figures."""

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        return x


@final
class PaddedShortcut(nn.Module):
    """Takes every ``stride``-th position and appends channels of zeros: option A, without parameters."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.added_channels = out_channels - in_channels
        self.stride = stride

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c2 h2 w2"]:
        taken = x[:, :, :: self.stride, :: self.stride]
        return functional.pad(taken, (0, 0, 0, 0, 0, self.added_channels))

    def extra_repr(self) -> str:
        return f"added_channels={self.added_channels}, stride={self.stride}"


@final
class ProjectionShortcut(nn.Module):
    """Computes W_s x by a strided 1×1 convolution (He et al. 2015, Eq. 2): options B and C.

    Args:
        projection: The convolution, with its norm where it has one.
    """

    def __init__(self, projection: nn.Module) -> None:
        super().__init__()
        self.projection = projection

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c2 h2 w2"]:
        return self.projection(x)


@final
class PooledProjectionShortcut(nn.Module):
    """Pools where the maps shrink, then projects where the channels differ: option D.

    Args:
        pool: The pool, or the identity where the size stays. It rounds up, as a padded convolution does.
        projection: The 1×1 convolution, or the identity where the channels agree.
    """

    def __init__(self, pool: nn.Module, projection: nn.Module) -> None:
        super().__init__()
        self.pool = pool
        self.projection = projection

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c2 h2 w2"]:
        return self.projection(self.pool(x))


@final
class ScaledShortcut(nn.Module):
    """Computes λx with a fixed λ (He et al. 2016, Eq. 7 and Fig. 2b); the block scales F as well."""

    def __init__(self, style: Style, shape: BlockShape) -> None:
        super().__init__()
        self.resize = identity_or_padded(style, shape)
        self.factor = style.shortcut_scale

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c2 h2 w2"]:
        return self.factor * self.resize(x)

    def extra_repr(self) -> str:
        return f"factor={self.factor:.6g}"


@final
class GatedShortcut(nn.Module):
    """Computes (1 − g(x)) ⊙ x and leaves F alone: shortcut-only gating (He et al. 2016, Fig. 2d).

    g(x) = σ(W_g x + b_g) is a 1×1 convolution of the block's input, strided where the maps shrink; b_g starts
    at ``style.gate_bias``.
    """

    def __init__(self, style: Style, shape: BlockShape) -> None:
        super().__init__()
        self.resize = identity_or_padded(style, shape)
        self.gate = gate(shape)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c2 h2 w2"]:
        return (1 - self.gate(x).sigmoid()) * self.resize(x)


@final
class DropoutShortcut(nn.Module):
    """Drops each number of x with probability ``rate`` in training and computes (1 − rate)·x in evaluation.

    Without the usual rescaling in training, so that the shortcut's scale is 1 − rate on average, as He et al.
    2016, §3.1 ("dropout shortcut") describe theirs.
    """

    def __init__(self, style: Style, shape: BlockShape) -> None:
        super().__init__()
        self.resize = identity_or_padded(style, shape)
        self.rate = style.shortcut_dropout

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c2 h2 w2"]:
        x = self.resize(x)
        return x * (torch.rand_like(x) >= self.rate) if self.training else (1 - self.rate) * x

    def extra_repr(self) -> str:
        return f"rate={self.rate:.6g}"


@final
class Addition(nn.Module):
    """Adds F(h) and the shortcut (He et al. 2015, Eq. 1); the block's input h is not read."""

    def forward(
        self, residual: Float[Tensor, "..."], shortcut: Float[Tensor, "b c h w"], _h: Float[Tensor, "..."]
    ) -> Float[Tensor, "b c h w"]:
        return residual + shortcut


@final
class ExclusiveGate(nn.Module):
    """Computes g(h) ⊙ F(h) + (1 − g(h)) ⊙ shortcut: exclusive gating, as in highway networks (He et al. 2016, Fig. 2c).

    The gate is that of `GatedShortcut`.
    """

    def __init__(self, _style: Style, shape: BlockShape) -> None:
        super().__init__()
        self.gate = gate(shape)

    def forward(
        self, residual: Float[Tensor, "..."], shortcut: Float[Tensor, "b c h w"], h: Float[Tensor, "b c2 h2 w2"]
    ) -> Float[Tensor, "b c h w"]:
        g = self.gate(h).sigmoid()
        return g * residual + (1 - g) * shortcut


def gate(shape: BlockShape) -> nn.Conv2d:
    """Returns the 1×1 convolution of a gate, from the block's input to the shape of its output."""
    return convolution(shape.in_channels, shape.out_channels, 1, stride=shape.stride, bias=True)


def identity_or_padded(_style: Style, shape: BlockShape) -> nn.Module:
    """Returns the identity where shapes agree, else option A."""
    if not shape.changes:
        return IdentityShortcut()
    return PaddedShortcut(shape.in_channels, shape.out_channels, shape.stride)


def projection(style: Style, shape: BlockShape) -> nn.Module:
    """Returns the strided 1×1 convolution whatever the shapes: option C."""
    return ProjectionShortcut(_projection(style, shape.in_channels, shape.out_channels, shape.stride))


def identity_or_projection(style: Style, shape: BlockShape) -> nn.Module:
    """Returns the identity where shapes agree, else the projection: option B."""
    return projection(style, shape) if shape.changes else IdentityShortcut()


def average_pooled(style: Style, shape: BlockShape) -> nn.Module:
    """Returns the identity where shapes agree, else average pool and projection: option D (ResNet-D)."""
    return _identity_or_pooled(style, shape, nn.AvgPool2d)


def max_pooled(style: Style, shape: BlockShape) -> nn.Module:
    """Returns the identity where shapes agree, else max pool and projection."""
    return _identity_or_pooled(style, shape, nn.MaxPool2d)


Make = Callable[[Style, BlockShape], nn.Module]

SHORTCUTS: dict[str, Make] = {
    "padded": identity_or_padded,
    "projection": identity_or_projection,
    "projection_everywhere": projection,
    "average_pooled": average_pooled,
    "max_pooled": max_pooled,
    "scaled": ScaledShortcut,
    "exclusive_gating": identity_or_padded,
    "shortcut_only_gating": GatedShortcut,
    "dropout": DropoutShortcut,
}
"""Every shortcut by the name that a specification gives it; ``none``, a plain network, has no line."""

MERGES: dict[str, Make] = {"exclusive_gating": ExclusiveGate}
"""How F and the shortcut become one where that is not the addition."""

PROJECTING = ("projection", "projection_everywhere", "average_pooled", "max_pooled")
"""Those with a 1×1 convolution where shapes differ."""

PADDING = ("padded", "scaled", "exclusive_gating", "shortcut_only_gating", "dropout")
"""Those that append channels of zeros where shapes differ."""


def _projection(style: Style, in_channels: int, out_channels: int, stride: int) -> nn.Module:
    layers = [
        *shift(style),
        ("convolution", convolution(in_channels, out_channels, 1, stride=stride, bias=style.bias)),
    ]
    return chain([*layers, *(norm(style, out_channels) if style.norm_on_projection else [])])


def _identity_or_pooled(style: Style, shape: BlockShape, pool: type[nn.AvgPool2d] | type[nn.MaxPool2d]) -> nn.Module:
    if not shape.changes:
        return IdentityShortcut()
    agree = shape.in_channels == shape.out_channels
    return PooledProjectionShortcut(
        nn.Identity() if shape.stride == 1 else pool(shape.stride, shape.stride, ceil_mode=True),
        nn.Identity() if agree else _projection(style, shape.in_channels, shape.out_channels, 1),
    )
