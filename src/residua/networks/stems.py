"""Stems: the layers from the image to the stream that the stages work on."""

from torch import nn

from residua.networks.blocks import LAYOUTS, written
from residua.networks.layers import Layers, activation, chain, convolution, numbered
from residua.networks.spec import NetworkSpec


def build_stem(spec: NetworkSpec) -> nn.Sequential:
    """Returns the convolutions, each with norm and activation, and, where the specification says so, the max pool.

    A pre-activation network whose stem has no pool leaves the last activation, and in full pre-activation its
    norm, to its first block (He et al. 2016, appendix: "right after conv1 and before splitting into two paths");
    before a pool they stand in the stem, where that sentence puts them. A whitening stem has no norm: what it gives
    is white (`residua.networks.whitening`).
    """
    stem, into, layers = spec.stem, spec.in_channels, []
    if stem.whitening:
        return chain([("convolution", whitening(spec)), *activation(spec)])
    for index, stride in enumerate(stem.strides[: stem.convolutions]):
        is_last = index == stem.convolutions - 1
        out = stem.width if is_last else stem.width // 2
        layers.append(("convolution", convolution(into, out, stem.kernel, stride=stride, bias=stem.bias)))
        layers += written(spec, _closing(spec) if is_last else "NA", out)
        into = out
    named: Layers = layers if stem.convolutions == 1 else numbered(layers)
    return chain([*named, *([("pool", nn.MaxPool2d(3, stride=2, padding=1))] if stem.pool else [])])


def whitening(spec: NetworkSpec) -> nn.Conv2d:
    """Returns the convolution of a whitening stem, whose filters are set from images and do not learn."""
    layer = nn.Conv2d(spec.in_channels, spec.stem.width, spec.stem.kernel)
    layer.weight.requires_grad_(False)
    return layer


def activates(spec: NetworkSpec) -> bool:
    """Says whether the stem holds the network's first activation."""
    return not LAYOUTS[spec.order].before or spec.stem.pool


def _closing(spec: NetworkSpec) -> str:
    """Returns what follows the last convolution: norm and activation but for what the first block opens with."""
    return "NA" if activates(spec) else "NA".removesuffix(LAYOUTS[spec.order].before)
