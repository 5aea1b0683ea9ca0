"""Stems: the layers from the image to the stream that the stages work on."""

from torch import nn

from residua.networks.layers import chain, convolution, norm_and_activation
from residua.networks.spec import NetworkSpec


def build_stem(spec: NetworkSpec) -> nn.Sequential:
    """Returns convolution, norm, activation and, where the specification says so, the max pool.

    A pre-activation network whose stem has no pool leaves norm and activation to its first block
    (He et al. 2016, appendix: "right after conv1 and before splitting into two paths"); before a pool
    they stand in the stem, where that sentence puts them.
    """
    stem = spec.stem
    layers: list[tuple[str, nn.Module]] = [
        (
            "convolution",
            convolution(spec.in_channels, stem.width, stem.kernel, stride=stem.stride, bias=stem.bias),
        )
    ]
    if activates(spec):
        layers += norm_and_activation(spec, stem.width)
    if stem.pool:
        layers.append(("pool", nn.MaxPool2d(3, stride=2, padding=1)))
    return chain(layers)


def activates(spec: NetworkSpec) -> bool:
    """Says whether the stem holds the network's first activation."""
    return spec.order != "full_preactivation" or spec.stem.pool
