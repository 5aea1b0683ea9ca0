"""Blocks: a residual function, its shortcut, and what stands before and after both.

Notation: F is the residual function and h = entry(x); a block computes activation(F(h) + shortcut(h)), or with
gates activation(merge(F(h), shortcut(h), h)). L is the number of blocks in the network.
"""

from dataclasses import dataclass
from typing import Literal, final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from residua.networks.layers import (
    BlockShape,
    FixedScale,
    Layers,
    Scale,
    SqueezeExcitation,
    activation,
    chain,
    convolution,
    joined,
    norm,
    norm_and_activation,
    numbered,
    shift,
)
from residua.networks.shortcuts import MERGES, SHORTCUTS, Addition
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
            pre-activation (He et al. 2016, appendix), or the block begins a stage with a transition.
        activation: Applied after the addition; the identity lets x travel unchanged
            (He et al. 2016, Eqs. 3 and 4).
        merge: Makes one of F(h), the shortcut's output and h; the addition unless given.
    """

    def __init__(
        self,
        residual: nn.Module,
        shortcut: nn.Module,
        entry: nn.Module,
        activation: nn.Module,
        *,
        merge: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.entry = entry
        self.residual = residual
        self.shortcut = shortcut
        self.merge = Addition() if merge is None else merge
        self.activation = activation

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c2 h2 w2"]:
        h = self.entry(x)
        return self.activation(self.merge(self.residual(h), self.shortcut(h), h))


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


@final
class StochasticDepth(nn.Module):
    """Computes a residual function in a share of the training steps, and in evaluation scales it by that share.

    A step that drops it returns 0 and computes nothing (Huang et al. 2016, Eqs. 2 and 5); one draw from torch's
    global generator decides for the whole batch. The layers keep the names that they have without it.

    Args:
        residual: The residual function, a chain of named layers.
        survival: The share of the steps that keep it, above 0.
    """

    def __init__(self, residual: nn.Sequential, survival: float) -> None:
        super().__init__()
        self.survival = survival
        for name, layer in residual.named_children():
            self.add_module(name, layer)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "..."]:
        if self.training and torch.rand(()) >= self.survival:
            return x.new_zeros(())
        for layer in self.children():
            x = layer(x)
        return x if self.training else self.survival * x

    def extra_repr(self) -> str:
        return f"survival={self.survival:.6g}"


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Says where norms (N) and activations (A) stand in one order, each a string of these letters."""

    before: Literal["", "A", "NA"] = ""
    """Before the first convolution: the pre-activation."""
    between: Literal["NA"] = "NA"
    """Between two convolutions."""
    after: Literal["", "N", "NA"] = ""
    """After the last convolution, inside F."""
    after_addition: Literal["", "A", "NA"] = ""


LAYOUTS: dict[Order, Layout] = {
    "original": Layout(after="N", after_addition="A"),
    "bn_after_addition": Layout(after_addition="NA"),
    "relu_before_addition": Layout(after="NA"),
    "relu_only_preactivation": Layout(before="A", after="N"),
    "full_preactivation": Layout(before="NA"),
}
"""The orders of He et al. 2016, Fig. 4, from a to e."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Says which block of the network one is."""

    preactivation: Preactivation
    """Says nothing in orders without a pre-activation."""
    position: int = 0
    """Among all blocks, from 0."""
    transition_from: int | None = None
    """Channels before the transition that opens the block; None is no transition."""


def build_block(spec: NetworkSpec, shape: BlockShape, place: Place) -> ResidualBlock | PlainBlock:
    """Returns one block of the network."""
    layout = LAYOUTS[spec.order]
    opening = written(spec, layout.before, shape.in_channels)
    residual = residual_function(spec, shape, opening if place.preactivation == "in_branch" else [])
    shared = opening if place.preactivation == "shared" else []
    entry = joined(shared if place.transition_from is None else transition(spec, place.transition_from, shape))
    closing = joined(written(spec, layout.after_addition, shape.out_channels))
    if spec.is_plain:
        return PlainBlock(residual, entry, closing)
    survival = spec.survivals[place.position]
    shortcut = SHORTCUTS[spec.shortcut](spec, shape)
    merge = MERGES[spec.shortcut](spec, shape) if spec.shortcut in MERGES else None
    branch = residual if survival == 1 else StochasticDepth(residual, survival)
    return ResidualBlock(branch, shortcut, entry, closing, merge=merge)


def transition(spec: NetworkSpec, in_channels: int, shape: BlockShape) -> Layers:
    """Returns what a stage begins with where it has a transition; the pool halves a side, rounding down."""
    layers: Layers = [("convolution", convolution(in_channels, shape.in_channels, 3, bias=spec.bias))]
    return [*layers, ("pool", nn.MaxPool2d(2)), *norm_and_activation(spec, shape.in_channels)]


def residual_function(spec: NetworkSpec, shape: BlockShape, opening: Layers) -> nn.Sequential:
    """Returns F: ``opening``, the convolutions of the block with what stands between and after them, and its scales."""
    layout, layers = LAYOUTS[spec.order], list(opening)
    *earlier, last = _convolutions(spec, shape)
    for layer in earlier:
        layers += [*shift(spec), ("convolution", layer), *written(spec, layout.between, layer.out_channels)]
    layers += [*shift(spec), ("convolution", last), *written(spec, layout.after, last.out_channels)]
    return chain([*numbered(layers), *_branch_end(spec, shape)])


def _branch_end(spec: NetworkSpec, shape: BlockShape) -> Layers:
    """Returns what weighs the whole residual function, each with a name of its own."""
    layers: Layers = []
    if spec.squeeze_excitation is not None:
        layers.append(("excitation", SqueezeExcitation(shape.out_channels, spec.squeeze_excitation)))
    if spec.initialization in ("fixup", "skipinit"):
        layers.append(("scale", Scale()))
    if spec.initialization == "scaled_branches":
        layers.append(("depth_scale", FixedScale(sum(spec.blocks) ** -0.5)))
    if spec.shortcut == "scaled":
        layers.append(("fixed_scale", FixedScale(spec.residual_scale)))
    return layers


def _convolutions(spec: NetworkSpec, shape: BlockShape) -> list[nn.Conv2d]:
    into, width, out, stride = shape.in_channels, shape.width, shape.out_channels, shape.stride
    if spec.block == "single":
        return [convolution(into, out, 3, stride=stride, bias=spec.bias)]
    if spec.block == "basic":
        return [
            convolution(into, width, 3, stride=stride, bias=spec.bias),
            convolution(width, out, 3, bias=spec.bias),
        ]
    first, middle = (stride, 1) if spec.stride_on == "first" else (1, stride)
    return [
        convolution(into, width, 1, stride=first, bias=spec.bias),
        convolution(width, width, 3, stride=middle, bias=spec.bias, groups=spec.groups),
        convolution(width, out, 1, bias=spec.bias),
    ]


def written(spec: NetworkSpec, letters: str, channels: int) -> Layers:
    """Returns the layers that a layout's letters stand for."""
    if letters == "NA":
        return norm_and_activation(spec, channels)
    if letters == "N":
        return norm(spec, channels)
    return activation(spec) if letters == "A" else []
