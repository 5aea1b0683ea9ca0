"""Tests of the layers that have a reason of their own to be tested apart from a network."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from residua.networks.layers import GlobalAveragePool, SubsampledConvolution, convolution

LAYOUTS = {"channels first": torch.contiguous_format, "channels last": torch.channels_last}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_pool_is_torchs_to_the_bit_and_its_gradient_lies_in_memory_as_the_maps_do(
    dtype: torch.dtype, layout: str
) -> None:
    maps = torch.randn(4, 16, 5, 3).to(dtype).contiguous(memory_format=LAYOUTS[layout]).requires_grad_()
    pools, found = (GlobalAveragePool(), nn.AdaptiveAvgPool2d(1)), []
    along = torch.randn(4, 16, 1, 1).to(dtype)
    for pool in pools:
        pooled = pool(maps)
        found.append((pooled, *torch.autograd.grad(pooled, maps, along)))
    (ours, our_gradient), (torchs, torchs_gradient) = found
    assert torch.equal(ours, torchs)
    assert torch.equal(our_gradient, torchs_gradient)
    assert our_gradient.is_contiguous(memory_format=LAYOUTS[layout])


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("channels", [2, 3, 4, 6, 12, 15, 16])
def test_a_strided_pointwise_convolution_learns_as_in_float64(channels: int, layout: str) -> None:
    """torch's own of few channels writes beyond its memory where a processor has no AVX-512."""
    torch.manual_seed(channels)
    layer = convolution(channels, 8, 1, stride=2, bias=True)
    layer.to(memory_format=LAYOUTS[layout])  # type: ignore[call-overload]
    assert isinstance(layer, SubsampledConvolution) == (channels < 16)
    maps = torch.randn(3, channels, 8, 7).contiguous(memory_format=LAYOUTS[layout]).requires_grad_()
    weight, bias = layer.get_parameter("weight"), layer.get_parameter("bias")
    exact = functional.conv2d(maps.double(), weight.double(), bias.double(), stride=2)
    assert torch.allclose(layer(maps).double(), exact, atol=1e-6)
    assert layer(maps).grad_fn._saved_stride == ((1, 1) if channels < 16 else (2, 2))  # type: ignore[union-attr]
    along = torch.randn(exact.shape)
    ours = torch.autograd.grad(layer(maps), (weight, bias, maps), along)
    theirs = torch.autograd.grad(exact, (weight, bias, maps), along.double())
    for one, other in zip(ours, theirs, strict=True):
        assert torch.allclose(one, other, atol=1e-5)
