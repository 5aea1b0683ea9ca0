"""The weights that networks start from: their spread, and what starts at zero."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from residua.networks.blocks import PlainBlock, ResidualBlock
from residua.networks.initialization import GAINS
from residua.networks.layers import ActivationKind, NormKind
from residua.networks.network import ResidualNetwork, build
from residua.networks.spec import Initialization, NetworkSpec, Order, photograph_stem, small_stem

SPEC = NetworkSpec(stem=photograph_stem(64, bias=True), blocks=(1, 1), widths=(64, 128), bias=True, classes=50)


STREAM = NetworkSpec(stem=small_stem(8), blocks=(3,), widths=(8,), shortcut="padded", classes=3)
"""Every block passes its input on as it is, where F is zero."""
BARE = {"norm": "none", "norm_on_projection": False}


def last_block(network: ResidualNetwork) -> ResidualBlock:
    block = list(network.stages[-1].children())[-1]
    assert isinstance(block, ResidualBlock)
    return block


def stream(spec: NetworkSpec) -> torch.Tensor:
    """What travels along the shortcuts: no negative number where a ReLU ends every block."""
    x = torch.randn(2, spec.out_channels[0], 5, 5, generator=torch.Generator().manual_seed(0))
    return x.relu() if spec.order in ("original", "bn_after_addition") else x


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


@pytest.mark.parametrize("initialization", ["he_fan_out", "he_fan_in"])
def test_a_group_counts_its_own_channels_alone(initialization: Initialization) -> None:
    """Delving Deep, Eqs. 10 and 14: each input reaches out/groups filters, each filter reads in/groups channels."""
    spec = replace(SPEC, block="bottleneck", widths=(64, 64), groups=16, initialization=initialization)
    weight = build(spec, seed=0).get_parameter("stages.1.0.residual.convolution2.weight")
    error = 5 / math.sqrt(2 * weight.numel())
    assert weight.std().item() == pytest.approx(math.sqrt(2 / (64 // 16 * 9)), rel=error)


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


def test_group_norms_start_where_they_change_nothing() -> None:
    """γ = 1, β = 0, whatever the memory held that the network was given."""
    network = build(replace(SPEC, norm="group"), seed=0)
    norms = [layer for layer in network.modules() if isinstance(layer, nn.GroupNorm)]
    assert len(norms) == 6
    for norm in norms:
        assert norm.weight.unique().tolist() == [1.0]
        assert norm.bias.count_nonzero() == 0


@pytest.mark.parametrize("gate_bias", [-6.0, 0.0, 1.5])
@pytest.mark.parametrize("shortcut", ["exclusive_gating", "shortcut_only_gating"])
def test_gates_start_at_their_bias(shortcut: str, gate_bias: float) -> None:
    """He et al. 2016, §3.1; the other biases at 0, and the gates' weights as drawn."""
    network = build(replace(SPEC, shortcut=shortcut, gate_bias=gate_bias), seed=0)
    biases = {name: layer.bias for name, layer in network.named_modules() if isinstance(layer, nn.Conv2d)}
    gates = [name for name in biases if name.endswith(".gate")]
    assert len(gates) == 2
    for name, bias in biases.items():
        assert bias is not None
        assert bias.unique().tolist() == [gate_bias if name in gates else 0.0]
    assert all(network.get_parameter(f"{name}.weight").std() > 0.05 for name in gates)


def test_the_layers_of_an_excitation_start_within_one_over_the_root_of_their_fan() -> None:
    network = build(replace(SPEC, squeeze_excitation=4), seed=0)
    layer = network.get_submodule("stages.1.0.residual.excitation.squeeze")
    assert isinstance(layer, nn.Linear)
    assert 0.9 / math.sqrt(128) < layer.weight.abs().max().item() <= 1 / math.sqrt(128)


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


ORDERS_WITH_ZERO: list[tuple[Order, NormKind, str]] = [
    ("original", "batch", "norm2"),
    ("original", "group", "norm2"),
    ("original", "none", "convolution2"),
    ("bn_after_addition", "batch", "convolution2"),
    ("bn_after_addition", "group", "convolution2"),
    ("relu_only_preactivation", "batch", "norm2"),
    ("relu_only_preactivation", "group", "norm2"),
    ("full_preactivation", "batch", "convolution2"),
    ("full_preactivation", "group", "convolution2"),
    ("full_preactivation", "none", "convolution2"),
]
"""Every order and norm that ``zero_last`` is allowed with, and what comes last in F."""


@pytest.mark.parametrize(("order", "norm", "last"), ORDERS_WITH_ZERO)
def test_zero_last_zeroes_what_comes_last_in_every_residual_function(order: Order, norm: NormKind, last: str) -> None:
    """γ behind which an activation stands would pass no gradient, so there the convolution is zeroed."""
    changes = {"norm": norm, "order": order, "initialization": "zero_last"}
    network = build(replace(SPEC, **changes, norm_on_projection=False), seed=0)
    assert zeroed(network) == {f"{last}.weight"}


@pytest.mark.parametrize("excitation", [None, 2])
@pytest.mark.parametrize("block", ["basic", "bottleneck"])
@pytest.mark.parametrize(("order", "norm", "last"), ORDERS_WITH_ZERO)
def test_after_zero_last_every_block_is_its_shortcut_and_can_learn(
    order: Order, norm: NormKind, last: str, block: str, excitation: int | None
) -> None:
    """F = 0 exactly on the stream of the network, in both modes, with a gradient for what is zero."""
    changes = {"block": block, "norm": norm, "order": order, "initialization": "zero_last"}
    network = build(replace(STREAM, **changes, squeeze_excitation=excitation), seed=0)
    built = last_block(network)
    x = stream(network.spec)
    for training in (True, False):
        built.train(training)
        assert built.residual(x).count_nonzero() == 0
        assert torch.equal(built(x), x) == (order != "bn_after_addition")
    (built.train()(x) * torch.arange(x.numel()).view_as(x)).sum().backward()
    name = last if block == "basic" else last.replace("2", "3")
    gradient = built.residual.get_parameter(f"{name}.weight").grad
    assert gradient is not None
    assert gradient.count_nonzero() > 0


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


