"""The weights that networks start from: their spread, and what starts at zero."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from residua.networks.blocks import ResidualBlock
from residua.networks.initialization import GAINS
from residua.networks.network import ResidualNetwork, build
from residua.networks.spec import ActivationKind, Initialization, NetworkSpec, Order, photograph_stem, small_stem

SPEC = NetworkSpec(stem=photograph_stem(64, bias=True), blocks=(1, 1), widths=(64, 128), bias=True, classes=50)


def convolutions(network: nn.Module) -> list[nn.Conv2d]:
    return [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]


@pytest.mark.parametrize(
    ("activation", "squared_gain"),
    [("relu", 2.0), ("leaky_relu", 2 / (1 + 0.01**2)), ("prelu", 2 / (1 + 0.25**2)), ("tanh", 25 / 9), ("sigmoid", 1)],
)
def test_the_gain_is_that_of_the_activation(activation: ActivationKind, squared_gain: float) -> None:
    """He et al. 2015, Delving Deep, Eqs. 10 and 15: 2 / (1 + a²) for a slope a."""
    assert GAINS[activation] ** 2 == pytest.approx(squared_gain)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("initialization", ["he_fan_out", "he_fan_in"])
def test_convolutions_start_with_variance_gain_squared_over_fan(
    initialization: Initialization, activation: ActivationKind
) -> None:
    """Delving Deep, Eqs. 10 and 14; the standard deviation of n normal numbers is known to 1/√(2n)."""
    network = build(replace(SPEC, initialization=initialization, activation=activation), seed=0)
    for layer in convolutions(network):
        channels = layer.out_channels if initialization == "he_fan_out" else layer.in_channels
        expected = GAINS[activation] / math.sqrt(channels * layer.kernel_size[0] ** 2)
        error = 5 / math.sqrt(2 * layer.weight.numel())
        assert layer.weight.std().item() == pytest.approx(expected, rel=error)
        assert abs(layer.weight.mean().item()) < 5 * expected / math.sqrt(layer.weight.numel())
        kurtosis = (layer.weight / expected).pow(4).mean().item()
        assert kurtosis == pytest.approx(3, rel=5 * math.sqrt(96 / 9 / layer.weight.numel()))


def test_biases_norms_and_slopes_start_where_they_change_nothing() -> None:
    network = build(replace(SPEC, activation="prelu"), seed=0)
    for layer in convolutions(network):
        assert layer.bias is not None
        assert layer.bias.count_nonzero() == 0
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            assert layer.weight.unique().tolist() == [1.0]
            assert layer.bias.count_nonzero() == 0
            assert layer.running_mean is not None
            assert layer.running_mean.count_nonzero() == 0
            assert layer.running_var is not None
            assert layer.running_var.unique().tolist() == [1.0]
            assert layer.num_batches_tracked is not None
            assert layer.num_batches_tracked.item() == 0
        if isinstance(layer, nn.PReLU):
            assert layer.weight.tolist() == [0.25]


def test_the_head_starts_uniform_within_one_over_the_root_of_its_fan() -> None:
    head = build(SPEC, seed=0).head
    bound = 1 / math.sqrt(128)
    assert bound * 0.99 < head.weight.abs().max().item() <= bound
    assert head.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.03)
    assert 0 < head.bias.abs().max().item() <= bound


def zeroed(network: ResidualNetwork) -> set[str]:
    """Names the parameters that are zero and would not be without ``zero_last``."""
    usual = build(replace(network.spec, initialization="he_fan_out"), seed=0).state_dict()
    return {
        name.split("residual.")[1]
        for name, parameter in network.named_parameters()
        if parameter.count_nonzero() == 0 and usual[name].count_nonzero() > 0
    }


@pytest.mark.parametrize(
    ("norm", "order", "last"),
    [
        ("batch", "original", {"norm2.weight"}),
        ("none", "original", {"convolution2.weight"}),
        ("batch", "full_preactivation", {"convolution2.weight"}),
        ("none", "full_preactivation", {"convolution2.weight"}),
    ],
)
def test_zero_last_zeroes_what_comes_last_in_every_residual_function(norm: str, order: Order, last: set[str]) -> None:
    """γ behind which an activation stands would pass no gradient, so there the convolution is zeroed."""
    changes = {"norm": norm, "order": order, "initialization": "zero_last"}
    network = build(replace(SPEC, **changes, norm_on_projection=False), seed=0)
    assert zeroed(network) == last


@pytest.mark.parametrize("order", ["original", "full_preactivation"])
@pytest.mark.parametrize("norm", ["batch", "none"])
@pytest.mark.parametrize("block", ["basic", "bottleneck"])
def test_after_zero_last_every_block_is_the_identity_and_can_learn(block: str, norm: str, order: Order) -> None:
    """Exactly the identity on the stream of the network, in both modes, with a gradient for what is zero."""
    changes = {"block": block, "norm": norm, "order": order, "initialization": "zero_last"}
    spec = NetworkSpec(stem=small_stem(8), blocks=(3,), widths=(8,), shortcut="padded", classes=3)
    network = build(replace(spec, **changes), seed=0)
    block_ = list(network.stages[0].children())[-1]
    assert isinstance(block_, ResidualBlock)
    x = torch.randn(2, network.spec.out_channels[0], 5, 5)
    x = x.relu() if order == "original" else x
    for training in (True, False):
        out = block_.train(training)(x)
        assert torch.equal(out, x)
    block_.train()(x).square().sum().backward()
    last = [layer for layer in block_.residual.children() if isinstance(layer, nn.Conv2d | nn.BatchNorm2d)][-1]
    assert last.weight.grad is not None
    assert last.weight.grad.count_nonzero() > 0


def test_zero_last_zeroes_the_bias_of_a_last_convolution_too() -> None:
    spec = replace(SPEC, norm="none", norm_on_projection=False, initialization="zero_last")
    block = next(build(spec, seed=0).stages[1].children())
    x = torch.randn(1, 64, 5, 5)
    assert isinstance(block, ResidualBlock)
    assert block.residual(x).count_nonzero() == 0


def variance_through(initialization: Initialization) -> float:
    """Mean square of the logits' input over that of the stream, in a deep network without norms."""
    spec = NetworkSpec(
        stem=small_stem(16, bias=True),
        blocks=(16,),
        widths=(16,),
        norm="none",
        norm_on_projection=False,
        initialization=initialization,
    )
    network = build(spec, seed=0)
    images = torch.randn(4, 3, 12, 12)
    with torch.no_grad():
        return (network.feature_maps(images).square().mean() / network.stem(images).square().mean()).item()


def test_without_norms_the_stream_doubles_in_every_block_unless_it_starts_from_zero() -> None:
    """Each F adds about the stream's own variance (fan in): 16 blocks give thousands, and zero_last gives 1."""
    assert variance_through("he_fan_in") > 1000
    assert variance_through("zero_last") == 1.0
