"""The studies of the loss around trained networks ask the networks of the degradation study, and what is measured."""

from pathlib import Path

import pytest

from residua.studies import catalogue
from residua.studies.catalogue import degradation
from residua.studies.claim import Claim
from residua.studies.design import Study
from residua.studies.judging import effect
from residua.studies.schedule import Schedule
from residua.studies.store import Store

OF_THE_RUN = {"train_loss", "train_error", "test_loss", "test_error", "gap", "seconds"}
NUMBERS = {
    "landscape": {
        "centre_loss",
        "non_convex",
        *(f"{name}_{policy}" for name in ("near", "roughness", "median") for policy in ("frozen", "recalibrated")),
    },
    "curvature": {
        "top_eigenvalue",
        "lowest_eigenvalue",
        "trace",
        "draws_apart",
        "negative",
        "residual",
        "gradient_norm",
        "loss",
    },
}
SURFACES = {"frozen", "recalibrated"}


@pytest.fixture(params=sorted(NUMBERS))
def study(request: pytest.FixtureRequest) -> Study:
    return catalogue.study(request.param)


def test_nothing_is_trained_that_degradation_has_not(study: Study, tmp_path: Path):
    store = Store(tmp_path)
    made, whole = Schedule(study, "quick", store=store), Schedule(degradation.STUDY, "quick", store=store)
    for arm in made.budget.arms:
        for seed in range(made.budget.seeds):
            ours, theirs = made.assignment(arm, seed, 0.1), whole.assignment(arm, seed, 0.1)
            assert ours is not None
            assert theirs is not None
            assert ours.address == theirs.address
    for scale, budget in study.budgets.items():
        assert budget.arms == degradation.STUDY.budgets[scale].arms
        assert budget.seeds == degradation.STUDY.budgets[scale].seeds
        assert budget.minutes > degradation.STUDY.budgets[scale].minutes


def test_every_claim_is_of_arms_it_runs_and_of_numbers_it_measures(study: Study):
    arms = {arm.name for arm in study.budgets["quick"].arms}
    for claim in study.claims:
        for term in claim.effect:
            assert term.arm in arms
            assert term.quantity in NUMBERS[study.name]


def test_every_figure_is_of_what_is_measured(study: Study):
    for figure in study.figures:
        known = SURFACES if figure.kind == "surface" else NUMBERS[study.name] | OF_THE_RUN
        assert {figure.quantity, figure.second, figure.prediction} - {""} <= known


def test_the_published_picture_supports_each_claim_of_the_landscape():
    """Bowls within reach, without ridges, but for plain-56: the sign of each effect is that of what it says."""
    bowl = {"near": 0.6, "roughness": 0.0}
    chaos = {"near": 0.1, "roughness": 1.5}
    numbers = {}
    for arm in ("plain-20", "plain-56", "residual-20", "residual-56"):
        seen = chaos if arm == "plain-56" else bowl
        both = {f"{name}_{policy}": value for name, value in seen.items() for policy in SURFACES}
        numbers[arm] = {0: {**both, "non_convex": 0.8 if arm == "plain-56" else 0.0}}
    for claim in catalogue.study("landscape").claims:
        found = effect(claim, numbers, 0)
        assert abs(found) < claim.smallest if claim.kind == "within" else found > claim.smallest


def test_a_network_four_times_as_sharp_supports_each_claim_of_curvature():
    numbers = {
        arm: {0: {"top_eigenvalue": 40.0 * sharp, "trace": 400.0 * sharp}}
        for arm, sharp in (("plain-56", 4.0), ("plain-20", 1.0), ("residual-56", 1.0))
    }
    for claim in catalogue.study("curvature").claims:
        assert effect(claim, numbers, 0) > claim.smallest


def test_policies_are_claimed_alike():
    """The ranking may change with the policy, so that one claim stands beside the other with the same smallest."""
    claims: dict[str, Claim] = {claim.name: claim for claim in catalogue.study("landscape").claims}
    for name in ("nearer", "smoother"):
        frozen, anew = claims[name], claims[f"{name}_recalibrated"]
        assert frozen.smallest == anew.smallest
        assert [(term.arm, term.weight) for term in frozen.effect] == [(term.arm, term.weight) for term in anew.effect]
        assert all(term.quantity.endswith("_frozen") for term in frozen.effect)
        assert all(term.quantity.endswith("_recalibrated") for term in anew.effect)
