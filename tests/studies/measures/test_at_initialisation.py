"""Signals, the additive gradient and shattering as measures: what they hand on, and that a wrong network shows."""

from collections.abc import Callable
from dataclasses import replace
from math import log
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from residua.diagnostics.case import Case, opened
from residua.networks.network import build
from residua.networks.spec import NetworkSpec, small_stem
from residua.studies.catalogue.additive import network as six_blocks
from residua.studies.dense import INPUTS_FROM, Dense
from residua.studies.measures.additive import additive
from residua.studies.measures.shattering import shattering
from residua.studies.measures.signals import signals
from residua.studies.trial import Trial

from ..test_dense import trial


def on_images(module: nn.Module) -> Trial:
    generator = torch.Generator().manual_seed(0)
    images, labels = torch.randn(64, 1, 8, 8, generator=generator), torch.arange(64) % 10

    def case(examples: int) -> Case:
        return opened(module, images[:examples], labels[:examples])

    return Trial(arm="a", seed=0, network=lambda: module, case=case, run=None)


def test_signals_are_of_every_block_and_the_numbers_of_the_last():
    found = signals(trial(lambda: Dense(depth=8, width=64)(0)))
    assert [block for block, _ in found.series["variance"]] == [float(block) for block in range(1, 9)]
    assert {name: points[-1][1] for name, points in found.series.items()} == dict(found.numbers)
    for name in ("variance", "share_of_variance", "share_of_moment"):
        assert log(found.numbers[name]) == pytest.approx(log(found.numbers[f"predicted_{name}"]), abs=0.35)


def test_the_variance_behind_one_block_is_that_of_the_sum():
    """Against the stream computed here: x + W ReLU(BN(x)) on the measure's own inputs."""
    network = Dense(depth=1, width=32)(0)
    found = signals(trial(lambda: network)).numbers
    generator = torch.Generator().manual_seed(INPUTS_FROM)
    with torch.no_grad():
        stream = network.train().units(torch.randn(512, 32, generator=generator)).double()
    assert found["variance"] == pytest.approx(float(stream.var(0, correction=0).mean()), rel=1e-5)
    assert found["squared_mean"] == pytest.approx(float(stream.mean(0).square().mean()), rel=1e-4)


@pytest.mark.parametrize("changed", [{"norm": False}, {"scale": 0.5}, {"activation": "tanh"}, {"gain": 1.0}])
def test_no_signal_is_predicted_outside_of_the_conditions(changed):
    found = signals(trial(lambda: Dense(**{"depth": 3, "width": 16} | changed)(0)))
    assert not any(name.startswith("predicted") for name in (*found.numbers, *found.series))


def test_a_network_without_additions_has_no_stream():
    assert signals(trial(lambda: Dense(depth=3, width=16, shortcuts=False)(0))).numbers == {}


@pytest.mark.parametrize(("scale", "product"), [(1.0, 1.0), (0.5, 0.25), (0.9, 0.81)])
def test_shortcuts_pass_the_product_of_their_scales(scale, product):
    spec = replace(six_blocks("full_preactivation", scale=scale), blocks=(2,))
    found = additive(on_images(build(spec, seed=0))).numbers
    assert found["direct"] == pytest.approx(product, rel=1e-5)
    assert found["predicted_direct"] == pytest.approx(product)
    assert found["error"] < 1e-14


def test_where_shortcuts_project_no_product_is_predicted():
    spec = NetworkSpec(stem=small_stem(8), blocks=(1, 1), widths=(8, 16), in_channels=1, classes=10)
    assert "predicted_direct" not in additive(on_images(build(spec, seed=0))).numbers


class Doubled(torch.autograd.Function):
    """The identity with a backward that is twice what it should be."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        return 2 * gradient


class Sabotaged(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return x + Doubled.apply(self.layer(x))


def test_a_branch_with_a_wrong_backward_shows_in_its_slope():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = nn.Sequential(Sabotaged(), nn.Linear(4, 3))
    case = opened(module, torch.randn(8, 4, generator=torch.Generator().manual_seed(0)), torch.arange(8) % 3)
    found = additive(Trial(arm="a", seed=0, network=lambda: module, case=lambda _: case, run=None)).numbers
    assert found["slope_error"] > 0.1


def test_a_linear_function_has_one_gradient_everywhere_and_noise_its_own_yardsticks():
    spec: Callable[[int], nn.Module] = Dense(depth=2, width=16, norm=False, scale=0.0)
    found = shattering(trial(lambda: spec(0)))
    assert (found.numbers["lag_1"], found.numbers["lag_5"]) == (1.0, 1.0)
    assert abs(found.numbers["white_1"]) < 0.02 < 0.9 < found.numbers["brown_1"]
    assert found.numbers["brown_1"] == found.series["brown"][0][1]
    assert found.series["autocorrelation"][4] == (5.0, 1.0)


def test_a_deep_plain_network_is_further_from_one_gradient_than_a_residual_one():
    plain, residual = (
        shattering(trial(lambda s=shortcuts: Dense(depth=24, width=64, shortcuts=s)(0))).numbers["lag_1"]
        for shortcuts in (False, True)
    )
    assert plain + 0.2 < residual
