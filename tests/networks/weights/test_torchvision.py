"""torchvision's names and ours, both ways, against a list of theirs that is written down independently."""

import re
from collections.abc import Callable
from dataclasses import replace
from math import prod

import pytest
import torch
from torch import Tensor, nn

from residua.errors import BadNetwork, BadWeights
from residua.networks import catalogue
from residua.networks.network import build
from residua.networks.spec import NetworkSpec, StemSpec
from residua.networks.weights import published
from residua.networks.weights.torchvision import from_torchvision, require_expressible, to_torchvision

Shapes = Callable[[str], dict[str, tuple[int, ...]]]
Tensors = Callable[[str], dict[str, Tensor]]

PARAMETERS = {
    "resnet18": 11_689_512,
    "resnet34": 21_797_672,
    "resnet50": 25_557_032,
    "resnet101": 44_549_160,
    "resnet152": 60_192_808,
    "resnext50_32x4d": 25_028_904,
    "resnext101_32x8d": 88_791_336,
    "resnext101_64x4d": 83_455_272,
    "wide_resnet50_2": 68_883_240,
    "wide_resnet101_2": 126_886_696,
}
"""As torchvision publishes them beside its weights."""

STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


def test_these_are_all_the_networks_that_weights_are_published_for():
    assert set(PARAMETERS) == {weights.network for weights in published.PUBLISHED["torchvision"]}


@pytest.mark.parametrize("name", PARAMETERS)
def test_the_list_of_their_names_holds_the_published_number_of_parameters(name: str, their_shapes: Shapes):
    shapes = their_shapes(name)
    assert sum(prod(shape) for key, shape in shapes.items() if not key.endswith(STATISTICS)) == PARAMETERS[name]


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_round_trip_gives_every_tensor_back(name: str, their_tensors: Tensors):
    spec, theirs = catalogue.specification(name), their_tensors(name)
    ours = from_torchvision(theirs, spec)
    again = to_torchvision(ours, spec)
    assert list(again) == list(theirs)
    assert all(torch.equal(again[key], tensor) and again[key].dtype == tensor.dtype for key, tensor in theirs.items())


@pytest.mark.parametrize("name", ["resnet34", "resnext50_32x4d"])
def test_a_round_trip_gives_every_tensor_of_ours_back(name: str):
    spec = catalogue.specification(name)
    ours = build(spec, seed=0).state_dict()
    again = from_torchvision(to_torchvision(ours, spec), spec)
    assert list(again) == list(ours)
    assert all(torch.equal(again[key], tensor) for key, tensor in ours.items())


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "resnext50_32x4d", "wide_resnet50_2"])
def test_the_same_weights_give_the_same_logits(name: str, their_network: Callable[[str], nn.Module]):
    theirs, ours = their_network(name), build(catalogue.specification(name), seed=1).eval()
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected, before = theirs(images), ours(images)
        ours.load_state_dict(from_torchvision(theirs.state_dict(), ours.spec))
        after = ours(images)
    assert not torch.allclose(before, expected, rtol=0.1, atol=0.1)
    torch.testing.assert_close(after, expected, rtol=1e-5, atol=1e-5)


@pytest.fixture
def spec() -> NetworkSpec:
    return replace(catalogue.specification("resnet18"), blocks=(1, 1, 1, 1), classes=3)


Short = tuple[dict[str, Tensor], nn.Module]


def refusal(tensors: dict[str, Tensor], spec: NetworkSpec) -> str:
    with pytest.raises(BadWeights) as caught:
        from_torchvision(tensors, spec)
    assert "\n" not in str(caught.value)
    assert "choose the network, the classes and the channels" in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("key", ["conv1.weight", "layer2.0.downsample.1.running_var", "fc.bias"])
def test_a_missing_tensor_is_named(short: Short, spec: NetworkSpec, key: str):
    shape = tuple(short[0].pop(key).shape)
    assert f"the weights lack {key}, of shape {shape}" in refusal(short[0], spec)


def test_a_tensor_too_many_is_named(short: Short, spec: NetworkSpec):
    short[0]["layer1.1.conv1.weight"] = torch.zeros(64, 64, 3, 3)
    assert "the weights hold layer1.1.conv1.weight, which the network does not have" in refusal(short[0], spec)


