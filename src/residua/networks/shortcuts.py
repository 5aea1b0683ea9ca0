"""Shortcuts: what travels round a residual function (He et al. 2015, §3.3 and §4.1, options A to C).

Option D, pool before projecting, loses no position, where a strided 1×1 convolution reads one in four.
"""

from typing import final

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from residua.networks.layers import chain, convolution, norm
from residua.networks.spec import NetworkSpec


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


def shortcut_for(spec: NetworkSpec, in_channels: int, out_channels: int, *, stride: int) -> nn.Module:
    """Returns the shortcut of one block; the identity wherever shapes agree, but for option C.

    Raises:
        ValueError: If the network is plain.
    """
    if spec.is_plain:
        raise ValueError("a plain network has no shortcuts")
    agrees = in_channels == out_channels and stride == 1
    if agrees and spec.shortcut != "projection_everywhere":
        return IdentityShortcut()
    if spec.shortcut == "padded":
        return PaddedShortcut(in_channels, out_channels, stride)
    if spec.shortcut in ("average_pooled", "max_pooled"):
        projection = nn.Identity() if in_channels == out_channels else _projection(spec, in_channels, out_channels, 1)
        return PooledProjectionShortcut(_pool(spec, stride), projection)
    return ProjectionShortcut(_projection(spec, in_channels, out_channels, stride))


def _projection(spec: NetworkSpec, in_channels: int, out_channels: int, stride: int) -> nn.Module:
    layers = [("convolution", convolution(in_channels, out_channels, 1, stride=stride, bias=spec.bias))]
    return chain([*layers, *(norm(spec, out_channels) if spec.norm_on_projection else [])])


def _pool(spec: NetworkSpec, stride: int) -> nn.Module:
    if stride == 1:
        return nn.Identity()
    pool = nn.AvgPool2d if spec.shortcut == "average_pooled" else nn.MaxPool2d
    return pool(stride, stride, ceil_mode=True)
