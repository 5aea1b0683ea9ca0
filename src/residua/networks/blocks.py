"""Blocks: a residual function, its shortcut, and what stands before and after both.

Notation: F is the residual function; a block computes activation(F(entry(x)) + shortcut(entry(x))).
"""

from dataclasses import dataclass
from typing import Literal, final

from jaxtyping import Float
from torch import Tensor, nn

from residua.networks.layers import (
    Layers,
    activation,
    convolution,
    joined,
    norm,
    norm_and_activation,
    numbered_chain,
)
from residua.networks.shortcuts import shortcut_for
from residua.networks.spec import NetworkSpec, Order

Preactivation = Literal["in_branch", "shared", "above"]
"""Where a pre-activation block's first norm and activation are: the first layers of F, before
both paths, or in the layers above the block."""


@final
class ResidualBlock(nn.Module):
    """Adds a residual function to a shortcut (He et al. 2015, Eqs. 1 and 2).

    Args:
        residual: The residual function F.
        shortcut: Maps its input to the shape of F; the identity where they already agree.
        entry: Comes before both paths; the identity except where they share a
            pre-activation (He et al. 2016, appendix).
        activation: Applied after the addition; the identity lets x travel unchanged
            (He et al. 2016, Eqs. 3 and 4).
    """

    def __init__(self, residual: nn.Module, shortcut: nn.Module, entry: nn.Module, activation: nn.Module) -> None:
        super().__init__()
        self.entry = entry
        self.residual = residual
        self.shortcut = shortcut
        self.activation = activation

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c2 h2 w2"]:
        h = self.entry(x)
        return self.activation(self.residual(h) + self.shortcut(h))


@final
class PlainBlock(nn.Module):
    """Applies the layers of a residual block without a shortcut (He et al. 2015, §3.3, plain network).

    The parts carry a residual block's names, so that twins exchange weights by name.

    Args:
        residual: The layers that a shortcut would go round.
        entry: Comes first; the identity except where a residual twin shares a pre-activation.
        activation: Applied last.
    """

    def __init__(self, residual: nn.Module, entry: nn.Module, activation: nn.Module) -> None:
        super().__init__()
        self.entry = entry
        self.residual = residual
        self.activation = activation

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c2 h2 w2"]:
        return self.activation(self.residual(self.entry(x)))


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Says where norms (N) and activations (A) stand in one order, each a string of these letters."""

    before: Literal["", "A", "NA"]
    """Before the first convolution: the pre-activation."""
    between: Literal["NA"] = "NA"
    """Between two convolutions."""
    after: Literal["", "N", "NA"]
    """After the last convolution, inside F."""
    after_addition: Literal["", "A", "NA"]


LAYOUTS: dict[Order, Layout] = {
    "original": Layout(before="", after="N", after_addition="A"),
    "full_preactivation": Layout(before="NA", after="", after_addition=""),
}
"""The orders of He et al. 2016, Fig. 4."""


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


def build_block(spec: NetworkSpec, shape: BlockShape, preactivation: Preactivation) -> ResidualBlock | PlainBlock:
    """Returns one block of the network; in orders without a pre-activation that argument says nothing."""
    layout = LAYOUTS[spec.order]
    opening = _written(spec, layout.before, shape.in_channels)
    residual = residual_function(spec, shape, opening if preactivation == "in_branch" else [])
    entry = joined(opening if preactivation == "shared" else [])
    closing = joined(_written(spec, layout.after_addition, shape.out_channels))
    if spec.is_plain:
        return PlainBlock(residual, entry, closing)
    shortcut = shortcut_for(spec, shape.in_channels, shape.out_channels, stride=shape.stride)
    return ResidualBlock(residual, shortcut, entry, closing)


def residual_function(spec: NetworkSpec, shape: BlockShape, opening: Layers) -> nn.Sequential:
    """Returns F: ``opening``, then the convolutions of the block with what stands between and after them."""
    layout, layers = LAYOUTS[spec.order], list(opening)
    *earlier, last = _convolutions(spec, shape)
    for layer in earlier:
        layers += [("convolution", layer), *_written(spec, layout.between, layer.out_channels)]
    layers += [("convolution", last), *_written(spec, layout.after, last.out_channels)]
    return numbered_chain(layers)


def _convolutions(spec: NetworkSpec, shape: BlockShape) -> list[nn.Conv2d]:
    into, width, out, stride = shape.in_channels, shape.width, shape.out_channels, shape.stride
    if spec.block == "basic":
        return [
            convolution(into, width, 3, stride=stride, bias=spec.bias),
            convolution(width, out, 3, bias=spec.bias),
        ]
    first, middle = (stride, 1) if spec.stride_on == "first" else (1, stride)
    return [
        convolution(into, width, 1, stride=first, bias=spec.bias),
        convolution(width, width, 3, stride=middle, bias=spec.bias),
        convolution(width, out, 1, bias=spec.bias),
    ]


def _written(spec: NetworkSpec, letters: str, channels: int) -> Layers:
    """Returns the layers that a layout's letters stand for."""
    if letters == "NA":
        return norm_and_activation(spec, channels)
    if letters == "N":
        return norm(spec, channels)
    return activation(spec) if letters == "A" else []
