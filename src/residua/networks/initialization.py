"""The weights that a network starts from (He et al. 2015, Delving Deep into Rectifiers, §2.2).

A convolution with fan n and an activation of gain g gets normal weights of variance g²/n, so that the
signal (fan in, Eq. 10) or the gradient (fan out, Eq. 14) keeps its variance through it.
"""

import torch
from torch import nn

from residua.networks.blocks import PlainBlock, ResidualBlock
from residua.networks.spec import ActivationKind, NetworkSpec

GAINS: dict[ActivationKind, float] = {
    "relu": nn.init.calculate_gain("relu"),
    "leaky_relu": nn.init.calculate_gain("leaky_relu", nn.LeakyReLU().negative_slope),
    "prelu": nn.init.calculate_gain("leaky_relu", 0.25),
    "sigmoid": nn.init.calculate_gain("sigmoid"),
    "tanh": nn.init.calculate_gain("tanh"),
}


@torch.no_grad()
def initialize(network: nn.Module, spec: NetworkSpec, *, generator: torch.Generator | None = None) -> None:
    """Sets every parameter and buffer of ``network`` in place.

    Convolutions get normal weights and zero biases, norms γ = 1, β = 0 and fresh running statistics, PReLUs
    the slope 0.25, linear layers uniform weights and biases within ±1/√in_features.

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
        elif isinstance(module, nn.BatchNorm2d | nn.PReLU):
            module.reset_parameters()
    if spec.initialization == "zero_last":
        for module in network.modules():
            if isinstance(module, ResidualBlock | PlainBlock):
                zero_last(module.residual)


def zero_last(residual: nn.Module) -> None:
    """Sets the last weighted layer of a residual function to zero, so that F(x) = 0 for every x.

    γ of a batch norm where F ends with one (Goyal et al. 2017, §5.1), else the last convolution with
    its bias: behind a zero γ inside the branch an activation would pass no gradient.
    """
    last = [module for module in residual.modules() if isinstance(module, nn.Conv2d | nn.BatchNorm2d)][-1]
    nn.init.zeros_(last.weight)
    if last.bias is not None:
        nn.init.zeros_(last.bias)


def _initialize_convolution(layer: nn.Conv2d, spec: NetworkSpec, generator: torch.Generator | None) -> None:
    channels = layer.in_channels if spec.initialization == "he_fan_in" else layer.out_channels
    fan = channels * layer.kernel_size[0] * layer.kernel_size[1]
    layer.weight.normal_(0.0, GAINS[spec.activation] * fan**-0.5, generator=generator)
    if layer.bias is not None:
        layer.bias.zero_()
