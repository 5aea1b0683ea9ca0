"""What a network costs, layer by layer: shapes, parameters, multiply-adds, receptive field.

Everything follows from the layers' sizes; no image is needed. Multiply-adds count the convolutions, those of
shortcuts and gates included, and the linear layers, one for each product that is added up. A receptive field is the
side, in pixels of the image, of the square that one position of a layer's output depends on, along the
residual functions, which see at least as far as the shortcuts.
"""

import copy
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from residua.errors import BadNetwork
from residua.networks.blocks import PlainBlock, ResidualBlock, StochasticDepth
from residua.networks.layers import FixedScale, Scale, Shift, SqueezeExcitation
from residua.networks.nearest import Nearest
from residua.networks.network import ResidualNetwork, without_weights
from residua.networks.shortcuts import (
    Addition,
    DropoutShortcut,
    ExclusiveGate,
    GatedShortcut,
    IdentityShortcut,
    PaddedShortcut,
    PooledProjectionShortcut,
    ProjectionShortcut,
    ScaledShortcut,
)
from residua.networks.spec import NetworkSpec

Shape = tuple[int, int, int]
"""Channels, height and width."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """Tells what one layer, or one stage, gives and costs."""

    name: str
    """The layer's path in the network, or the part: stem, stage 1, …, tail, head."""
    kind: str
    """What it is: 3×3 convolution, batch norm, …; the blocks of a stage."""
    shape: Shape
    """Channels, height and width of its output."""
    parameters: int
    multiply_adds: int
    """For one image."""
    receptive_field: int
    """Of its output, in pixels of the image a side; padding counts, so it may exceed the image."""


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """Tells what a network costs for images of one shape."""

    image: Shape
    stages: tuple[Row, ...]
    """Stem, stages, tail where there is one, head."""
    layers: tuple[Row, ...]
    """In the order that they are applied; a shortcut's layers come after its residual function's."""
    parameters: int
    multiply_adds: int
    """For one image."""
    receptive_field: int
    """Before the global average pool, in pixels a side."""
    depth: int
    """Weighted layers outside the shortcuts."""
    nearest: Nearest | None = None
    """The named network that it is, or differs from the least, where somebody asked."""

    def to_json(self) -> dict[str, Any]:
        """Returns everything as a dictionary that JSON can hold."""
        return {**asdict(self), "nearest": self.nearest and self.nearest.to_json()}


def inspect(network: NetworkSpec | ResidualNetwork, shape: Shape) -> Inspection:
    """Tells what the network costs for images of ``shape``, without computing anything on images.

    Raises:
        BadNetwork: If the images have other channels than the network takes or shrink to nothing in it, or
            if the network holds a layer whose cost is not known.
    """
    if isinstance(network, NetworkSpec):
        network = without_weights(network)
    network.spec.require_fit(shape)
    signal = _Signal(shape=shape, side=1, step=1)
    parts: list[tuple[str, str, list[Row]]] = []
    for name, kind, path in _parts(network):
        rows, signal = _walk(path, network.get_submodule(path), signal)
        if rows:
            parts.append((name, kind, rows))
    parts.append(("head", "pool and linear", _head(network.head, signal)))
    layers = tuple(row for _, _, rows in parts for row in rows)
    return Inspection(
        image=shape,
        stages=tuple(_sum(*part) for part in parts),
        layers=layers,
        parameters=sum(row.parameters for row in layers),
        multiply_adds=sum(row.multiply_adds for row in layers),
        receptive_field=signal.side,
        depth=sum(map(_counts_as_depth, layers)),
    )


def parameters(spec: NetworkSpec) -> int:
    """Counts the trainable numbers of the network."""
    return sum(parameter.numel() for parameter in without_weights(spec).parameters())


def multiply_adds(spec: NetworkSpec, shape: Shape) -> int:
    """Counts the products that one image of ``shape`` costs in convolutions and the linear layer.

    Raises:
        BadNetwork: As `inspect` does.
    """
    return inspect(spec, shape).multiply_adds


def receptive_field(spec: NetworkSpec) -> int:
    """Returns the side, in pixels, of what one position before the global average pool depends on."""
    return inspect(spec, (spec.in_channels, spec.smallest_side, spec.smallest_side)).receptive_field


