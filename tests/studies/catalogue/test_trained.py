"""Studies that look into trained networks share the trials of the degradation study, and claim what is measured."""

from dataclasses import replace

import pytest

from residua.studies import catalogue
from residua.studies.catalogue import degradation
from residua.studies.design import Study

NUMBERS = {
    "lesion": {"whole_error", "chance", "lesion_error", "lesion_rise", "transition_rise", "recalibrated_rise"},
    "paths": {"path_length", "half_the_blocks", "decay", "effective_paths"},
    "estimation": {"first_cosine", "largest_fall", "largest_step"},
}
SERIES = {
    "lesion": {"lesion_error", "whole_error", "several_error", "swapped_error"},
    "paths": {"gradient_share", "path_share", "path_norm"},
    "estimation": {"cosine"},
}


@pytest.fixture(params=sorted(NUMBERS))
def study(request: pytest.FixtureRequest) -> Study:
    return catalogue.study(request.param)


def test_its_trials_are_those_of_the_degradation_study(study):
    for scale, budget in study.budgets.items():
        whole = degradation.STUDY.budgets[scale]
        assert set(budget.arms) < set(whole.arms)
        assert replace(budget, arms=whole.arms, decides=whole.decides) == whole


def test_every_claim_is_of_arms_it_runs_and_of_numbers_it_measures(study):
    names = {claim.name for claim in study.claims}
    for budget in study.budgets.values():
        arms = {arm.name for arm in budget.arms}
        assert set(budget.decides) == names
        for term in (term for claim in study.claims for term in claim.effect):
            assert term.arm in arms
            assert term.quantity in NUMBERS[study.name]


def test_every_figure_is_of_what_is_measured(study):
    for figure in study.figures:
        known = SERIES[study.name] if figure.kind == "course" else NUMBERS[study.name]
        assert {figure.quantity, figure.second, figure.prediction} - {""} <= known


def test_both_languages_are_there(study):
    texts = [study.title, study.question, study.fairness, *study.remarks]
    texts += [text for claim in study.claims for text in (claim.says, claim.why_smallest)]
    texts += [text for figure in study.figures for text in (figure.title, figure.y)]
    for text in texts:
        assert text.en.isascii() or not any("\u4e00" <= letter <= "\u9fff" for letter in text.en)
        assert any("\u4e00" <= letter <= "\u9fff" for letter in text.zh)
