"""A linear network's loss on a plane has a closed form; what is measured on it is counted by hand."""

from dataclasses import replace
from math import exp

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from residua.diagnostics.case import Case, Examples, opened
from residua.diagnostics.landscape.directions import random_pair
from residua.report.study_surface import surfaces
from residua.studies.design import FigureSpec
from residua.studies.measures.landscape import as_series, landscape
from residua.studies.results import Results
from residua.studies.trial import Measurement, Trial
from tests.studies.tiny import NETWORK, WORD, budget, study

SEED = 3
SIZE = 2.0
"""Of each input, so that the losses of the plane are some within 1 of the centre's and some not."""


def trial_of(module: nn.Module, case: Case, *, seed: int = SEED) -> Trial:
    return Trial(arm="a", seed=seed, network=lambda: module, case=lambda _: case, run=None)


def linear() -> tuple[nn.Linear, Case]:
    generator = torch.Generator().manual_seed(0)
    module = nn.Linear(4, 3)
    with torch.no_grad():
        module.weight.copy_(torch.randn(3, 4, generator=generator))
        module.bias.zero_()
    images, labels = SIZE * torch.randn(40, 4, generator=generator), torch.randint(0, 3, (40,), generator=generator)
    return module, opened(module, images, labels)


@pytest.fixture(scope="module")
def measured() -> Measurement:
    return landscape(trial_of(*linear()))


def by_hand() -> np.ndarray:
    """Returns the losses [β, α] of the nine by nine points, one forward pass each, in float64."""
    module, case = linear()
    x, y = (one.vector.double()[:12].reshape(3, 4) for one in random_pair(module, seed=SEED))
    inputs, weight, found = case.examples.args[0].double(), module.weight.detach().double(), np.zeros((9, 9))
    for j, b in enumerate(np.linspace(-1, 1, 9)):
        for i, a in enumerate(np.linspace(-1, 1, 9)):
            logits = inputs @ (weight + a * x + b * y).T
            found[j, i] = float(nn.functional.cross_entropy(logits, case.examples.labels))
    return found


def test_the_numbers_are_those_of_the_losses_counted_by_hand(measured):
    losses = by_hand()
    centre = losses[4, 4]
    assert measured.numbers["centre_loss"] == pytest.approx(centre, rel=1e-5)
    assert 0.1 < measured.numbers["near_frozen"] < 0.9
    assert measured.numbers["near_frozen"] == pytest.approx((abs(losses - centre) <= 1).mean())
    assert measured.numbers["median_frozen"] == pytest.approx(float(np.median(losses)), rel=1e-5)


def test_cross_entropy_is_convex_in_the_logits_and_so_in_a_linear_layer(measured):
    """Every line falls and then rises: no roughness, and no point that bends down."""
    assert measured.numbers["non_convex"] == 0.0
    assert measured.numbers["roughness_frozen"] == pytest.approx(0.0, abs=1e-5)


def test_without_a_norm_both_policies_are_the_same(measured):
    for name in ("near", "roughness", "median"):
        assert measured.numbers[f"{name}_frozen"] == measured.numbers[f"{name}_recalibrated"]


def test_the_series_hold_the_surface_row_by_row(measured):
    losses = by_hand()
    for j, b in enumerate(np.linspace(-1, 1, 9)):
        points = measured.series[f"frozen {float(b)!r}"]
        assert [x for x, _ in points] == pytest.approx(np.linspace(-1, 1, 9).tolist())
        assert [y for _, y in points] == pytest.approx(losses[j].tolist(), rel=1e-4)


class Normed(nn.Module):
    """A layer, a batch norm whose statistics do not fit it, and a second layer."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        self.first, self.norm, self.second = nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, 3)
        with torch.no_grad():
            for one in (self.first.weight, self.second.weight):
                one.copy_(torch.randn(one.shape, generator=generator))
            self.norm.running_var.fill_(exp(-6))  # type: ignore[union-attr]

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.norm(self.first(x)).relu())


def test_statistics_that_do_not_fit_part_the_policies():
    """Frozen, the second layer reads what is e³ times too large; taken anew, what it was made for."""
    module, (_, like) = Normed(), linear()
    found = landscape(trial_of(module, opened(module.eval(), like.examples.args[0], like.examples.labels)))
    assert found.numbers["median_frozen"] > 5 * found.numbers["median_recalibrated"]
    assert found.numbers["near_frozen"] < found.numbers["near_recalibrated"]


def test_another_seed_looks_along_other_directions(measured):
    module, case = linear()
    other = landscape(trial_of(module, case, seed=SEED + 1))
    assert other.numbers["centre_loss"] == measured.numbers["centre_loss"]
    assert other.series != measured.series


def test_only_training_images_are_looked_at_and_the_network_is_left_alone(measured):
    module, case = linear()
    before = module.weight.detach().clone()
    strange = Examples(args=(1e3 * torch.ones(4, 4),), labels=torch.zeros(4, dtype=torch.long))
    assert landscape(trial_of(module, replace(case, held_out=strange))).numbers == measured.numbers
    assert torch.equal(module.weight, before)


def test_a_point_that_is_not_finite_is_left_out():
    rows = as_series("frozen", [0.0, 1.0], [-1.0, 1.0], [[1.0, float("inf")], [float("nan"), 2.0]])
    assert rows == {"frozen -1.0": ((0.0, 1.0),), "frozen 1.0": ((1.0, 2.0),)}


def test_a_figure_draws_what_is_measured(measured):
    """Row j of the picture is β_j, column i is α_i, as the losses by hand are."""
    made = budget()
    arm = replace(made.arms[0], network=NETWORK)
    whole = study(replace(made, arms=(arm,), decides=()), claims=())
    results = Results(
        study=whole, scale="quick", budget=whole.budgets["quick"], seeds=(0,), series={arm.name: {0: measured.series}}
    )
    figure = surfaces(FigureSpec(kind="surface", title=WORD, y=WORD, quantity="frozen"), results, "en")
    drawn = figure.axes[0].collections[0].get_array()
    assert drawn is not None
    np.testing.assert_allclose(drawn.reshape(9, 9), by_hand(), rtol=1e-4)
