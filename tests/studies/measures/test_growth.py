"""The growth of a gradient through dense units, against closed forms and the chain rule written out."""

from math import e, log

import pytest
import torch
from torch import nn

from residua.diagnostics import predictions
from residua.errors import BadNetwork
from residua.studies.dense import INPUTS_FROM, Dense
from residua.studies.measures.growth import GRADIENTS_FROM, growth, predicted

from ..test_dense import trial


def measured(seed: int = 0, **spec):
    return growth(trial(lambda: Dense(**spec)(seed), seed=seed))


def test_branches_times_zero_leave_the_gradient_as_it_is():
    found = measured(depth=5, width=16, norm=False, scale=0.0)
    assert found.numbers == {"gradient_ratio": 1.0, "predicted_gradient_ratio": 1.0}
    assert found.series["gradient"] == tuple((float(unit), 1.0) for unit in range(6))


def test_the_norms_are_those_of_the_chain_rule_written_out():
    """One plain ReLU unit: ∂L/∂x_0 = 1[x_0 > 0] ⊙ (W^T g), row by row."""
    spec, generator = Dense(depth=1, width=8, norm=False, shortcuts=False), torch.Generator()
    network = spec(2)
    x = torch.randn(8, 8, generator=generator.manual_seed(INPUTS_FROM + 2))
    g = torch.randn(8, 8, generator=generator.manual_seed(GRADIENTS_FROM + 2))
    (layer,) = (one for one in network.units.modules() if isinstance(one, nn.Linear))
    weights = layer.weight.detach()
    assert len({round(float(one[0, 0]) / scale, 4) for one, scale in ((x, 1), (g, 1), (weights, 0.5))}) == 3
    by_hand = torch.stack([(x[i] > 0) * (weights.T @ g[i]) for i in range(8)])
    found = growth(trial(lambda: network, seed=2))
    assert found.numbers["gradient_ratio"] == pytest.approx(float(by_hand.norm() / g.norm()), rel=1e-5)


@pytest.mark.parametrize(
    ("spec", "ratio"),
    [
        ({"norm": True, "shortcuts": False}, predictions.plain_with_norm(19)),
        ({"norm": True, "shortcuts": True}, predictions.residual_with_norm(20)),
        ({"norm": True, "shortcuts": True, "layers": 2}, predictions.residual_with_norm(20, branch_layers=2)),
        ({"norm": False, "shortcuts": True}, 2.0**10),
        ({"norm": False, "shortcuts": True, "scale": 20**-0.5}, (1 + 1 / 20) ** 10),
        ({"norm": False, "shortcuts": False, "scale": 0.5}, 0.5**20),
    ],
)
def test_a_network_of_the_theory_is_as_predicted(spec, ratio):
    """Median of three seeds at width 128, to 8 % of the logarithm; 5 % is the study's own claim."""
    found = [measured(seed, depth=20, width=128, **spec).numbers for seed in range(3)]
    assert found[0]["predicted_gradient_ratio"] == pytest.approx(ratio)
    median = sorted(log(one["gradient_ratio"]) for one in found)[1]
    assert median == pytest.approx(log(ratio), rel=0.08)


def test_a_series_ends_at_one_and_its_prediction_at_the_ratio_itself():
    found = measured(depth=10, width=32)
    assert found.series["gradient"][-1] == (10.0, 1.0)
    assert found.series["predicted_gradient"][0] == (0.0, pytest.approx(found.numbers["predicted_gradient_ratio"]))
    assert found.series["predicted_gradient"][-1] == (10.0, pytest.approx(1.0))
    assert found.series["gradient"][0][1] == found.numbers["gradient_ratio"]


def test_what_vanishes_below_float32_is_still_a_number():
    ratio = measured(depth=50, width=16, activation="sigmoid", norm=False, shortcuts=False).numbers["gradient_ratio"]
    assert 1e-45 < ratio < 1e-25


@pytest.mark.parametrize(
    "changed",
    [
        {"activation": "tanh"},
        {"activation": "leaky_relu"},
        {"gain": 1.0},
        {"norm": True, "scale": 0.5},
        {"norm": True, "scale": 0.5, "shortcuts": False},
    ],
)
def test_nothing_is_predicted_outside_of_the_conditions(changed):
    spec = Dense(depth=10, width=16, **changed)
    assert predicted(spec, 10) is None
    assert "predicted_gradient_ratio" not in growth(trial(lambda: spec(0))).numbers


def test_the_limit_of_scaled_branches_is_the_root_of_e():
    assert predicted(Dense(depth=10**4, norm=False, scale=10**-2), 10**4) == pytest.approx(e**0.5, rel=1e-4)


def test_the_network_comes_back_as_it_was():
    network = Dense(depth=2, width=8)(0).eval()
    before = {name: one.clone() for name, one in network.state_dict().items()}
    growth(trial(lambda: network))
    assert all(torch.equal(one, before[name]) for name, one in network.state_dict().items())
    assert not network.training
    assert all(one.requires_grad and one.grad is None for one in network.parameters())


def test_a_network_without_units_is_refused():
    with pytest.raises(BadNetwork, match="no units"):
        growth(trial(lambda: nn.Linear(2, 2)))