def test_a_misshapen_tensor_is_named_with_both_shapes(short: Short, spec: NetworkSpec):
    text = refusal(short[0], replace(spec, classes=5))
    assert "fc.weight of the weights has shape (3, 512), the network's (5, 512)" in text


def test_our_own_tensors_are_checked_as_strictly(spec: NetworkSpec):
    ours = build(spec, seed=0).state_dict()
    with pytest.raises(BadWeights, match=r"the weights lack head\.bias, of shape \(3,\)"):
        to_torchvision({name: tensor for name, tensor in ours.items() if name != "head.bias"}, spec)
    with pytest.raises(BadWeights, match=r"the weights hold fc\.bias"):
        to_torchvision({**ours, "fc.bias": ours["head.bias"]}, spec)


def test_a_missing_count_of_batches_is_zero(short: Short, spec: NetworkSpec):
    old = {key: tensor for key, tensor in short[0].items() if not key.endswith("num_batches_tracked")}
    ours = from_torchvision(old, spec)
    counts = [tensor for name, tensor in ours.items() if name.endswith("num_batches_tracked")]
    assert len(counts) == 12
    assert all(count.dtype == torch.int64 and count.shape == () and count == 0 for count in counts)
    build(spec).load_state_dict(ours)


def test_half_precision_becomes_float32(short: Short, spec: NetworkSpec):
    half = {key: tensor.half() if tensor.is_floating_point() else tensor for key, tensor in short[0].items()}
    ours = from_torchvision(half, spec)
    assert ours["head.weight"].dtype == torch.float32
    assert torch.equal(ours["head.weight"], half["fc.weight"].float())


def test_whole_numbers_in_place_of_weights_are_refused(short: Short, spec: NetworkSpec):
    short[0]["fc.weight"] = torch.zeros(3, 512, dtype=torch.int8)
    with pytest.raises(BadWeights, match=r"fc\.weight of the weights is int8, the network's float32; .* not quantized"):
        from_torchvision(short[0], spec)


@pytest.mark.parametrize("changes", [{"classes": 7}, {"in_channels": 1}, {"initialization": "zero_last"}])
def test_classes_channels_and_start_are_free(spec: NetworkSpec, changes: dict[str, object]):
    require_expressible(replace(spec, **changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"stem": StemSpec(width=64)}, "stem.kernel is 3 here and 7 there"),
        ({"stem": StemSpec(width=64, kernel=7, stride=2, pool=True, bias=True)}, "stem.bias is True here and False"),
        ({"order": "full_preactivation", "norm_on_projection": False}, "order is full_preactivation here and original"),
        ({"shortcut": "padded"}, "shortcut is padded here and projection there"),
        ({"shortcut": "none"}, "shortcut is none here and projection there"),
        ({"norm": "none", "norm_on_projection": False}, "norm is none here and batch there"),
        ({"norm": "none", "norm_on_projection": False, "initialization": "fixup"}, "initialization is fixup here"),
        ({"norm_on_projection": False}, "norm_on_projection is False here and True there"),
        ({"bias": True}, "bias is True here and False there"),
        ({"activation": "prelu"}, "activation is prelu here and relu there"),
        ({"block": "bottleneck", "stride_on": "first"}, "stride_on is first here and 3x3 there"),
        ({"block": "bottleneck", "bottleneck_expansion": 2}, "out_channels is (128, 256, 512, 1024) here"),
        ({"widths": (32, 64, 128, 256)}, "out_channels is (32, 64, 128, 256) here and (64, 128, 256, 512) there"),
        ({"squeeze_excitation": 16}, "squeeze_excitation is 16 here and None there"),
        ({"last_survival": 0.5}, "last_survival is 0.5 here and 1.0 there"),
    ],
)
def test_what_torchvision_cannot_express_is_refused_with_the_reason(
    spec: NetworkSpec, changes: dict[str, object], reason: str
):
    with pytest.raises(BadNetwork, match=re.escape(f"torchvision has no such network: {reason}")):
        from_torchvision({}, replace(spec, **changes))  # type: ignore[arg-type]


def test_what_is_moot_is_not_asked_for(spec: NetworkSpec):
    require_expressible(replace(spec, gate_bias=-3.0))
