"""Fixup (Zhang et al. 2019): residual learning without norms, by a start and a handful of learned numbers."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from residua.networks.blocks import ResidualBlock
from residua.networks.layers import Shift
from residua.networks.network import ResidualNetwork, build
from residua.networks.spec import NetworkSpec, Order, small_stem

FIXUP = NetworkSpec(
    stem=small_stem(8),
    blocks=(3,),
    widths=(8,),
    shortcut="padded",
    norm="none",
    norm_on_projection=False,
    initialization="fixup",
    classes=3,
)


def last_block(network: ResidualNetwork) -> ResidualBlock:
    block = list(network.stages[-1].children())[-1]
    assert isinstance(block, ResidualBlock)
    return block


def stream(spec: NetworkSpec) -> torch.Tensor:
    """What travels along the shortcuts: no negative number where a ReLU ends every block."""
    x = torch.randn(2, spec.out_channels[0], 5, 5, generator=torch.Generator().manual_seed(0))
    return x.relu() if spec.order == "original" else x


@pytest.mark.parametrize(("block", "exponent"), [("basic", -1 / 2), ("bottleneck", -1 / 4)])
def test_fixup_scales_the_branches_by_the_depth_and_zeroes_their_ends(block: str, exponent: float) -> None:
    """Zhang et al. 2019, §3: L^(−1/(2m−2)) for L branches of m layers, a zero last layer, a zero classifier."""
    spec = replace(FIXUP, block=block, blocks=(3, 4), widths=(8, 8), shortcut="projection", bias=True)
    fixup, drawn = build(spec, seed=0), build(replace(spec, initialization="he_fan_out"), seed=0).state_dict()
    last = "convolution2" if block == "basic" else "convolution3"
    for name, value in fixup.state_dict().items():
        if "shift" in name or name == "tail.value" or name.startswith("head") or last in name:
            assert value.count_nonzero() == 0, name
        elif "scale" in name:
            assert value.tolist() == [1.0], name
        elif "residual" in name:
            torch.testing.assert_close(value, drawn[name] * 7**exponent)
        else:
            assert torch.equal(value, drawn[name]), name


def test_fixup_puts_four_numbers_and_one_factor_into_a_basic_block() -> None:
    """Zhang et al. 2019, Fig. 1 right: ReLU(x + s·conv(ReLU(conv(x + a) + b) + c) + d), one more in stem and tail."""
    network = build(FIXUP, seed=0)
    block = last_block(network)
    names = [name for name, value in block.named_parameters() if value.numel() == 1]
    assert names == [
        *("residual.shift1.value", "residual.shift2.value", "residual.shift3.value"),
        *("residual.scale.value", "activation.shift.value"),
    ]
    with torch.no_grad():
        for number, name in enumerate(names, start=1):
            block.get_parameter(name).fill_(0.1 * number)
        block.get_parameter("residual.convolution2.weight").normal_()
    first, second = (block.get_submodule(f"residual.convolution{number}") for number in (1, 2))
    x = stream(FIXUP)
    expected = torch.relu(x + 0.4 * second(torch.relu(first(x + 0.1) + 0.2) + 0.3) + 0.5)
    torch.testing.assert_close(block(x), expected)
    outside = [name for name, module in network.named_modules() if isinstance(module, Shift) and "stages" not in name]
    assert outside == ["stem.shift", "tail"]


def test_fixup_puts_a_number_before_every_layer_of_a_preactivation_network() -> None:
    """Before each convolution, activation and the linear layer, which are two behind the last addition."""
    network = build(replace(FIXUP, order="full_preactivation"), seed=0)
    names = [name for name, _ in last_block(network).residual.named_children()]
    assert names == [
        *("shift1", "activation1", "shift2", "convolution1", "shift3", "activation2", "shift4", "convolution2"),
        "scale",
    ]
    assert [type(layer).__name__ for layer in network.tail.children()] == ["Shift", "ReLU", "Shift"]


def test_a_projection_of_a_fixup_network_reads_a_shifted_stream() -> None:
    spec = replace(FIXUP, blocks=(1, 1), widths=(8, 16), shortcut="projection")
    shortcut = last_block(build(spec, seed=0)).shortcut
    with torch.no_grad():
        shortcut.get_parameter("projection.shift.value").fill_(0.3)
    x = stream(FIXUP)
    torch.testing.assert_close(shortcut(x), shortcut.get_submodule("projection.convolution")(x + 0.3))


@pytest.mark.parametrize("block", ["basic", "bottleneck"])
@pytest.mark.parametrize("order", ["original", "full_preactivation"])
def test_a_fixup_block_starts_as_the_identity_and_its_first_update_changes_it(order: Order, block: str) -> None:
    network = build(replace(FIXUP, order=order, block=block), seed=0)
    built, x = last_block(network), stream(network.spec)
    assert torch.equal(built(x), x)
    weights = torch.arange(x.numel()).view_as(x) / x.numel()
    (built(x) * weights).sum().backward()
    torch.optim.SGD(built.parameters(), lr=0.1).step()
    assert (built.residual(x)).abs().max() > 1e-4


def test_a_fixup_network_learns_its_head_first_and_then_its_branches() -> None:
    """Zhang et al. 2019, §3: the zero classifier passes no gradient in the first step."""
    network = build(FIXUP, seed=0)
    images, labels = torch.randn(6, 3, 6, 6), torch.arange(6) % 3
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    moved = []
    for _ in range(2):
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(images), labels).backward()
        optimizer.step()
        moved.append(last_block(network).get_parameter("residual.convolution2.weight").count_nonzero().item() > 0)
    assert moved == [False, True]
    assert network.head.weight.count_nonzero() > 0