def widening(groups: int) -> NetworkSpec:
    """Bottlenecks without norms: 4 → 4, 3×3 in groups, 4 → 16, then 16 → 8, 3×3 with stride 2, 8 → 32."""
    return NetworkSpec(
        stem=small_stem(4),
        blocks=(1, 1),
        widths=(4, 8),
        block="bottleneck",
        groups=groups,
        initialization="identity",
        **BARE,
    )


def test_two_convolutions_that_start_as_the_identity_pass_on_what_is_not_negative() -> None:
    """Jordan 2024, §3.2: F(x) = conv(ReLU(conv(x))) = x for x ≥ 0, so that a block starts as 2x."""
    network = build(replace(STREAM, initialization="identity", **BARE), seed=0)
    block, x = last_block(network), stream(STREAM)
    assert torch.equal(block.residual(x), x)
    assert torch.equal(block(x), 2 * x)
    assert not torch.equal(network.stem(x[:, :3]), x)


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_grouped_and_widening_convolutions_pass_their_first_channels_on(groups: int) -> None:
    """Those that a wider output needs are drawn; a stride takes every second position."""
    network = build(widening(groups), seed=0)
    drawn = build(replace(widening(groups), initialization="he_fan_out"), seed=0).state_dict()
    first, second = (network.get_submodule(f"stages.{stage}.0.residual") for stage in (0, 1))
    x = torch.rand(2, 4, 5, 5)
    wider = first(x)
    assert torch.equal(wider[:, :4], x)
    assert wider[:, 4:].std() > 0
    y = torch.rand(2, 16, 5, 5)
    assert torch.equal(second(y)[:, :8], y[:, :8, ::2, ::2])
    for name, value in network.state_dict().items():
        if "residual" not in name:
            assert torch.equal(value, drawn[name]), name
    last = "stages.0.0.residual.convolution3.weight"
    assert torch.equal(network.get_parameter(last)[4:], drawn[last][4:])


@pytest.mark.parametrize(
    "order",
    ["original", "bn_after_addition", "relu_before_addition", "relu_only_preactivation", "full_preactivation"],
)
def test_a_skipinit_block_starts_as_its_shortcut_and_its_factor_can_learn(order: Order) -> None:
    """De and Smith 2020, §2: α = 0, with dα = Σ F · dy, in the order with a last ReLU too."""
    network = build(replace(STREAM, order=order, initialization="skipinit"), seed=0)
    block, x = last_block(network), stream(network.spec)
    factor = block.residual.get_parameter("scale.value")
    assert factor.tolist() == [0.0]
    assert block.residual(x).count_nonzero() == 0
    assert torch.equal(block(x), x) == (order != "bn_after_addition")
    (block(x) * torch.arange(x.numel()).view_as(x)).sum().backward()
    assert factor.grad is not None
    assert factor.grad.abs().item() > 1e-3
    others = [value.grad for name, value in block.residual.named_parameters() if "scale" not in name]
    assert all(gradient is not None and gradient.count_nonzero() == 0 for gradient in others)


@pytest.mark.parametrize("initialization", ["fixup", "skipinit"])
def test_a_plain_network_keeps_the_factors_and_zeroes_nothing(initialization: Initialization) -> None:
    network = build(replace(STREAM, shortcut="none", initialization=initialization, **BARE), seed=0)
    blocks = [module for module in network.modules() if isinstance(module, PlainBlock)]
    assert len(blocks) == 3
    for block in blocks:
        assert block.get_parameter("residual.scale.value").tolist() == [1.0]
        assert block.get_parameter("residual.convolution2.weight").count_nonzero() > 0
    assert network.head.weight.count_nonzero() > 0


def added_variance(initialization: Initialization, blocks: int) -> float:
    """E[y²]/E[x²] − 1 of one block among so many, in pre-activation order without norms; mean over 32 draws."""
    changes = {"order": "full_preactivation", "initialization": initialization, "blocks": (blocks,), "widths": (32,)}
    spec = replace(STREAM, stem=small_stem(32), **changes, **BARE)
    added = []
    for seed in range(32):
        x = torch.randn(1, 32, 20, 20, generator=torch.Generator().manual_seed(seed))
        with torch.no_grad():
            y = last_block(build(spec, seed=seed))(x)
        before, after = (value[..., 2:-2, 2:-2].square().mean().item() for value in (x, y))
        added.append(after / before - 1)
    return sum(added) / len(added)


@pytest.mark.parametrize("blocks", [2, 4, 9])
def test_scaled_branches_add_one_part_of_l_to_the_variance_each(blocks: int) -> None:
    """De and Smith 2020, §4: Var(x_{l+1}) = (1 + 1/L) Var(x_l), at most e in all; an unscaled branch doubles it."""
    assert added_variance("scaled_branches", blocks) == pytest.approx(1 / blocks, rel=0.1)
    assert added_variance("he_fan_out", blocks) == pytest.approx(1, rel=0.1)


def test_the_scale_of_a_branch_does_not_learn() -> None:
    network = build(replace(STREAM, blocks=(4, 5), widths=(8, 8), initialization="scaled_branches"), seed=0)
    assert "depth_scale" not in " ".join(network.state_dict())
    block, x = last_block(network).eval(), stream(STREAM)
    end = block.residual.get_submodule("depth_scale")
    torch.testing.assert_close(end(x), x / 3)
