"""The weights that a network starts from.

A convolution with fan n and an activation of gain g gets normal weights of variance g²/n, so that the signal
(``he_fan_in``, Eq. 10) or the gradient (``he_fan_out``, Eq. 14) keeps its variance through it (He et al. 2015,
Delving Deep into Rectifiers, §2.2). The other initialisations begin with ``he_fan_out`` and change one thing:

- ``zero_last``: the last weighted layer of every residual function is zero, so that a block starts as its
  shortcut, the identity where shapes agree (Goyal et al. 2017, §5.1; with a last activation, as in the original
  order: ReLU).
- ``identity``: every convolution of a residual function, and of a transition, passes its first input channels on
  (Dirac), and draws only the filters that a wider output needs (Jordan 2024, arXiv:2404.00498, §3.2).
- ``fixup``: no norms; scalars before and after the layers; in every residual function the last convolution is zero
  and the others are multiplied by L^(−1/(2m−2)), L blocks of m convolutions; a zero head (Zhang et al. 2019, §3).
- ``skipinit``: one learned scalar at the end of every residual function, starting at 0 (De and Smith 2020, §2).
- ``scaled_branches``: a fixed 1/√L at the end of every residual function, so that L branches together add as
  much variance as one (De and Smith 2020, §4).

In a plain network, where a zero branch would pass nothing on, ``fixup`` and ``skipinit`` keep their scalars and change
nothing else.
"""

from collections.abc import Iterator

import torch
from torch import nn

from residua.networks.blocks import PlainBlock, ResidualBlock
from residua.networks.layers import ActivationKind, Scale, Shift
from residua.networks.shortcuts import ExclusiveGate, GatedShortcut
from residua.networks.spec import CONVOLUTIONS, NetworkSpec

GAINS: dict[ActivationKind, float] = {
    "relu": nn.init.calculate_gain("relu"),
    "leaky_relu": nn.init.calculate_gain("leaky_relu", nn.LeakyReLU().negative_slope),
    "prelu": nn.init.calculate_gain("leaky_relu", 0.25),
    "gelu": nn.init.calculate_gain("relu"),
    "silu": nn.init.calculate_gain("relu"),
    "hardswish": nn.init.calculate_gain("relu"),
    "sigmoid": nn.init.calculate_gain("sigmoid"),
    "tanh": nn.init.calculate_gain("tanh"),
}


@torch.no_grad()
def initialize(network: nn.Module, spec: NetworkSpec, *, generator: torch.Generator | None = None) -> None:
    """Sets every parameter and buffer of the layers of ``network`` in place; see `sets_all` for others.

    Convolutions get normal weights and zero biases, gates the bias ``spec.gate_bias``, norms γ = 1, β = 0 and fresh
    running statistics, PReLUs the slope 0.25, linear layers uniform weights and biases within ±1/√in_features,
    shifts 0 and scales 1.

    Args:
        network: Built from ``spec``.
        spec: Says which initialisation and which activation's gain.
        generator: Where the numbers come from; the global one if not given.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            _initialize_convolution(module, spec, generator)
        elif isinstance(module, nn.Linear):
            bound = module.in_features**-0.5
            module.weight.uniform_(-bound, bound, generator=generator)
            module.bias.uniform_(-bound, bound, generator=generator)
        elif isinstance(module, nn.BatchNorm2d | nn.GroupNorm | nn.PReLU):
            module.reset_parameters()
        elif isinstance(module, Shift):
            module.value.zero_()
        elif isinstance(module, Scale):
            module.value.fill_(1.0)
    for module in network.modules():
        if isinstance(module, GatedShortcut | ExclusiveGate) and module.gate.bias is not None:
            module.gate.bias.fill_(spec.gate_bias)
    for block in _blocks(network):
        start_branch(block.residual, spec)
        if spec.initialization == "identity":
            _pass_all_on(block.entry)
    if spec.initialization == "fixup" and not spec.is_plain:
        for parameter in network.get_submodule("head").parameters():
            nn.init.zeros_(parameter)


def sets_all(network: nn.Module) -> bool:
    """Says whether `initialize` sets all of the network; a shortcut of one's own may hold tensors of its own."""
    kinds = (nn.Conv2d, nn.Linear, nn.BatchNorm2d, nn.GroupNorm, nn.PReLU, Shift, Scale)
    others = [module for module in network.modules() if not isinstance(module, kinds)]
    return not any([*other.parameters(recurse=False), *other.buffers(recurse=False)] for other in others)


def start_branch(residual: nn.Module, spec: NetworkSpec) -> None:
    """Changes a residual function's freshly drawn weights as the specification's initialisation says."""
    convolutions = [module for module in residual.modules() if isinstance(module, nn.Conv2d)]
    if spec.initialization == "zero_last":
        zero_last(residual)
    elif spec.initialization == "identity":
        _pass_all_on(residual)
    elif spec.initialization == "skipinit" and not spec.is_plain:
        nn.init.zeros_(residual.get_parameter("scale.value"))
    elif spec.initialization == "fixup" and not spec.is_plain:
        depth, layers = sum(spec.blocks), CONVOLUTIONS[spec.block]
        for layer in convolutions[:-1]:
            layer.weight.mul_(depth ** (-1 / (2 * layers - 2)))
        zero_last(residual)


def zero_last(residual: nn.Module) -> None:
    """Sets the last weighted layer of a residual function to zero, so that F(x) = 0 for every x.

    γ and β of a norm where F ends with one, else the last convolution with its bias: behind a zero γ inside the
    branch an activation would pass no gradient.
    """
    kinds = (nn.Conv2d, nn.BatchNorm2d, nn.GroupNorm)
    last = [module for module in residual.modules() if isinstance(module, kinds)][-1]
    nn.init.zeros_(last.weight)
    if last.bias is not None:
        nn.init.zeros_(last.bias)


def _blocks(network: nn.Module) -> Iterator[ResidualBlock | PlainBlock]:
    return (module for module in network.modules() if isinstance(module, ResidualBlock | PlainBlock))


def _initialize_convolution(layer: nn.Conv2d, spec: NetworkSpec, generator: torch.Generator | None) -> None:
    channels = layer.in_channels if spec.initialization == "he_fan_in" else layer.out_channels
    fan = channels // layer.groups * layer.kernel_size[0] * layer.kernel_size[1]
    layer.weight.normal_(0.0, GAINS[spec.activation] * fan**-0.5, generator=generator)
    if layer.bias is not None:
        layer.bias.zero_()


def _pass_all_on(part: nn.Module) -> None:
    for layer in part.modules():
        if isinstance(layer, nn.Conv2d):
            _pass_on(layer)


def _pass_on(layer: nn.Conv2d) -> None:
    """Makes the first filters of every group pass its channels on, one each; the others stay as drawn."""
    out_channels, in_channels = layer.out_channels // layer.groups, layer.in_channels // layer.groups
    shared = min(out_channels, in_channels)
    for group in range(layer.groups):
        first = group * out_channels
        nn.init.dirac_(layer.weight[first : first + shared])
