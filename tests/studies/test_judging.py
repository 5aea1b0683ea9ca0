"""The rule, on numbers whose verdict is known beforehand."""

from dataclasses import replace
from math import e, inf, nan
from typing import Any

import pytest

from residua.errors import BadSetting
from residua.studies.claim import Claim, Term, Text
from residua.studies.design import Arm, Budget, Study
from residua.studies.judging import first_scale, judge, judge_all, paired_seeds
from residua.studies.statistics import detectable, estimate

WORDS = Text("a", "甲")


def claim(**changed: Any) -> Claim:
    one = Claim(
        name="worse",
        says=WORDS,
        source="He et al. 2015, Fig. 6",
        effect=(Term("deep", "loss"), Term("shallow", "loss", -1.0)),
        smallest=0.5,
        why_smallest=WORDS,
    )
    return replace(one, **changed)


def budget(*, epochs: int | None = 6, decides: tuple[str, ...] = ("worse",)) -> Budget:
    arms = tuple(Arm(name=name, network="resnet20") for name in ("deep", "shallow"))
    return Budget(arms=arms, seeds=5, epochs=epochs, minutes=1.0, decides=decides)


def numbers(deep: list[float], shallow: list[float]) -> dict[str, dict[int, dict[str, float]]]:
    arms = {"deep": deep, "shallow": shallow}
    return {name: {seed: {"loss": value} for seed, value in enumerate(values)} for name, values in arms.items()}


DONE = {"deep": True, "shallow": True}


def verdict_on(effects: list[float], **changed: Any):
    return judge(claim(**changed), numbers(effects, [0.0] * len(effects)), converged=DONE, budget=budget())


@pytest.mark.parametrize(
    ("effects", "answer"),
    [
        ([1.0, 1.1, 1.2], "supported"),
        ([0.1, 0.2, 0.15], "contradicted"),
        ([-1.0, -1.1, -1.2], "contradicted"),
        ([0.4, 0.6, 0.5], "inconclusive"),
        ([5.0, -4.0, 3.0], "inconclusive"),
    ],
)
def test_above_is_decided_by_where_the_whole_interval_lies(effects, answer):
    found = verdict_on(effects)
    assert found.answer == answer
    by_hand = estimate(effects)
    assert (found.n, found.effect) == (3, pytest.approx(by_hand.mean))
    assert (found.low, found.high) == (pytest.approx(by_hand.low), pytest.approx(by_hand.high))
    assert found.detectable == detectable(3, by_hand.deviation)


@pytest.mark.parametrize(
    ("effects", "answer"),
    [
        ([0.1, -0.1, 0.05], "supported"),
        ([1.0, 1.1, 1.2], "contradicted"),
        ([-1.0, -1.1, -1.2], "contradicted"),
        ([0.4, 0.6, 0.5], "inconclusive"),
        ([3.0, -3.0, 0.5], "inconclusive"),
    ],
)
def test_within_is_supported_inside_and_contradicted_outside_on_either_side(effects, answer):
    assert verdict_on(effects, kind="within").answer == answer


def test_an_effect_that_is_exactly_zero_is_within_and_not_above():
    assert verdict_on([0.0, 0.0], kind="within").answer == "supported"
    assert verdict_on([0.0, 0.0]).answer == "contradicted"
    assert verdict_on([0.0, 0.0], smallest=0.0).answer == "inconclusive"


@pytest.mark.parametrize("kind", ["above", "within"])
def test_an_interval_that_touches_the_edge_does_not_decide(kind):
    assert verdict_on([0.5, 0.5, 0.5], kind=kind).answer == "inconclusive"


def test_one_seed_decides_nothing():
    found = verdict_on([100.0])
    assert (found.answer, found.n, found.effect) == ("inconclusive", 1, 100.0)
    assert (found.low, found.high, found.detectable) == (None, None, None)
    assert found.reason is not None
    assert "One seed" in found.reason.en


def test_seeds_are_paired_and_only_those_count_that_all_arms_finished():
    """Two seeds far apart whose difference is the same: unpaired, nothing could be said."""
    given = numbers([1.0, 101.0, 7.0], [0.0, 100.0])
    del given["deep"][2]["loss"]
    assert paired_seeds(claim(), given) == (0, 1)
    found = judge(claim(), given, converged=DONE, budget=budget())
    assert (found.answer, found.n, found.effect, found.low) == ("supported", 2, 1.0, 1.0)


def test_a_claim_without_a_finished_seed_was_not_run():
    found = judge(claim(), numbers([1.0], []), converged=DONE, budget=budget())
    assert (found.answer, found.n, found.needs) == ("not run", 0, None)
    assert found.reason is not None
    assert "loss(shallow)" in found.reason.en


