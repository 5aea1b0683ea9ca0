"""The studies that train nothing: their parts fit together, and one seed of each gives every quantity."""

from importlib import import_module

import pytest
import torch

from residua.diagnostics.case import Case, opened
from residua.networks.network import build
from residua.networks.spec import NetworkSpec
from residua.studies.claim import Text
from residua.studies.design import Arm, Study
from residua.studies.judging import effect, paired_seeds
from residua.studies.sentences import formula
from residua.studies.trial import Trial

NAMES = ("vanishing", "signals", "additive", "shattering")
CONTRADICTED = {"tanh_vanishes", "leaky_passes_more", "prelu_passes_more", "shatters_without_norm"}
"""At the quick scale with five seeds."""
UNDECIDED = {"share_of_moment_as_predicted", "scaled_as_predicted"}


def study(name: str) -> Study:
    found = import_module(f"residua.studies.catalogue.{name}").STUDY
    assert found.name == name
    return found


def trial(arm: Arm, seed: int) -> Trial:
    generator = torch.Generator().manual_seed(seed)
    images, labels = torch.randn(64, 1, 8, 8, generator=generator), torch.arange(64) % 10

    def network() -> torch.nn.Module:
        if isinstance(arm.network, NetworkSpec):
            return build(arm.network, seed=seed)
        assert callable(arm.network)
        return arm.network(seed)

    def case(examples: int) -> Case:
        return opened(network(), images[:examples], labels[:examples])

    return Trial(arm=arm.name, seed=seed, network=network, case=case, run=None)


@pytest.mark.parametrize("name", NAMES)
def test_a_study_is_whole(name):
    found = study(name)
    claims = [one.name for one in found.claims]
    assert len(set(claims)) == len(claims) >= 5
    for budget in found.budgets.values():
        arms = [one.name for one in budget.arms]
        assert len(set(arms)) == len(arms)
        assert {term.arm for one in found.claims for term in one.effect} <= set(arms)
        assert budget.epochs is None
        assert set(budget.decides) == set(claims)
        assert budget.seeds >= 5
    assert found.budgets["quick"].minutes <= 1 / 3


@pytest.mark.parametrize("name", NAMES)
def test_every_sentence_is_there_in_both_languages(name):
    found = study(name)
    texts = [found.title, found.question, found.fairness, *found.remarks]
    for claim in found.claims:
        texts += [claim.says, claim.why_smallest, *([claim.published] if claim.published else [])]
        assert claim.source
        assert claim.smallest > 0
    for figure in found.figures:
        texts += [figure.title, *([figure.x] if figure.x else [])]
    assert all(isinstance(one, Text) and one.en and one.zh for one in texts)
    assert all(any("\u4e00" <= letter <= "\u9fff" for letter in one.zh) for one in (found.question, found.fairness))


@pytest.mark.parametrize("name", NAMES)
def test_one_seed_gives_every_quantity_of_claims_and_figures(name):
    """And the effect at that seed lies on the side of m that five seeds decided."""
    found = study(name)
    made = {
        arm.name: [measure.function(trial(arm, 0)) for measure in found.measures] for arm in found.budgets["quick"].arms
    }
    numbers = {
        arm: {0: {quantity: value for one in ones for quantity, value in one.numbers.items()}}
        for arm, ones in made.items()
    }
    for claim in found.claims:
        assert paired_seeds(claim, numbers) == (0,), formula(claim)
        if claim.transform == "log":
            numbers_of = [numbers[term.arm][0][term.quantity] for term in claim.effect]
            assert min(numbers_of) > 0
        if claim.name not in UNDECIDED:
            seen = effect(claim, numbers, 0)
            holds = seen > claim.smallest if claim.kind == "above" else abs(seen) < claim.smallest
            assert holds is (claim.name not in CONTRADICTED), (claim.name, seen)
    series = {label for ones in made.values() for one in ones for label in one.series}
    for figure in found.figures:
        known = series if figure.kind == "course" else {key for by in numbers.values() for key in by[0]}
        assert {figure.quantity, figure.second, figure.prediction} - {""} <= known
