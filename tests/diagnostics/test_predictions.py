"""The closed forms: the numbers that the reference prints, and the limits that they must have."""

from math import e, pi, prod

import pytest
import torch
from torch import nn

from residua.diagnostics import conditions
from residua.diagnostics.case import Case, opened
from residua.diagnostics.diagnosis import diagnose
from residua.diagnostics.gradients import as_predicted, gradient_flow
from residua.diagnostics.predictions import (
    C,
    plain_with_norm,
    residual_with_norm,
    residual_without_norm,
    share_of_moment,
    share_of_variance,
    stream_variance,
)
from residua.networks.residual import Residual

WIDTH = 256


def test_c_is_twice_the_variance_of_a_rectified_normal_number():
    z = torch.randn(2_000_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert pytest.approx(2 * float(z.relu().var()), rel=3e-3) == C


@pytest.mark.parametrize(("layers", "ratio"), [(10, 6.79), (50, 1.447e4), (100, 2.092e8)])
def test_a_plain_network_grows_geometrically(layers, ratio):
    assert plain_with_norm(layers) == pytest.approx((pi / (pi - 1)) ** (layers / 2))
    assert plain_with_norm(layers) == pytest.approx(ratio, rel=1e-3)


@pytest.mark.parametrize(
    ("blocks", "branch_layers", "ratio"),
    [(10, 1, 4.16), (50, 1, 12.39), (100, 1, 20.35), (10, 2, 7.0), (50, 2, 33.9), (100, 2, 70.0)],
)
def test_a_residual_network_grows_as_a_power_of_its_depth(blocks, branch_layers, ratio):
    assert residual_with_norm(blocks, branch_layers=branch_layers) == pytest.approx(ratio, rel=7e-3)


def test_the_product_is_written_out_by_hand_for_three_blocks_of_two_layers():
    c = 1 - 1 / pi
    by_hand = (1 + 1 / (c * 2.0)) * (1 + 1 / (c * (2 + c))) * (1 + 1 / (c * (2 + 2 * c)))
    assert residual_with_norm(3, branch_layers=2, start=2.0) ** 2 == pytest.approx(by_hand)


def test_without_norm_the_scale_of_the_branch_decides():
    assert residual_without_norm(50) == pytest.approx(2**25)
    assert residual_without_norm(10**6, scale=10**-3) == pytest.approx(e**0.5, rel=1e-5)
    assert residual_without_norm(100, scale=0.0) == 1


def test_the_stream_grows_by_c_a_block_and_a_branch_has_its_share():
    assert [stream_variance(blocks) for blocks in (10, 50, 100)] == pytest.approx([7.8, 35.1, 69.2], abs=0.05)
    assert share_of_variance(100) == pytest.approx(C / (1 + 100 * C))
    assert share_of_moment(99) == 0.01
    before, behind = stream_variance(4), stream_variance(5)
    assert share_of_variance(5) == pytest.approx((behind - before) / behind)


def drawn(*layers: nn.Module) -> nn.Sequential:
    """Returns the chain with He's normal weights."""
    for layer in layers:
        for linear in (one for one in layer.modules() if isinstance(one, nn.Linear)):
            nn.init.kaiming_normal_(linear.weight, nonlinearity="relu")
    return nn.Sequential(*layers)


def branch(layers: int = 1) -> nn.Sequential:
    parts = [(nn.BatchNorm1d(WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH)) for _ in range(layers)]
    return nn.Sequential(*(one for several in parts for one in several))


def residual_network(blocks: int = 8, *, layers: int = 1) -> nn.Sequential:
    parts = [Residual(branch(layers)) for _ in range(blocks)]
    return drawn(nn.Linear(WIDTH, WIDTH), nn.BatchNorm1d(WIDTH), *parts, nn.Linear(WIDTH, 10))


@pytest.fixture(autouse=True)
def _seeded():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def case(network: nn.Module) -> Case:
    return opened(network, torch.randn(256, WIDTH), torch.randint(0, 10, (256,)))


@pytest.mark.parametrize(("blocks", "layers"), [(8, 1), (24, 1), (8, 2)])
def test_a_residual_network_is_as_theory_says_from_its_first_addition_on(blocks, layers):
    flow = gradient_flow(case(residual_network(blocks, layers=layers)), size=256)
    assert flow.prediction is not None, flow.no_prediction
    by_formula = residual_with_norm(blocks - 1, branch_layers=layers, start=1 + C)
    assert flow.prediction.value == pytest.approx(by_formula, rel=0.02)
    assert flow.as_theory
    assert flow.is_healthy


def test_a_plain_network_that_explodes_as_theory_says_is_not_healthy():
    network = drawn(
        nn.Linear(WIDTH, WIDTH), *(branch() for _ in range(40)), nn.BatchNorm1d(WIDTH), nn.Linear(WIDTH, 10)
    )
    flow = gradient_flow(case(network), size=256, batches=1)
    assert flow.prediction is not None, flow.no_prediction
    assert flow.prediction.value == pytest.approx(plain_with_norm(39) / 2**0.5, rel=0.1)
    assert flow.as_theory
    assert not flow.is_healthy


def projecting(shared: bool) -> nn.Module:
    """A network whose middle unit projects its normalised input."""

    class Unit(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm, self.projection = nn.BatchNorm1d(WIDTH), nn.Linear(WIDTH, WIDTH)
            self.first, self.rest = nn.Linear(WIDTH, WIDTH), branch()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            h = self.norm(x).relu()
            return self.projection(h if shared else x) + self.rest(self.first(h))

    parts = [Unit() if place == 4 else Residual(branch(2)) for place in range(9)]
    return drawn(nn.Linear(WIDTH, WIDTH), nn.BatchNorm1d(WIDTH), *parts, nn.Linear(WIDTH, 10))


def test_the_variance_starts_anew_where_a_normalised_input_is_projected():
    """Behind the unit v = 2c, and through it the squared gradient is multiplied by (1 + 1/c)/v."""
    flow = gradient_flow(case(projecting(shared=True)), size=256)
    before = [1 + 1 / (C * (1 + C * place)) for place in (1, 2, 3)]
    behind = [1 + 1 / (C * C * place) for place in (2, 3, 4, 5)]
    expected = prod([*before, (1 + 1 / C) / (1 + 4 * C), *behind]) ** 0.5
    assert flow.prediction is not None, flow.no_prediction
    assert flow.prediction.value == pytest.approx(expected, rel=0.03)
    assert flow.as_theory


def test_predictions_agree_within_a_tenth_of_the_logarithm():
    assert as_predicted(4.0**1.099, 4.0)
    assert not as_predicted(4.0**1.101, 4.0)
    assert not as_predicted(4.0**0.899, 4.0)


def changed(change) -> nn.Module:
    network = residual_network(4)
    change(network)
    return network


def with_module(place: int, module: nn.Module):
    def change(network: nn.Sequential) -> None:
        network[place] = module

    return change


def last_linear(network: nn.Sequential) -> nn.Linear:
    return network[4].get_submodule("module.2")  # type: ignore[return-value]


def last_norm(network: nn.Sequential) -> nn.BatchNorm1d:
    return network[4].get_submodule("module.0")  # type: ignore[return-value]


OUTSIDE = {
    "a norm that learned": (lambda net: last_norm(net).weight.data.mul_(1.01), "4.module.0 is not as initialised"),
    "a shift that learned": (lambda net: last_norm(net).bias.data.add_(0.01), "4.module.0 is not as initialised"),
    "other weights": (lambda net: last_linear(net).weight.data.mul_(1.1), "4.module.2 is not as initialised"),
    "no norm": (
        with_module(4, Residual(nn.Sequential(nn.ReLU(), nn.Linear(WIDTH, WIDTH)))),
        "4.module.0 calls relu where the theory has BN–ReLU–linear",
    ),
    "another norm": (
        with_module(4, Residual(nn.Sequential(nn.LayerNorm(WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH)))),
        "4.module.0 is no batch norm",
    ),
    "another activation": (
        with_module(4, Residual(nn.Sequential(nn.BatchNorm1d(WIDTH), nn.GELU(), nn.Linear(WIDTH, WIDTH)))),
        "4.module.1 is a gelu and no ReLU",
    ),
    "an end without a layer": (
        with_module(4, Residual(nn.Sequential(*branch(), nn.BatchNorm1d(WIDTH)))),
        "not BN–ReLU–linear, layer after layer",
    ),
    "an activation on the stream": (
        with_module(4, nn.Sequential(nn.ReLU(), Residual(branch()))),
        "4.1 does not read the sum before it: relu is between",
    ),
    "a scaled shortcut": (
        with_module(4, Residual(branch(), nn.Hardtanh())),
        "the shortcut of 4 is neither the identity nor a projection",
    ),
    "a projection of what is not normalised": (
        with_module(4, Residual(branch(2), nn.Linear(WIDTH, WIDTH))),
        "4.shortcut calls linear where the theory has BN–ReLU–linear",
    ),
    "few inputs": (
        with_module(
            4,
            Residual(
                nn.Sequential(
                    *(nn.BatchNorm1d(WIDTH), nn.ReLU(), drawn(nn.Linear(WIDTH, 64))[0]),
                    *(nn.BatchNorm1d(64), nn.ReLU(), drawn(nn.Linear(64, WIDTH))[0]),
                )
            ),
        ),
        "4.module.5 sums 64 inputs; 256 are needed",
    ),
}


@pytest.mark.parametrize("change", OUTSIDE)
def test_outside_its_conditions_there_is_no_prediction(change):
    alter, reason = OUTSIDE[change]
    flow = gradient_flow(case(changed(alter)), size=256, batches=1)
    assert flow.prediction is None
    assert flow.as_theory is None
    assert reason in flow.no_prediction


def test_a_small_batch_has_no_prediction():
    flow = gradient_flow(case(residual_network(4)), size=64, batches=1)
    assert flow.no_prediction == "3.module.0 sees 64 numbers a channel in a batch; 128 are needed"


def test_a_frozen_norm_has_no_prediction():
    network = residual_network(4)
    last_norm(network).train = lambda mode=True: last_norm(network)  # type: ignore[method-assign]
    last_norm(network).training = False
    assert gradient_flow(case(network), size=256).no_prediction == "4.module.0 is in evaluation mode"


def test_examples_of_few_kinds_have_no_prediction():
    """Two examples, repeated: a unit then has two values, ±1 behind the norm, and its ReLU varies by ¼."""
    images = torch.randn(2, WIDTH).repeat(128, 1)
    flow = gradient_flow(opened(residual_network(4), images, torch.randint(0, 10, (256,))), size=256)
    assert flow.no_prediction.startswith("what the ReLUs give varies 27% less than of normal numbers")


def convolutional(*, side: int, shortcuts: bool) -> Case:
    def unit() -> nn.Module:
        parts = nn.Sequential(nn.BatchNorm2d(32), nn.ReLU(), nn.Conv2d(32, 32, 3, padding=1))
        return Residual(parts) if shortcuts else parts

    network = nn.Sequential(nn.Conv2d(3, 32, 3, padding=1), *(unit() for _ in range(6)), nn.Flatten(), nn.LazyLinear(5))
    for layer in network:
        for convolution in (one for one in layer.modules() if isinstance(one, nn.Conv2d)):
            nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
    images = torch.randn(32, 3, side, side)
    network(images)
    return opened(network, images, torch.randint(0, 5, (32,)))


def test_convolutions_are_predicted_with_what_their_borders_lack():
    flow = gradient_flow(convolutional(side=12, shortcuts=True))
    assert flow.prediction is not None, flow.no_prediction
    assert flow.as_theory


def test_padding_takes_from_the_variance_and_makes_some_of_the_mean():
    """q ((1 − 1/π) A + B/π), written out for 3×3 on 12×12, beside twenty layers of normal weights on normal numbers."""
    inside = [11 / 12, 1, 11 / 12]
    taps = [a * b for a in inside for b in inside]
    expected = (C * sum(taps) + sum(one * (1 - one) for one in taps) / pi) / 9
    x = torch.randn(32, 32, 12, 12).relu()
    found = []
    for _ in range(20):
        weight = torch.randn(32, 32, 3, 3) * (2 / (32 * 9)) ** 0.5
        found.append(float(nn.functional.conv2d(x, weight, padding=1).var((0, 2, 3)).mean()))
    assert sum(found) / 20 == pytest.approx(expected, rel=0.015)
    assert expected == pytest.approx(0.94 * C, rel=0.01)
    reading = conditions._Layer(scale=1.0, inside=sum(taps) / 9, border=sum(one * (1 - one) for one in taps) / 9)
    assert conditions._taps(nn.Conv2d(32, 32, 3, padding=1), (12, 12)) == pytest.approx(taps)
    assert reading.variance == pytest.approx(expected)


@pytest.mark.parametrize(
    ("side", "shortcuts", "reason"),
    [(6, True, "2.module.2 has 21% of its taps outside the map"), (12, False, "1.2 pads, and no shortcut")],
)
def test_padding_that_weighs_has_no_prediction(side, shortcuts, reason):
    assert gradient_flow(convolutional(side=side, shortcuts=shortcuts)).no_prediction.startswith(reason)


def test_the_stream_is_beside_what_theory_says_where_the_gradient_is():
    """De and Smith 2020: v_l = 1 + c l behind block l, of which its branch brought c; the first is measured."""
    stream = diagnose(case(residual_network()), only=("gradients", "signals")).signals.stream  # type: ignore[union-attr]
    assert (stream[0].predicted_variance, stream[0].predicted_share) == (None, None)
    for block, place in enumerate(stream[1:], start=2):
        assert place.predicted_variance == pytest.approx(stream_variance(block), rel=0.03)
        assert place.predicted_share == pytest.approx(share_of_variance(block), rel=0.03)
        assert place.variance == pytest.approx(place.predicted_variance, rel=0.1)
        assert place.share_of_variance == pytest.approx(place.predicted_share, rel=0.2)


def test_the_stream_has_no_lines_where_the_gradient_has_none():
    network = residual_network()
    network[4].module[1] = nn.GELU()  # type: ignore[index]
    stream = diagnose(case(network), only=("gradients", "signals")).signals.stream  # type: ignore[union-attr]
    assert all(place.predicted_variance is None for place in stream)
