"""The studies of stochastic depth, Fixup and the optimizers: their arms are what their texts say."""

from math import log
from pathlib import Path

import pytest

from residua.studies import catalogue
from residua.studies.catalogue import degradation, fixup, optimisers, stochastic_depth
from residua.studies.design import SCALES, Study
from residua.studies.schedule import Schedule
from residua.studies.store import Store
from residua.training.plan import Plan

NUMBERS = {
    "stochastic_depth": {
        *("kept_share", "predicted_kept_share", "time_saved", "predicted_time_saved"),
        *("train_loss", "train_error", "test_loss", "test_error", "gap", "seconds"),
    },
    "fixup": {"first_change", "largest_rate"},
    "optimisers": {"train_loss", "train_error", "test_loss", "test_error", "gap", "seconds"},
}


def plans(study: Study, store: Path) -> dict[str, Plan]:
    """Returns the plan of every arm at the quick scale, which reads no file of images."""
    schedule = Schedule(study, "quick", store=Store(store))
    rate = schedule.budget.learning_rates[0] if schedule.budget.learning_rates else None
    found = {arm.name: schedule.assignment(arm, 0, rate) for arm in schedule.budget.arms}
    return {name: one.decided for name, one in found.items() if one is not None and one.decided is not None}


@pytest.fixture(params=sorted(NUMBERS))
def study(request: pytest.FixtureRequest) -> Study:
    return catalogue.study(request.param)


def test_claims_and_figures_are_of_what_is_measured(study):
    for claim in study.claims:
        assert {term.quantity for term in claim.effect} <= NUMBERS[study.name]
        assert claim.smallest > 0
        assert claim.source
    for figure in study.figures:
        assert {figure.quantity, figure.second, figure.prediction} - {""} <= NUMBERS[study.name]


def test_claims_are_decided_from_the_first_scale_that_can(study):
    """What a smaller scale decides a larger one decides too, but where an hour is too short for all arms."""
    first, *larger = [study.budgets[one].decides for one in SCALES if one in study.budgets]
    assert set(first) <= set(larger[-1])
    quick = study.budgets["quick"]
    assert quick.source == "digits"
    assert quick.seeds >= 5
    assert study.budgets["laptop"].minutes <= 60


def test_stochastic_depth_differs_in_survival_alone(tmp_path):
    found = plans(stochastic_depth.STUDY, tmp_path)
    assert {name: one.specification.last_survival for name, one in found.items()} == {
        "p = 1": 1.0,
        "p = 0.8": 0.8,
        "p = 0.5": 0.5,
        "p = 0.2": 0.2,
    }
    assert len({one.specification.blocks for one in found.values()}) == 1


def test_keeping_all_blocks_is_a_trial_of_the_degradation_study():
    """At the laptop scale, where the same settings train it."""
    whole = next(one for one in degradation.LAPTOP.arms if one.name == "residual-56")
    ours = stochastic_depth.STUDY.budgets["laptop"]
    assert (ours.arms[0].network, ours.arms[0].settings) == (whole.network, whole.settings)
    same = ("source", "epochs", "settings", "learning_rates", "seeds", "recipe")
    assert all(getattr(ours, name) == getattr(degradation.LAPTOP, name) for name in same)


def test_fixups_arms_have_the_start_and_the_norm_that_they_are_named_after(tmp_path):
    found = {name: one.specification for name, one in plans(fixup.STUDY, tmp_path).items()}
    starts = {"fixup": "fixup", "skipinit": "skipinit", "he": "he_fan_out", "norm": "he_fan_out"}
    for name, spec in found.items():
        group, _, depth = name.partition("-")
        assert spec.initialization == starts[group]
        assert spec.norm == ("batch" if group == "norm" else "none")
        assert spec.depth == int(depth)
    blocks = sum(found["he-56"].blocks) / sum(found["he-8"].blocks)
    assert {claim.smallest for claim in fixup.CLAIMS} == {log(blocks) / 2, log(blocks)}


def test_optimizers_share_all_but_the_optimizer(tmp_path):
    found = plans(optimisers.STUDY, tmp_path)
    assert len(found) == 9
    for name, one in found.items():
        network, _, kind = name.rpartition("-")
        optimizer = one.recipe.optimizer
        assert optimizer.kind == kind
        assert optimizer.weight_decay == 0
        assert (one.specification.depth, one.specification.is_plain) == (int(network[-2:]), network[:5] == "plain")
    for network in ("plain-20", "plain-56", "residual-56"):
        alike = [found[f"{network}-{kind}"] for kind in ("sgd", "adam", "rmsprop")]
        assert len({one.specification for one in alike}) == 1
        assert len({(one.epochs, one.recipe.batch_size, one.recipe.schedule, one.precision) for one in alike}) == 1
    rmsprop = found["plain-20-rmsprop"].recipe.optimizer
    assert (rmsprop.momentum, rmsprop.second_moment_decay) == (0.0, 0.99)
