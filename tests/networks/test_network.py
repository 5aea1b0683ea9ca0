"""The whole network: built alike from the same seed, the same under any memory format, exact twins."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import get_args

import pytest
import torch
from torch import nn

from residua.errors import BadSetting
from residua.networks import catalogue
from residua.networks.blocks import PlainBlock, ResidualBlock
from residua.networks.layers import NormKind
from residua.networks.network import ResidualNetwork, build
from residua.networks.shortcuts import SHORTCUTS
from residua.networks.spec import NetworkSpec, Order, photograph_stem, small_stem

SPEC = NetworkSpec(stem=small_stem(4), blocks=(1, 2), widths=(4, 8), classes=5)
BARE_PROJECTION = {"norm_on_projection": False}
PREACTIVATION = replace(SPEC, order="full_preactivation", **BARE_PROJECTION)


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


def test_the_global_state_draws_what_a_seed_of_its_own_draws() -> None:
    """Nothing is drawn but the weights that stay: layers do not draw their own first."""
    torch.manual_seed(5)
    assert same(build(SPEC), build(SPEC, seed=5))


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


@pytest.mark.parametrize(
    ("order", "norm", "tail"),
    [
        ("original", "batch", []),
        ("bn_after_addition", "batch", []),
        ("relu_before_addition", "batch", []),
        ("relu_only_preactivation", "batch", [nn.ReLU]),
        ("full_preactivation", "batch", [nn.BatchNorm2d, nn.ReLU]),
        ("full_preactivation", "group", [nn.GroupNorm, nn.ReLU]),
        ("full_preactivation", "none", [nn.ReLU]),
    ],
)
def test_the_tail_is_what_the_last_block_would_have_opened_with(
    order: Order, norm: NormKind, tail: list[type[nn.Module]]
) -> None:
    """He et al. 2016, appendix: one more norm and activation before the pool, where the others open with them."""
    network = build(replace(SPEC, order=order, norm=norm, norm_on_projection=False), seed=0)
    assert [type(layer) for layer in network.tail.modules() if type(layer) not in (nn.Identity, nn.Sequential)] == tail


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


@pytest.mark.parametrize("stage", [0, 1])
def test_relu_only_preactivation_shares_its_relu_at_the_same_places(stage: int) -> None:
    """Fig. 4d: the shared part is the ReLU alone."""
    network = build(replace(thin("resnet18-small-stem"), order="relu_only_preactivation"), seed=0)
    first, second = network.stages[stage].children()
    assert isinstance(first.get_submodule("entry"), nn.ReLU)
    assert isinstance(first.get_submodule("residual.convolution1"), nn.Conv2d)
    assert isinstance(second.get_submodule("entry"), nn.Identity)
    assert isinstance(second.get_submodule("residual.activation1"), nn.ReLU)


@pytest.mark.parametrize(
    "name",
    [
        *("resnet18", "resnet20", "resnet50", "resnet164-preactivation", "resnet34-pooled"),
        *("resnet50d", "se_resnet50", "wrn-16-4"),
    ],
)
def test_a_plain_twin_takes_the_weights_of_its_network_by_name(name: str) -> None:
    """The same layers but for those beside: twins differ in nothing but the shortcuts."""
    spec = thin(name)
    network, twin = build(spec, seed=0), build(spec.plain_twin(), seed=0)
    shared = {key: value for key, value in network.state_dict().items() if ".shortcut." not in key}
    assert twin.load_state_dict(shared) is not None
    assert {type(block) for stage in twin.stages for block in stage.children()} == {PlainBlock}
    assert not any("shortcut" in name for name, _ in twin.named_modules())
    assert {type(block) for stage in network.stages for block in stage.children()} == {ResidualBlock}


@pytest.mark.parametrize("shortcut", ["none", *SHORTCUTS])
@pytest.mark.parametrize("order", get_args(Order))
def test_every_norm_sees_each_batch_once(order: Order, shortcut: str) -> None:
    """A norm shared by two paths must not count a step twice."""
    network = build(replace(SPEC, order=order, shortcut=shortcut, **BARE_PROJECTION, shortcut_scale=0.25), seed=0)
    network(torch.randn(2, 3, 6, 6))
    counts = [int(layer.num_batches_tracked or 0) for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]
    assert counts
    assert set(counts) == {1}


@pytest.mark.parametrize("shortcut", ["none", *SHORTCUTS])
@pytest.mark.parametrize("order", get_args(Order))
def test_every_parameter_takes_part(order: Order, shortcut: str) -> None:
    changes = {"order": order, "shortcut": shortcut, "activation": "prelu", "bias": True, "squeeze_excitation": 2}
    network = build(replace(SPEC, **changes, **BARE_PROJECTION, shortcut_scale=0.25), seed=0)
    network(torch.randn(4, 3, 8, 8)).square().sum().backward()
    assert [name for name, parameter in network.named_parameters() if parameter.grad is None] == []


@pytest.mark.parametrize("order", ["original", "full_preactivation"])
def test_every_number_of_a_fixup_network_takes_part(order: Order) -> None:
    changes = {"order": order, "initialization": "fixup", "norm": "none"}
    network = build(replace(SPEC, **changes, **BARE_PROJECTION), seed=0)
    nn.init.normal_(network.head.weight)
    network(torch.randn(4, 3, 8, 8)).square().sum().backward()
    assert [name for name, parameter in network.named_parameters() if parameter.grad is None] == []


@pytest.mark.parametrize(
    "spec",
    [
        SPEC,
        replace(SPEC, block="bottleneck", groups=2, squeeze_excitation=2),
        *(replace(SPEC, shortcut=shortcut) for shortcut in SHORTCUTS if shortcut != "projection"),
    ],
)
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
    assert [name for name, _ in network.named_children()] == ["stem", "stages", "tail", "pool", "head"]
    assert [len(list(stage.children())) for stage in network.stages] == [1, 2]
    assert network.head.out_features == 5


PLACES = {
    "stem": "stem",
    "stage1.1": "stages.0.0",
    "stage1": "stages.0",
    "stage2.1": "stages.1.0",
    "stage2.2": "stages.1.1",
    "stage2": "stages.1",
    "tail": "tail",
    "head": "head",
}
"""Every place that `ResidualNetwork.features` names, but the pool, and the module whose output it is."""


@contextmanager
def listening(network: nn.Module) -> Iterator[dict[str, torch.Tensor]]:
    """Yields what the modules give, by their names, as hooks see it."""
    heard: dict[str, torch.Tensor] = {}
    hooks = [
        module.register_forward_hook(lambda _module, _inputs, output, name=name: heard.update({name: output}))
        for name, module in network.named_modules()
    ]
    yield heard
    for hook in hooks:
        hook.remove()


@pytest.mark.parametrize("spec", [SPEC, replace(PREACTIVATION, activation="tanh")], ids=["original", "pre-activation"])
def test_features_are_what_a_hook_on_each_place_hears(spec: NetworkSpec) -> None:
    network = build(spec, seed=0).eval()
    assert network.feature_names == (*list(PLACES)[:-1], "pool", "head")
    images = torch.randn(3, 3, 9, 7)
    with listening(network) as heard:
        logits = network(images)
    found = network.features(images, network.feature_names)
    for place, module in PLACES.items():
        assert torch.equal(found[place], heard[module]), place
    torch.testing.assert_close(found["pool"], heard["tail"].mean(dim=(2, 3)))
    assert torch.equal(found["head"], logits)


def test_features_come_in_the_order_asked_and_no_others() -> None:
    network = build(SPEC, seed=0)
    images = torch.randn(2, 3, 6, 6)
    assert list(network.features(images, at=["head", "stage2.1", "stem"])) == ["head", "stage2.1", "stem"]
    assert list(network.features(images, at=(name for name in ("pool", "stage1")))) == ["pool", "stage1"]
    assert network.features(images, at=[]) == {}


@pytest.mark.parametrize("place", [*PLACES, "pool"])
def test_gradients_flow_from_every_place_to_the_images(place: str) -> None:
    images = torch.randn(2, 3, 6, 6, requires_grad=True)
    found = build(SPEC, seed=0).features(images, at=[place])[place]
    (found * torch.arange(found.numel()).view_as(found)).sum().backward()
    assert images.grad is not None
    assert images.grad.count_nonzero() > 0


def test_gradients_flow_to_what_comes_before_a_place_alone() -> None:
    network = build(SPEC, seed=0)
    network.features(torch.randn(2, 3, 6, 6), at=["stage1"])["stage1"].square().sum().backward()
    for name, parameter in network.named_parameters():
        assert (parameter.grad is not None) == name.startswith(("stem.", "stages.0.")), name


@pytest.mark.parametrize(
    ("place", "nearest"), [("stage2.3", "stage2.2"), ("stage_1", "stage1"), ("heads", "head"), ("pooled", "pool")]
)
def test_a_place_that_is_none_is_refused_with_the_nearest(place: str, nearest: str) -> None:
    with pytest.raises(BadSetting, match=f"'{place}' is no place; did you mean '{nearest}'"):
        build(SPEC, seed=0).features(torch.randn(2, 3, 6, 6), at=["stem", place])


def test_features_leave_no_hook_behind() -> None:
    network = build(SPEC, seed=0)
    with pytest.raises(BadSetting):
        network.features(torch.randn(2, 3, 6, 6), at=["stam"])
    network.features(torch.randn(2, 3, 6, 6), at=network.feature_names)
    for name, module in network.named_modules():
        for kind in ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks"):
            assert not getattr(module, kind), name
