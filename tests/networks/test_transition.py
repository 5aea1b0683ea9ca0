"""Stages that begin with a convolution and a pool, blocks of one convolution, and the pool before the head."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from residua.errors import BadNetwork
from residua.networks import catalogue, cost
from residua.networks.blocks import ResidualBlock
from residua.networks.network import build
from residua.networks.shortcuts import IdentityShortcut
from residua.networks.spec import NetworkSpec, small_stem

SPEC = NetworkSpec(
    stem=small_stem(4), blocks=(2, 1), widths=(6, 8), block="single", transition="convolution", classes=3
)

WITH_TRANSITIONS = ("fast-resnet8", "fast-resnet8-narrow")


def test_a_stage_with_a_transition_is_its_layers_written_out():
    """h = ReLU(norm(pool(conv(x)))), then ReLU(h + norm(conv(h))), of which a second block has no first."""
    network = build(SPEC, seed=0).eval()
    x = torch.randn(2, 4, 9, 10)
    first, second = network.stages[0].children()
    weight, norm = first.get_parameter("entry.convolution.weight"), first.get_submodule("entry.norm")
    h = torch.relu(norm(functional.max_pool2d(functional.conv2d(x, weight, padding=1), 2)))
    for block in (first, second):
        weight, norm = block.get_parameter("residual.convolution1.weight"), block.get_submodule("residual.norm1")
        h = torch.relu(h + norm(functional.conv2d(h, weight, padding=1)))
    torch.testing.assert_close(network.stages[0](x), h)
    assert h.shape == (2, 6, 4, 5)


@pytest.mark.parametrize("shortcut", [True, False])
@pytest.mark.parametrize("name", WITH_TRANSITIONS)
def test_a_fast_network_is_its_layers_written_out(name: str, shortcut: bool):
    """Logits and every gradient: GELU(stem), then stages of h = GELU(norm(pool(conv))) and h + GELU(norm(conv(h)))."""
    spec = replace(catalogue.specification(name), widths=(4, 6, 6))
    network = build(spec if shortcut else spec.plain_twin(), seed=0).double()
    images, written = torch.randn(3, 3, 17, 20, dtype=torch.float64), dict(network.named_parameters())

    def normed(x: torch.Tensor, path: str) -> torch.Tensor:
        return functional.batch_norm(x, None, None, written[f"{path}.weight"], written[f"{path}.bias"], training=True)

    h = functional.gelu(functional.conv2d(images, written["stem.convolution.weight"], written["stem.convolution.bias"]))
    for stage in range(3):
        path = f"stages.{stage}.0"
        h = functional.max_pool2d(functional.conv2d(h, written[f"{path}.entry.convolution.weight"], padding=1), 2)
        h = functional.gelu(normed(h, f"{path}.entry.norm"))
        f = functional.conv2d(h, written[f"{path}.residual.convolution1.weight"], padding=1)
        f = functional.gelu(normed(f, f"{path}.residual.norm1"))
        h = h + f if shortcut else f
    expected = h.mean((2, 3)) @ written["head.weight"].T + written["head.bias"]
    logits, learned = network.train()(images), [value for value in written.values() if value.requires_grad]
    torch.testing.assert_close(logits, expected)
    weights = torch.randn_like(logits)
    ours, theirs = (torch.autograd.grad((out * weights).sum(), learned) for out in (logits, expected))
    assert len(learned) == len(written) - 1
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other)


def test_every_shortcut_is_the_identity():
    blocks = [block for block in build(SPEC, seed=0).modules() if isinstance(block, ResidualBlock)]
    assert len(blocks) == 3
    assert all(isinstance(block.shortcut, IdentityShortcut) for block in blocks)


@pytest.mark.parametrize("spec", [SPEC, catalogue.specification("fast-resnet8")])
def test_transitions_count_as_depth(spec: NetworkSpec):
    """Stem, one convolution a transition and a block, head; cost counts the same from the layers."""
    side = max(32, spec.smallest_side)
    assert spec.depth == 2 + len(spec.blocks) + sum(spec.blocks)
    assert cost.inspect(spec, (spec.in_channels, side, side)).depth == spec.depth


@pytest.mark.parametrize("spec", [SPEC, catalogue.specification("fast-resnet8")])
def test_the_smallest_side_is_the_last_that_leaves_a_pixel(spec: NetworkSpec):
    side = spec.smallest_side
    assert build(spec, seed=0).eval().feature_maps(torch.zeros(1, 3, side, side)).shape[2:] == (1, 1)
    with pytest.raises(RuntimeError, match=r"too small|zero-size|Output size"):
        build(spec, seed=0).eval()(torch.zeros(1, 3, side - 1, side - 1))
    with pytest.raises(BadNetwork, match=f"give {side} pixels or more"):
        spec.require_fit((3, side - 1, side - 1))


def test_a_transition_starts_as_the_identity_too():
    """Dirac filters pass the first channels on: the transition's convolution gives its input back there."""
    network = build(replace(SPEC, initialization="identity"), seed=0)
    convolution = network.get_submodule("stages.0.0.entry.convolution")
    x = torch.randn(2, 4, 8, 8)
    torch.testing.assert_close(convolution(x)[:, :4], x)


def test_the_head_reads_the_mean_or_the_largest_number():
    network = build(SPEC, seed=0).eval()
    largest = build(replace(SPEC, head_pool="max"), seed=0).eval()
    images = torch.randn(2, 3, 16, 16)
    maps = network.feature_maps(images)
    torch.testing.assert_close(network(images), network.head(maps.mean((2, 3))))
    torch.testing.assert_close(largest(images), network.head(maps.amax((2, 3))))


def test_the_plain_twin_keeps_the_transitions():
    residual, plain = build(SPEC, seed=0), build(SPEC.plain_twin(), seed=0)
    assert residual.state_dict().keys() == plain.state_dict().keys()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"order": "full_preactivation", "norm_on_projection": False}, "transition is convolution"),
        ({"initialization": "fixup", "norm": "none", "norm_on_projection": False}, "fixup"),
        ({"groups": 2}, "groups"),
        ({"stride_on": "first"}, "stride_on"),
    ],
)
def test_what_does_not_go_with_them_is_refused(change: dict, message: str):
    with pytest.raises(BadNetwork, match=message):
        replace(SPEC, **change)
