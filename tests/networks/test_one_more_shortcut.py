"""A shortcut of one's own is one class and one line in ``SHORTCUTS``: everything else follows from that."""

import json
from dataclasses import replace

import pytest
import torch
from tests.networks.comparison import noise
from tests.networks.plain_writing import Written, within
from torch import Tensor, nn

from residua.configuration import from_json, to_json
from residua.errors import BadSetting
from residua.networks import cost
from residua.networks.layers import BlockShape, Style
from residua.networks.network import build
from residua.networks.shortcuts import SHORTCUTS
from residua.networks.spec import NetworkSpec, small_stem

PLAIN = NetworkSpec(stem=small_stem(4), blocks=(2, 2), widths=(4, 8), shortcut="none", classes=3)


class WeighedShortcut(nn.Module):
    """Computes w ⊙ x with one learned number a channel, repeating channels and skipping positions to fit."""

    def __init__(self, style: Style, shape: BlockShape) -> None:
        super().__init__()
        self.repeats = shape.out_channels // shape.in_channels
        self.stride = shape.stride
        self.weight = nn.Parameter(torch.full((shape.out_channels,), style.shortcut_scale))

    def forward(self, x: Tensor) -> Tensor:
        x = x[:, :, :: self.stride, :: self.stride].repeat(1, self.repeats, 1, 1)
        return x * self.weight[:, None, None]


class WrittenWithWeights(Written):
    """The network of the papers, with w ⊙ x for its shortcut."""

    def merged(self, f: Tensor, h: Tensor, numbers: dict[str, Tensor], stride: int) -> Tensor:
        fitting = torch.cat([h[:, :, ::stride, ::stride]] * (f.shape[1] // h.shape[1]), dim=1)
        return f + fitting * within(numbers, "shortcut.")["weight"].view(1, -1, 1, 1)


@pytest.fixture
def spec(monkeypatch: pytest.MonkeyPatch) -> NetworkSpec:
    monkeypatch.setitem(SHORTCUTS, "weighed", WeighedShortcut)
    return replace(PLAIN, shortcut="weighed", shortcut_scale=0.7)


@pytest.mark.parametrize("order", ["original", "full_preactivation"])
def test_it_is_built_into_every_block_and_computes_its_formula(spec: NetworkSpec, order: str) -> None:
    network = build(replace(spec, order=order), seed=0).double()
    numbers = network.state_dict()
    weights = [name for name in numbers if name.endswith("shortcut.weight")]
    assert [numbers[name].unique().tolist() for name in weights] == [[pytest.approx(0.7)]] * 4
    for index, name in enumerate(weights):
        numbers[name].copy_(noise(len(numbers[name]), seed=index))
    images = noise(2, 3, 7, 6, seed=9)
    torch.testing.assert_close(network(images), WrittenWithWeights(order=order).network(images, numbers, (2, 2)))


class DrawnShortcut(WeighedShortcut):
    """The same with numbers that are drawn."""

    def __init__(self, style: Style, shape: BlockShape) -> None:
        super().__init__(style, shape)
        nn.init.normal_(self.weight)


def test_what_it_draws_comes_from_the_seed_and_the_other_weights_stay_as_they_were(
    spec: NetworkSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = build(spec, seed=3).state_dict()
    monkeypatch.setitem(SHORTCUTS, "weighed", DrawnShortcut)
    before = torch.get_rng_state()
    first, again, other = (build(spec, seed=seed).state_dict() for seed in (3, 3, 4))
    assert torch.equal(torch.get_rng_state(), before)
    for name, value in first.items():
        assert torch.equal(value, again[name]), name
        assert torch.equal(value, usual[name]) != name.endswith("shortcut.weight"), name
    assert not torch.equal(first["stages.0.0.shortcut.weight"], other["stages.0.0.shortcut.weight"])
    torch.manual_seed(0)
    drawn = [build(spec).state_dict()["stages.0.0.shortcut.weight"] for _ in range(2)]
    assert not torch.equal(*drawn)


def test_its_cost_is_known(spec: NetworkSpec) -> None:
    """4 + 4 + 8 + 8 numbers more than without shortcuts, and no multiply-adds of a convolution."""
    own, plain = cost.inspect(spec, (3, 8, 8)), cost.inspect(PLAIN, (3, 8, 8))
    assert own.parameters == plain.parameters + 24
    assert own.multiply_adds == plain.multiply_adds
    rows = [row for row in own.layers if "shortcut" in row.name]
    assert [(row.kind, row.shape) for row in rows] == [
        *[("WeighedShortcut", (4, 8, 8))] * 2,
        *[("WeighedShortcut", (8, 4, 4))] * 2,
    ]


def test_a_step_of_training_changes_it(spec: NetworkSpec) -> None:
    network = build(spec, seed=0)
    weight = network.get_parameter("stages.1.0.shortcut.weight")
    before = weight.detach().clone()
    nn.functional.cross_entropy(network(torch.randn(6, 3, 8, 8)), torch.arange(6) % 3).backward()
    torch.optim.SGD(network.parameters(), lr=0.1).step()
    assert (weight != before).all()


def test_its_name_survives_json(spec: NetworkSpec) -> None:
    assert from_json(NetworkSpec, json.loads(json.dumps(to_json(spec)))) == spec


def test_its_plain_twin_takes_the_weights_of_its_network(spec: NetworkSpec) -> None:
    kept = {name: value for name, value in build(spec, seed=0).state_dict().items() if "shortcut" not in name}
    build(spec.plain_twin(), seed=1).load_state_dict(kept)


@pytest.mark.usefixtures("spec")
def test_a_name_one_letter_off_is_refused_with_the_nearest() -> None:
    with pytest.raises(BadSetting, match="'weighted' is no shortcut; did you mean 'weighed'"):
        replace(PLAIN, shortcut="weighted")


def test_without_its_line_it_is_unknown() -> None:
    with pytest.raises(BadSetting, match="'weighed' is no shortcut"):
        replace(PLAIN, shortcut="weighed")