@dataclass(frozen=True, kw_only=True)
class _Signal:
    """What travels from layer to layer, seen from the image."""

    shape: Shape
    side: int
    """Receptive field of one position, in pixels."""
    step: int
    """Distance of the receptive fields of two neighbours, in pixels."""

    def through(self, channels: int, window: "_Window") -> "_Signal":
        """Returns the signal after a layer that moves a window: r + (k − 1)·j and j·s."""
        return _Signal(
            shape=(channels, window.positions(self.shape[1]), window.positions(self.shape[2])),
            side=self.side + (window.kernel - 1) * self.step,
            step=self.step * window.stride,
        )


@dataclass(frozen=True, kw_only=True)
class _Window:
    """A square window that a convolution or a pool moves over the maps."""

    kernel: int
    stride: int
    padding: int = 0
    rounds_up: bool = False

    def positions(self, side: int) -> int:
        """Counts the places that the window takes along a side of so many pixels."""
        reach = side + 2 * self.padding - self.kernel
        return -(-reach // self.stride) + 1 if self.rounds_up else reach // self.stride + 1


_CHAINS = (
    nn.Sequential,
    StochasticDepth,
    ProjectionShortcut,
    PooledProjectionShortcut,
    ScaledShortcut,
    DropoutShortcut,
)
_NOTHING = (nn.Identity, IdentityShortcut, Addition)
_KEEP_SHAPE = {
    nn.BatchNorm2d: "batch norm",
    nn.GroupNorm: "group norm",
    Shift: "shift",
    Scale: "scale",
    FixedScale: "fixed scale",
    nn.ReLU: "relu",
    nn.LeakyReLU: "leaky relu",
    nn.PReLU: "prelu",
    nn.GELU: "gelu",
    nn.SiLU: "silu",
    nn.Hardswish: "hardswish",
    nn.Sigmoid: "sigmoid",
    nn.Tanh: "tanh",
}


def _parts(network: ResidualNetwork) -> Iterable[tuple[str, str, str]]:
    """Yields name, kind and path of every part before the global average pool."""
    yield "stem", "stem", "stem"
    for index, stage in enumerate(network.stages):
        count = len(list(stage.children()))
        kind = f"{count} {network.spec.block} block{'s' if count > 1 else ''}"
        yield f"stage {index + 1}", kind, f"stages.{index}"
    yield "tail", "norm and activation", "tail"


def _walk(name: str, module: nn.Module, signal: _Signal) -> tuple[list[Row], _Signal]:
    """Returns the rows of the layers inside ``module`` and the signal after it."""
    if isinstance(module, ResidualBlock | PlainBlock):
        return _walk_block(name, module, signal)
    if isinstance(module, _NOTHING):
        return [], signal
    if isinstance(module, GatedShortcut | ExclusiveGate):
        return _walk_gated(name, module, signal)
    if isinstance(module, _CHAINS):
        return _walk_chain(name, module.named_children(), signal)
    kind, signal, products = _layer(name, module, signal)
    count = sum(parameter.numel() for parameter in module.parameters())
    return [_row(name, kind, signal, parameters=count, multiply_adds=products)], signal


def _walk_chain(name: str, children: Iterable[tuple[str, nn.Module]], signal: _Signal) -> tuple[list[Row], _Signal]:
    rows: list[Row] = []
    for part, child in children:
        below, signal = _walk(f"{name}.{part}", child, signal)
        rows += below
    return rows, signal


def _walk_block(name: str, block: ResidualBlock | PlainBlock, signal: _Signal) -> tuple[list[Row], _Signal]:
    entry, before = _walk(f"{name}.entry", block.entry, signal)
    residual, after = _walk(f"{name}.residual", block.residual, before)
    shortcut: list[Row] = []
    if isinstance(block, ResidualBlock):
        shortcut, beside = _walk(f"{name}.shortcut", block.shortcut, before)
        gate, _ = _walk(f"{name}.merge", block.merge, before)
        shortcut += gate
        after = replace(after, side=max(after.side, beside.side))
    last, after = _walk(f"{name}.activation", block.activation, after)
    return [*entry, *residual, *shortcut, *last], after


def _walk_gated(name: str, module: GatedShortcut | ExclusiveGate, signal: _Signal) -> tuple[list[Row], _Signal]:
    """Returns the rows of a gate, and of the shortcut that it is on; both read the block's input."""
    gate, _ = _walk(f"{name}.gate", module.gate, signal)
    resize, after = _walk(f"{name}.resize", getattr(module, "resize", nn.Identity()), signal)
    return [*resize, *gate], after


def _layer(name: str, module: nn.Module, signal: _Signal) -> tuple[str, _Signal, int]:
    """Returns a single layer's kind, the signal after it, and its multiply-adds."""
    if isinstance(module, nn.Conv2d):
        kernel, stride, padding = module.kernel_size[0], module.stride[0], int(module.padding[0])
        after = signal.through(module.out_channels, _Window(kernel=kernel, stride=stride, padding=padding))
        grouped = f", {module.groups} groups" if module.groups > 1 else ""
        return (
            f"{kernel}×{kernel} convolution{grouped}",
            after,
            module.weight.numel() * after.shape[1] * after.shape[2],
        )
    if isinstance(module, nn.MaxPool2d | nn.AvgPool2d):
        kind = "max pool" if isinstance(module, nn.MaxPool2d) else "average pool"
        return f"{kind}", signal.through(signal.shape[0], _pool_window(module)), 0
    if isinstance(module, PaddedShortcut):
        channels = signal.shape[0] + module.added_channels
        return "padded shortcut", signal.through(channels, _Window(kernel=1, stride=module.stride)), 0
    if isinstance(module, SqueezeExcitation):
        return "squeeze-excitation", signal, module.squeeze.weight.numel() + module.excite.weight.numel()
    for cls, kind in _KEEP_SHAPE.items():
        if isinstance(module, cls):
            return kind, signal, 0
    return _unknown_layer(name, module, signal)


def _unknown_layer(name: str, module: nn.Module, signal: _Signal) -> tuple[str, _Signal, int]:
    """Returns the same of a module that this file does not know, by asking it on a tensor without content.

    Its receptive field is taken for its input's.
    """
    counter = FlopCounterMode(display=False)
    try:
        with torch.no_grad(), counter:
            out = copy.deepcopy(module).to("meta")(torch.empty(1, *signal.shape, device="meta"))
    except (RuntimeError, TypeError, ValueError) as error:
        raise BadNetwork(f"{name} ({type(module).__name__}) cannot take {signal.shape}: {error}") from error
    if out.dim() != 4:
        raise BadNetwork(f"{name} ({type(module).__name__}) gives {tuple(out.shape)}, not [b, c, h, w]")
    channels, height, width = out.shape[1:]
    after = replace(signal, shape=(channels, height, width))
    return type(module).__name__, after, counter.get_total_flops() // 2


def _pool_window(pool: nn.MaxPool2d | nn.AvgPool2d) -> _Window:
    kernel, stride, padding = (_side(value) for value in (pool.kernel_size, pool.stride, pool.padding))
    return _Window(kernel=kernel, stride=stride, padding=padding, rounds_up=pool.ceil_mode)


def _side(value: int | tuple[int, ...]) -> int:
    return value if isinstance(value, int) else value[0]


def _head(linear: nn.Linear, signal: _Signal) -> list[Row]:
    channels, height, width = signal.shape
    pooled = replace(signal, shape=(channels, 1, 1), side=signal.side + (max(height, width) - 1) * signal.step)
    count = sum(parameter.numel() for parameter in linear.parameters())
    logits = replace(pooled, shape=(linear.out_features, 1, 1))
    return [
        _row("pool", "global average pool", pooled),
        _row("head", "linear", logits, parameters=count, multiply_adds=linear.weight.numel()),
    ]


def _row(name: str, kind: str, signal: _Signal, *, parameters: int = 0, multiply_adds: int = 0) -> Row:
    return Row(
        name=name,
        kind=kind,
        shape=signal.shape,
        parameters=parameters,
        multiply_adds=multiply_adds,
        receptive_field=signal.side,
    )


def _sum(name: str, kind: str, rows: list[Row]) -> Row:
    return Row(
        name=name,
        kind=kind,
        shape=rows[-1].shape,
        parameters=sum(row.parameters for row in rows),
        multiply_adds=sum(row.multiply_adds for row in rows),
        receptive_field=max(row.receptive_field for row in rows),  # the last row may be a shortcut's
    )


def _counts_as_depth(row: Row) -> bool:
    weighted = "convolution" in row.kind or row.kind == "linear"
    return weighted and not {"shortcut", "merge"} & set(row.name.split("."))
