"""A verdict in words says what was measured, how sure it is, and no more."""

from dataclasses import replace
from math import exp, log

import pytest

from residua.studies.claim import Text
from residua.studies.judging import judge
from residua.studies.sentences import conclusion, formula, sentence
from residua.studies.statistics import estimate

from .test_judging import DONE, budget, claim, numbers

PUBLISHED = Text("0.7 (Table 2)", "0.7（表 2）")


def said(effects: list[float], *, converged=DONE, **changed) -> Text:
    one = claim(**changed)
    return sentence(one, judge(one, numbers(effects, [0.0] * len(effects)), converged=converged, budget=budget()))


def test_a_verdict_in_words_is_this():
    words = said([1.0, 1.1, 1.2], published=PUBLISHED, unit=Text("nats", "nat"))
    assert words.en == (
        "Supported: loss(deep) − loss(shallow) = 1.1 nats, 95 % interval 0.852 to 1.35 over 3 paired seeds, "
        "wholly above 0.5, the smallest that would matter. Published: 0.7 (Table 2) (He et al. 2015, Fig. 6)."
    )
    assert words.zh == (
        "支持：loss(deep) − loss(shallow) = 1.1（nat），3 个配对种子的 95% 区间为 0.852 至 1.35，"
        "完全高于有意义的最小效应 0.5。文献：0.7（表 2）（He et al. 2015, Fig. 6）。"
    )


@pytest.mark.parametrize(
    ("effects", "kind", "english", "chinese"),
    [
        ([0.1, 0.1], "above", "Contradicted", "不支持"),
        ([0.1, 0.1], "within", "wholly within ±0.5", "之内"),
        ([9.0, 9.0], "within", "wholly outside ±0.5", "之外"),
        ([0.1, 0.9, 0.5], "above", "These 3 seeds would have shown, four times in five", "3 个种子有八成机会"),
        ([9.0], "above", "Inconclusive: loss(deep) − loss(shallow) = 9, of one seed. One seed has no", "仅一个种子"),
    ],
)
def test_each_answer_has_its_words_in_both_languages(effects, kind, english, chinese):
    words = said(effects, kind=kind)
    assert english in words.en
    assert chinese in words.zh


def test_only_a_verdict_that_decides_speaks_of_the_edge():
    for effects in ([0.1, 0.9, 0.5], [9.0]):
        assert "wholly" not in said(effects).en
        assert "完全" not in said(effects).zh


def test_the_detectable_difference_is_the_one_of_the_numbers():
    effects = [0.1, 0.9, 0.5]
    words, s = said(effects), estimate(effects).deviation
    assert f"a mean that lies {3.264 / 1 * s:.3g} beyond it" in words.en


def test_where_numbers_stand_as_factors_so_does_the_edge():
    def judged(values: list[float], **changed) -> tuple[Text, Text]:
        one = claim(transform="log", smallest=log(2), **changed)
        found = judge(one, numbers(values, [1.0] * len(values)), converged=DONE, budget=budget())
        return conclusion(one, found), sentence(one, found)

    concluded, said_alone = judged([10.0, 11.0, 12.0])
    assert concluded.en == "Supported: the interval lies wholly above ×2, the smallest that would matter."
    assert "wholly above 0.693" in said_alone.en
    assert "wholly outside ×0.5 … ×2" in judged([10.0, 11.0, 12.0], kind="within")[0].en
    effects = [0.0, log(9), log(3)]
    factor = exp(3.264 * estimate(effects).deviation)
    assert f"a mean that lies a factor of {factor:.3g} beyond it" in judged([1.0, 9.0, 3.0])[0].en


def test_a_loss_that_still_falls_is_said_first():
    words = said([1.0, 1.0], converged={})
    assert words.en.startswith("At this budget: Supported")
    assert words.zh.startswith("在此训练预算下：支持")


def test_what_was_not_run_has_no_number_but_names_its_scale():
    one = claim()
    words = sentence(one, judge(one, {}, converged={}, budget=budget(decides=()), needs="laptop"))
    assert words.en == "Not run. This scale cannot decide it; it needs laptop."
    assert words.zh == "未运行。当前规模无法判定它，需要 laptop（笔记本）。"
    never = sentence(one, judge(one, {}, converged={}, budget=budget(decides=())))
    assert never.en == "Not run. No scale of this study can decide it."


def test_an_open_end_is_said_as_infinite():
    words = said([9.0, 9.1, float("inf")])
    assert "to ∞ over 3 paired seeds" in words.en
    assert "An arm diverged at seed 2; these count" in words.en
    assert "at every seed" in said([float("inf")] * 2).en


def test_a_formula_is_read_off_the_terms():
    one = claim()
    assert formula(one) == "loss(deep) − loss(shallow)"
    assert formula(replace(one, transform="log")) == "ln loss(deep) − ln loss(shallow)"
    weighed = tuple(replace(term, weight=weight) for term, weight in zip(one.effect, (-0.5, 2.0), strict=True))
    assert formula(replace(one, effect=weighed)) == "−0.5 · loss(deep) + 2 · loss(shallow)"


def test_a_conclusion_stands_beside_the_numbers_and_repeats_none():
    one = claim(published=PUBLISHED)

    def concluded(effects: list[float]) -> Text:
        return conclusion(one, judge(one, numbers(effects, [0.0] * len(effects)), converged={}, budget=budget()))

    assert concluded([1.0, 1.1]).en == "Inconclusive. " + said([1.0, 1.1]).en.split(". ", 1)[1]
    assert concluded([1.0, 1.1, 1.2]) == Text(
        "Supported: the interval lies wholly above 0.5, the smallest that would matter.",
        "支持：区间完全高于有意义的最小效应 0.5。",
    )
