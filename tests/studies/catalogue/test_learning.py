"""The studies of stochastic depth, Fixup and the optimizers: their arms are what their texts say."""

from dataclasses import replace
from math import log
from pathlib import Path

import pytest

from residua.studies import catalogue
from residua.studies.catalogue import degradation, fixup, optimisers, responses, stochastic_depth
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
NAMES = ("fixup-8", "skipinit-8", "he-56", "norm-8")


def plans(study: Study, store: Path, *names: str) -> dict[str, Plan]:
    """Returns the plans of some arms at the quick scale, which reads no file of images."""
    schedule = Schedule(study, "quick", store=Store(store))
    rate = schedule.budget.learning_rates[0] if schedule.budget.learning_rates else None
    found = {arm.name: schedule.assignment(arm, 0, rate) for arm in schedule.budget.arms if arm.name in names}
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
    found = plans(stochastic_depth.STUDY, tmp_path, "p = 1", "p = 0.5")
    whole, least = (found[name].specification for name in ("p = 1", "p = 0.5"))
    assert (whole.last_survival, least.last_survival) == (1.0, 0.5)
    assert replace(least, last_survival=1.0) == whole


def test_keeping_all_blocks_is_a_trial_of_the_degradation_study():
    """At the laptop scale, where the same settings train it."""
    whole = next(one for one in degradation.LAPTOP.arms if one.name == "residual-56")
    ours = stochastic_depth.STUDY.budgets["laptop"]
    assert (ours.arms[0].network, ours.arms[0].settings) == (whole.network, whole.settings)
    same = ("source", "epochs", "settings", "learning_rates", "seeds", "recipe")
    assert all(getattr(ours, name) == getattr(degradation.LAPTOP, name) for name in same)


def test_responses_are_of_the_trials_of_degradation_and_of_a_long_run_alone():
    budget = responses.STUDY.budgets["paper"]
    assert list(responses.STUDY.budgets) == ["paper"]
    assert replace(budget, decides=degradation.PAPER.decides) == degradation.PAPER
    terms = [term for claim in responses.CLAIMS for term in claim.effect]
    assert {term.quantity for term in terms} == {"mean_response"}
    assert {term.arm for term in terms} < {arm.name for arm in budget.arms}


def test_fixups_arms_have_the_start_and_the_norm_that_they_are_named_after(tmp_path):
    found = {name: one.specification for name, one in plans(fixup.STUDY, tmp_path, *NAMES).items()}
    assert set(found) == set(NAMES)
    starts = {"fixup": "fixup", "skipinit": "skipinit", "he": "he_fan_out", "norm": "he_fan_out"}
    for name, spec in found.items():
        group, _, depth = name.partition("-")
        assert spec.initialization == starts[group]
        assert spec.norm == ("batch" if group == "norm" else "none")
        assert spec.depth == int(depth)
    assert sum(found["he-56"].blocks) == 9 * sum(found["fixup-8"].blocks)
    assert {claim.smallest for claim in fixup.CLAIMS} == {log(9) / 2, log(9)}


def test_optimizers_share_all_but_the_optimizer(tmp_path):
    names = ("plain-20-sgd", "plain-20-adam", "plain-20-rmsprop", "residual-56-adam")
    found = plans(optimisers.STUDY, tmp_path, *names)
    assert set(found) == set(names)
    for name, one in found.items():
        network, _, kind = name.rpartition("-")
        optimizer = one.recipe.optimizer
        assert optimizer.kind == kind
        assert optimizer.weight_decay == 0
        assert (one.specification.depth, one.specification.is_plain) == (int(network[-2:]), network[:5] == "plain")
    assert len({found[name].specification for name in names[:3]}) == 1
    alike = {(one.epochs, one.recipe.batch_size, one.recipe.schedule, one.precision) for one in found.values()}
    assert len(alike) == 1
    rmsprop = found["plain-20-rmsprop"].recipe.optimizer
    assert (rmsprop.momentum, rmsprop.second_moment_decay) == (0.0, 0.99)
