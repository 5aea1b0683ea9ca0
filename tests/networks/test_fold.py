"""Folding: the same function in evaluation mode with fewer layers."""

from dataclasses import replace
from typing import get_args

import pytest
import torch
from tests.networks.test_surgery import lived_in
from torch import nn

from residua.errors import BadNetwork
from residua.networks.fold import fold_batchnorm
from residua.networks.network import build
from residua.networks.spec import NetworkSpec, Order, photograph_stem, small_stem

SPEC = NetworkSpec(stem=small_stem(8), blocks=(2, 2), widths=(8, 16), classes=5)


def norms(network: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in network.modules())


@pytest.mark.parametrize("block", ["basic", "bottleneck"])
@pytest.mark.parametrize(
    ("order", "left"),
    [("original", 0), ("bn_after_addition", 4), ("relu_before_addition", 0), ("relu_only_preactivation", 0)],
)
def test_the_folded_network_is_the_same_function(order: Order, left: int, block: str) -> None:
    network = lived_in(replace(SPEC, order=order, block=block)).double().eval()
    folded = fold_batchnorm(network)
    images = torch.randn(3, 3, 11, 11, dtype=torch.float64)
    torch.testing.assert_close(folded(images), network(images), rtol=0, atol=1e-10)
    assert norms(folded) == left < norms(network)


@pytest.mark.parametrize("survival", [1.0, 0.5])
def test_a_preactivation_stays_and_what_follows_a_convolution_goes(survival: float) -> None:
    """Of full pre-activation the norms on the stream, before a ReLU, cannot be folded."""
    spec = replace(SPEC, order="full_preactivation", norm_on_projection=False, last_survival=survival)
    network = lived_in(spec).double().eval()
    folded = fold_batchnorm(network)
    images = torch.randn(3, 3, 11, 11, dtype=torch.float64)
    torch.testing.assert_close(folded(images), network(images), rtol=0, atol=1e-10)
    assert (norms(network), norms(folded)) == (9, 5)


def test_all_orders_are_met_above() -> None:
    assert len(get_args(Order)) == 5


def test_grouped_convolutions_fold_and_the_original_is_left() -> None:
    spec = replace(SPEC, stem=photograph_stem(8), block="bottleneck", groups=4, bias=True)
    network = lived_in(spec).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    folded = fold_batchnorm(network)
    assert network.training
    assert not folded.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    images = torch.randn(2, 3, 40, 40)
    torch.testing.assert_close(folded(images), network.eval()(images), rtol=1e-4, atol=1e-4)


def test_where_nothing_can_be_folded_it_says_so() -> None:
    with pytest.raises(BadNetwork, match="nothing can be folded"):
        fold_batchnorm(build(replace(SPEC, norm="group"), seed=0))
