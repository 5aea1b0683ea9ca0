"""The picture of a verdict puts every number where it lies, so that what one sees is the rule."""

from dataclasses import replace
from math import log

import pytest
from tests.report.studied import CLAIMS

from residua.report.study_effect import effect_picture
from residua.report.study_words import ours, smallest, spread
from residua.studies.claim import Verdict

ABOVE, WITHIN = CLAIMS[0], CLAIMS[3]


def verdict(effect: float | None, low: float | None, high: float | None) -> Verdict:
    return Verdict(claim="plain", answer="inconclusive", n=3, effect=effect, low=low, high=high, detectable=None)


def test_places_keep_the_order_and_the_proportions_of_the_numbers():
    picture = effect_picture(ABOVE, verdict(0.5, 0.3, 0.7), [0.4, 0.6])
    (line,) = picture.lines
    assert picture.interval is not None
    assert picture.zero is not None
    assert picture.mean is not None
    places = [picture.zero, line, picture.interval[0], picture.dots[0], picture.mean, picture.interval[1]]
    per_unit = (picture.interval[1] - picture.zero) / 0.7
    assert [(place - picture.zero) / per_unit for place in places] == pytest.approx([0, 0.1, 0.3, 0.4, 0.5, 0.7])
    assert 0 < min(places) < max(places) < 1


def test_what_is_compared_by_logarithms_is_said_as_factors():
    logs = replace(ABOVE, transform="log", smallest=log(2))
    found = verdict(log(20), log(10), None)
    assert ours(logs, found, "en") == "×20.0"
    assert spread(logs, found, "en") == "×10.0 to ×∞, n = 3"
    assert smallest(logs, "en") == "> ×2"
    assert [one.text for one in effect_picture(logs, found, []).labels] == ["×2", "×1"]
    assert ours(logs, verdict(1e4, None, None), "en") == "×∞"


def test_an_end_is_written_finely_enough_to_be_told_from_the_edge():
    assert spread(ABOVE, verdict(0.04, 0.01, 0.07), "en") == "0.010 to 0.070, n = 3"
    assert spread(ABOVE, verdict(0.04, -0.02, 0.09996), "en") == "−0.02000 to 0.09996, n = 3"


def test_above_is_supported_from_its_line_to_the_right_end():
    picture = effect_picture(ABOVE, verdict(0.5, 0.3, 0.7), [])
    assert picture.supports == (picture.lines[0], 1.0)


def test_within_is_supported_between_its_two_lines():
    picture = effect_picture(WITHIN, verdict(0.5, 0.3, 0.7), [])
    assert picture.supports == picture.lines
    assert len(picture.lines) == 2
    assert picture.zero == pytest.approx(sum(picture.lines) / 2)


@pytest.mark.parametrize(("low", "high", "end"), [(None, 0.7, 0), (0.3, None, 1)])
def test_what_nothing_bounds_reaches_the_end_of_the_axis(low, high, end):
    interval = effect_picture(ABOVE, verdict(0.5, low, high), [0.5]).interval
    assert interval is not None
    assert interval[end] == end


def test_one_seed_has_a_dot_and_a_mean_but_no_interval():
    picture = effect_picture(ABOVE, verdict(0.5, None, None), [0.5])
    assert picture.interval is None
    assert picture.dots == (picture.mean,)


def test_an_infinite_effect_has_no_place():
    assert len(effect_picture(ABOVE, verdict(0.5, 0.3, None), [0.5, float("inf")]).dots) == 1


def test_labels_that_would_touch_are_left_out_and_the_line_has_the_first_right():
    picture = effect_picture(replace(ABOVE, smallest=0.01), verdict(5.0, 4.0, 6.0), [])
    assert [label.text for label in picture.labels] == ["0.01"]
    apart = effect_picture(replace(ABOVE, smallest=3.0), verdict(5.0, 4.0, 6.0), [])
    assert [label.text for label in apart.labels] == ["3", "0"]