def test_a_quantity_that_no_measure_gives_is_named_with_those_there_are():
    term = Term("deep", "lose")
    found = judge(claim(effect=(term,)), numbers([1.0], [0.0]), converged=DONE, budget=budget())
    assert found.reason is not None
    assert found.reason.en == "No measure has given lose of deep, which claim worse is about; given are: loss."
    waiting = judge(claim(effect=(term,)), {"deep": {0: {}}}, converged=DONE, budget=budget())
    assert waiting.reason is not None
    assert "yet" in waiting.reason.en


def test_terms_are_weighed_and_summed():
    terms = (Term("deep", "loss"), Term("shallow", "loss", -2.0), Term("deep", "loss", 0.5))
    found = judge(claim(effect=terms), numbers([4.0, 4.0], [1.0, 1.0]), converged=DONE, budget=budget())
    assert found.effect == pytest.approx(1.5 * 4 - 2)


def test_a_logarithm_makes_the_effect_a_ratio():
    given = numbers([e * 2, e * 30], [2.0, 30.0])
    found = judge(claim(transform="log"), given, converged=DONE, budget=budget())
    assert found.effect == pytest.approx(1.0)
    assert found.answer == "supported"


@pytest.mark.parametrize("value", [0.0, -0.2])
def test_a_logarithm_of_nothing_is_said_in_one_reason(value):
    given = numbers([1.0, value, -7.0], [1.0, 1.0, 1.0])
    found = judge(claim(transform="log"), given, converged=DONE, budget=budget())
    assert (found.answer, found.n, found.effect) == ("inconclusive", 3, None)
    assert found.reason is not None
    assert f"loss(deep) is {value:.3g} at seed 1".replace("-", "−") in found.reason.en


@pytest.mark.parametrize("transform", ["value", "log"])
def test_a_seed_that_diverged_is_neither_dropped_nor_a_crash(transform):
    found = judge(
        claim(transform=transform),
        numbers([9.0, 9.1, inf, 8.9], [1.0, 1.0, 1.0, 1.0]),
        converged=DONE,
        budget=budget(),
    )
    assert (found.answer, found.n, found.high) == ("supported", 4, None)
    assert found.reason is not None
    assert "seed 2" in found.reason.en


def test_where_the_arm_that_should_be_better_diverges_the_claim_is_contradicted_at_most():
    given = numbers([1.0, 1.0, 1.0], [0.9, inf, 0.95])
    found = judge(claim(), given, converged=DONE, budget=budget())
    assert (found.answer, found.low) == ("contradicted", None)


def test_what_diverged_on_both_sides_decides_nothing():
    found = judge(claim(), numbers([inf, 9.0, 9.1], [inf, 1.0, 1.0]), converged=DONE, budget=budget())
    assert found.answer == "inconclusive"
    assert found.reason is not None
    assert "seed 0" in found.reason.en
    assert verdict_on([nan, 9.0, 9.0]).answer == "inconclusive"


def test_where_every_seed_diverged_the_arm_is_worse():
    found = verdict_on([inf, inf, inf])
    assert (found.answer, found.effect, found.low, found.high) == ("supported", None, None, None)


@pytest.mark.parametrize(
    ("converged", "epochs", "expected"),
    [
        (DONE, 6, False),
        ({"deep": False, "shallow": True}, 6, True),
        ({"deep": True}, 6, True),
        ({"deep": True, "shallow": True, "other": False}, 6, False),
        ({}, None, False),
    ],
)
def test_an_arm_whose_loss_still_falls_ties_the_verdict_to_its_budget(converged, epochs, expected):
    found = judge(claim(), numbers([1.0, 1.0], [0.0, 0.0]), converged=converged, budget=budget(epochs=epochs))
    assert found.at_this_budget is expected


def test_what_no_training_changes_is_tied_to_no_budget():
    found = judge(claim(learns=False), numbers([1.0, 1.0], [0.0, 0.0]), converged={}, budget=budget(epochs=1))
    assert not found.at_this_budget


def study() -> Study:
    return Study(
        name="s",
        title=WORDS,
        question=WORDS,
        fairness=WORDS,
        claims=(claim(), claim(name="larger"), claim(name="never")),
        measures=(),
        budgets={
            "paper": budget(decides=("worse", "larger")),
            "quick": budget(),
            "laptop": budget(decides=("larger",)),
        },
        figures=(),
    )


def test_a_claim_that_a_scale_cannot_decide_is_not_run_and_names_the_first_that_can():
    assert [first_scale(study(), one) for one in ("worse", "larger", "never")] == ["quick", "laptop", None]
    found = judge_all(study(), "quick", numbers([1.0, 1.0], [0.0, 0.0]), converged=DONE)
    assert [one.claim for one in found] == ["worse", "larger", "never"]
    assert [one.answer for one in found] == ["supported", "not run", "not run"]
    assert [one.needs for one in found] == [None, "laptop", None]
    assert found[1].n == 0
    assert found[1].effect is None


def test_an_arm_that_is_misspelt_is_one_line():
    with pytest.raises(BadSetting, match="claim worse: 'deap' is no arm; did you mean 'deep'"):
        judge(claim(effect=(Term("deap", "loss"),)), {}, converged={}, budget=budget())
