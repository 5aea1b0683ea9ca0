"""The whole network: built alike from the same seed, the same under any memory format, exact twins."""

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn

from residua.networks import catalogue
from residua.networks.blocks import PlainBlock, ResidualBlock
from residua.networks.network import ResidualNetwork, build
from residua.networks.spec import NetworkSpec, photograph_stem, small_stem

SPEC = NetworkSpec(stem=small_stem(4), blocks=(1, 2), widths=(4, 8), classes=5)
PREACTIVATION = replace(SPEC, order="full_preactivation", norm_on_projection=False)


def thin(name: str) -> NetworkSpec:
    """A preset's kinds of blocks with few channels, two stages of two blocks."""
    spec = catalogue.specification(name, classes=3, in_channels=3)
    return replace(spec, stem=replace(spec.stem, width=4), blocks=(2, 2), widths=(4, 8))


def same(first: nn.Module, second: nn.Module) -> bool:
    left, right = first.state_dict(), second.state_dict()
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def test_a_seed_gives_the_same_weights_every_time() -> None:
    assert same(build(SPEC, seed=3), build(SPEC, seed=3))
    assert not same(build(SPEC, seed=3), build(SPEC, seed=4))


def test_a_seed_leaves_the_global_random_state_alone() -> None:
    before = torch.get_rng_state()
    build(SPEC, seed=3)
    assert torch.equal(torch.get_rng_state(), before)


def test_without_a_seed_the_weights_come_from_the_global_state() -> None:
    torch.manual_seed(5)
    first = build(SPEC)
    second = build(SPEC)
    torch.manual_seed(5)
    assert same(first, build(SPEC))
    assert not same(first, second)


def test_every_number_of_a_network_is_set() -> None:
    """Nothing of the memory that the layers were given is left as it was found."""
    network = build(replace(PREACTIVATION, stem=photograph_stem(4, bias=True), bias=True, activation="prelu"), seed=0)
    for name, value in network.state_dict().items():
        assert value.device.type == "cpu", name
        assert value.isfinite().all(), name
        assert value.abs().max() < 10, name


@pytest.mark.parametrize("spec", [SPEC, PREACTIVATION], ids=["original", "pre-activation"])
def test_the_logits_are_the_head_of_the_mean_feature_map(spec: NetworkSpec) -> None:
    network = build(spec, seed=0).eval()
    images = torch.randn(3, 3, 9, 7)
    maps = network.feature_maps(images)
    assert maps.shape == (3, 8, 5, 4)
    torch.testing.assert_close(network(images), network.head(maps.mean(dim=(2, 3))))


@pytest.mark.parametrize("spec", [SPEC, PREACTIVATION], ids=["original", "pre-activation"])
def test_logits_are_no_probabilities(spec: NetworkSpec) -> None:
    logits = build(spec, seed=0)(torch.randn(8, 3, 8, 8))
    assert logits.min() < 0
    assert not torch.allclose(logits.sum(dim=1), torch.ones(8))


def test_the_tail_is_a_norm_and_an_activation_in_preactivation_networks_alone() -> None:
    assert isinstance(build(SPEC, seed=0).tail, nn.Identity)
    tail = build(PREACTIVATION, seed=0).tail
    assert [type(layer) for layer in tail.children()] == [nn.BatchNorm2d, nn.ReLU]


@pytest.mark.parametrize("stage", [0, 1])
def test_the_first_block_and_those_that_change_shape_share_their_preactivation(stage: int) -> None:
    """He et al. 2016, appendix: all others keep it inside F."""
    first, second = build(thin("resnet164-preactivation"), seed=0).stages[stage].children()
    assert isinstance(first, ResidualBlock)
    assert isinstance(second, ResidualBlock)
    assert len(list(first.entry.children())) == 2
    assert isinstance(next(first.residual.children()), nn.Conv2d)
    assert isinstance(second.entry, nn.Identity)
    assert isinstance(next(second.residual.children()), nn.BatchNorm2d)


@pytest.mark.parametrize("name", ["resnet18", "resnet20", "resnet50", "resnet164-preactivation", "resnet34-pooled"])
def test_a_plain_twin_takes_the_weights_of_its_network_by_name(name: str) -> None:
    """The same layers but for those beside: twins differ in nothing but the shortcuts."""
    spec = thin(name)
    network, twin = build(spec, seed=0), build(spec.plain_twin(), seed=0)
    shared = {key: value for key, value in network.state_dict().items() if ".shortcut." not in key}
    assert twin.load_state_dict(shared) is not None
    assert {type(block) for stage in twin.stages for block in stage.children()} == {PlainBlock}
    assert not any("shortcut" in name for name, _ in twin.named_modules())
    assert {type(block) for stage in network.stages for block in stage.children()} == {ResidualBlock}


@pytest.mark.parametrize("name", ["resnet20", "resnet18-textbook", "resnet164-preactivation", "plain164-preactivation"])
def test_every_norm_sees_each_batch_once(name: str) -> None:
    """A norm shared by two paths must not count a step twice."""
    network = build(thin(name), seed=0)
    network(torch.randn(2, 3, 20, 20))
    counts = [int(layer.num_batches_tracked or 0) for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]
    assert counts
    assert set(counts) == {1}


def test_every_parameter_takes_part() -> None:
    network = build(replace(PREACTIVATION, activation="prelu", bias=True), seed=0)
    network(torch.randn(4, 3, 8, 8)).square().sum().backward()
    assert [name for name, parameter in network.named_parameters() if parameter.grad is None] == []


@pytest.mark.parametrize("spec", [SPEC, replace(SPEC, shortcut="padded"), replace(SPEC, shortcut="average_pooled")])
def test_channels_last_gives_the_same_logits_and_stays_channels_last(spec: NetworkSpec) -> None:
    network = build(spec, seed=0).double().eval()
    images = torch.randn(2, 3, 9, 9, dtype=torch.float64)
    expected = network(images)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    images = images.to(memory_format=torch.channels_last)
    torch.testing.assert_close(network(images), expected)
    assert network.feature_maps(images).is_contiguous(memory_format=torch.channels_last)


def test_autocast_gives_nearly_the_same_logits() -> None:
    network = build(SPEC, seed=0).eval()
    images = torch.randn(2, 3, 9, 9)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = network(images)
    assert logits.dtype == torch.bfloat16
    torch.testing.assert_close(logits.float(), network(images), rtol=0.1, atol=0.1)


def test_a_copy_is_a_network_of_its_own() -> None:
    network = build(SPEC, seed=0)
    twin = copy.deepcopy(network)
    assert twin.spec == network.spec
    nn.init.zeros_(twin.head.weight)
    assert network.head.weight.count_nonzero() > 0


def test_a_network_learns_what_it_is_shown() -> None:
    """Twelve steps on one batch of noise more than halve the loss."""
    network = build(SPEC, seed=0)
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(10, 3, 8, 8, generator=generator)
    labels = torch.arange(10) % 5
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    losses = []
    for _ in range(12):
        loss = nn.functional.cross_entropy(network(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2


def test_a_network_has_the_parts_that_it_names() -> None:
    network = build(SPEC, seed=0)
    assert isinstance(network, ResidualNetwork)
    assert [name for name, _ in network.named_children()] == ["stem", "stages", "tail", "head"]
    assert [len(list(stage.children())) for stage in network.stages] == [1, 2]
    assert network.head.out_features == 5
