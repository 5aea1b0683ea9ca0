"""The layers that every network is made of: convolution, norm, activation."""

from collections import Counter, OrderedDict
from collections.abc import Callable

from torch import nn

from residua.networks.spec import ActivationKind, NetworkSpec

ACTIVATIONS: dict[ActivationKind, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "prelu": nn.PReLU,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
}
"""None works in place: the layer before may be one that a shortcut, or a measurement, reads."""

Layers = list[tuple[str, nn.Module]]
"""Layers in the order that they are applied, each with its name."""


def convolution(in_channels: int, out_channels: int, kernel: int, *, stride: int = 1, bias: bool) -> nn.Conv2d:
    """Returns a convolution that keeps the size of its maps, up to the stride, by padding half the kernel."""
    return nn.Conv2d(in_channels, out_channels, kernel, stride=stride, padding=kernel // 2, bias=bias)


def norm_and_activation(spec: NetworkSpec, channels: int) -> Layers:
    """Returns the norm, where the network has one, and the activation after it."""
    return [*norm(spec, channels), *activation(spec)]


def norm(spec: NetworkSpec, channels: int) -> Layers:
    """Returns the norm over ``channels``, or nothing in a network without norms."""
    return [] if spec.norm == "none" else [("norm", nn.BatchNorm2d(channels))]


def activation(spec: NetworkSpec) -> Layers:
    """Returns the activation; a PReLU has one slope for all channels."""
    return [("activation", ACTIVATIONS[spec.activation]())]


def chain(layers: Layers) -> nn.Sequential:
    """Returns layers with different names as one module whose parts keep them."""
    return nn.Sequential(OrderedDict(layers))


def numbered_chain(layers: Layers) -> nn.Sequential:
    """Returns the layers as one module: the second one that is named ``norm`` becomes ``norm2``."""
    seen: Counter[str] = Counter()
    named: Layers = []
    for name, layer in layers:
        seen[name] += 1
        named.append((f"{name}{seen[name]}", layer))
    return chain(named)


def joined(layers: Layers) -> nn.Module:
    """Returns no layer as the identity, one as itself, more as a chain."""
    if len(layers) == 1:
        return layers[0][1]
    return chain(layers) if layers else nn.Identity()
