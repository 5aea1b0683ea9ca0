"""Tests of the layers that have a reason of their own to be tested apart from a network."""

import pytest
import torch
from torch import nn

from residua.networks.layers import GlobalAveragePool

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
