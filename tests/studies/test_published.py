"""The rule on numbers that others printed: single runs decide nothing, printed spreads decide what they carry."""

from itertools import pairwise
from typing import Literal

import numpy as np
import pytest

from residua.studies import published
from residua.studies.claim import Claim, Term
from residua.studies.judging import answer_to, judge
from residua.studies.statistics import Summary, difference, estimate

from .test_judging import DONE, WORDS, budget, claim, numbers

FIVE = published.HE_2015_RESNET110


def answer(one: Summary, other: Summary, smallest: float = 0.5) -> str:
    found = difference(one, other)
    assert found is not None
    return answer_to(claim(smallest=smallest), found)


def single(value: float) -> Summary:
    return Summary(mean=value, deviation=None, n=1)


def test_two_groups_have_welchs_interval_of_the_textbooks():
    """Student's sleep data as two groups of ten: t.test of R prints −3.3655 to 0.2055."""
    found = difference(Summary(mean=0.75, deviation=1.789010, n=10), Summary(mean=2.33, deviation=2.002249, n=10))
    assert found is not None
    assert (found.low, found.high) == (pytest.approx(-3.3655, abs=1e-4), pytest.approx(0.2055, abs=1e-4))


def test_one_run_beside_several_has_the_interval_of_a_next_run():
    """x̄ ± t s √(1 + 1/n), written out for five runs: 0.16 · 2.776 · √1.2 = 0.487."""
    for one, other in ((single(8.0), FIVE), (FIVE, single(8.0))):
        found = difference(one, other)
        assert found is not None
        assert abs(found.mean) == pytest.approx(8.0 - 6.61)
        assert (found.high - found.low) / 2 == pytest.approx(0.487, abs=1e-3)


def test_a_middle_without_a_spread_counts_as_one_run_however_many_it_is_of():
    found, of_one = difference(Summary(mean=8.0, deviation=None, n=5), FIVE), difference(single(8.0), FIVE)
    assert found is not None
    assert of_one is not None
    assert (found.low, found.high) == (of_one.low, of_one.high)


def test_nothing_is_said_where_neither_has_a_spread():
    assert difference(single(6.0), single(7.0)) is None


def test_a_table_of_single_runs_decides_nothing():
    table = published.HE_2015_TABLE_6
    for shallow, deep in pairwise(table):
        found = judge(claim(), numbers([table[shallow]], [table[deep]]), converged=DONE, budget=budget())
        assert (found.answer, found.low, found.n) == ("inconclusive", None, 1)
    for name, error in published.HE_2016_TABLE_1.items():
        found = judge(claim(), numbers([error], [6.61]), converged=DONE, budget=budget())
        assert found.answer == "inconclusive", name


def test_two_reruns_show_the_degradation_at_56_layers_alone():
    runs = published.RERUNS_PLAIN
    for deep, expected in ((32, "inconclusive"), (44, "inconclusive"), (56, "supported")):
        given = numbers([one[deep] for one in runs], [one[20] for one in runs])
        found = judge(claim(), given, converged=DONE, budget=budget())
        assert (found.answer, found.n) == (expected, 2), deep


def test_the_reruns_of_56_layers_are_worse_than_five_runs_of_110_by_more_than_half_a_point():
    assert answer(published.RERUNS_RESNET56, FIVE) == "supported"
    assert answer(single(published.HE_2015_TABLE_6[56]), FIVE) == "inconclusive"


def test_the_shortcuts_of_table_1_are_worse_but_for_the_gate_that_begins_closed():
    answers = {name: answer(single(error), FIVE) for name, error in published.HE_2016_TABLE_1.items()}
    assert (
        answers.pop("original") == "contradicted"
    )  # its difference from itself is 0, and the spread under half a point
    assert {name for name, one in answers.items() if one != "supported"} == {"shortcut-only gating, b = −6"}
    assert answers["shortcut-only gating, b = −6"] == "inconclusive"


def test_of_the_orders_at_110_layers_two_are_worse_and_none_is_shown_to_be_better():
    answers = {name: answer(single(errors[0]), FIVE) for name, errors in published.HE_2016_TABLE_2.items()}
    assert {name for name, one in answers.items() if one == "supported"} == {
        "bn_after_addition",
        "relu_before_addition",
    }
    assert answer(FIVE, single(published.HE_2016_TABLE_2["full_preactivation"][0])) == "inconclusive"


def simulated(
    mean: float, *, kind: Literal["above", "within"], studies: int = 2000, seeds: int = 5
) -> dict[str, float]:
    """Returns how often each answer is given at a true mean, with effects of standard deviation 1."""
    one = Claim(name="s", says=WORDS, source="", effect=(Term("a", "q"),), smallest=1.0, kind=kind, why_smallest=WORDS)
    drawn = np.random.default_rng(0).normal(mean, 1.0, (studies, seeds)).tolist()
    answers = [answer_to(one, estimate(effects)) for effects in drawn]
    return {each: answers.count(each) / studies for each in ("supported", "contradicted", "inconclusive")}


@pytest.mark.parametrize("kind", ["above", "within"])
def test_at_the_edge_itself_at_most_one_verdict_in_twenty_is_false(kind):
    """benchmarks/verdicts.py has the same with more studies and other laws; here to four standard errors."""
    found = simulated(1.0, kind=kind)
    assert found["supported"] + found["contradicted"] <= 0.05 + 4 * (0.05 * 0.95 / 2000) ** 0.5


@pytest.mark.parametrize(("mean", "expected"), [(3.0, "supported"), (-1.0, "contradicted")])
def test_an_effect_two_deviations_beyond_the_edge_is_decided_four_times_in_five(mean, expected):
    assert simulated(mean, kind="above")[expected] >= 0.8
