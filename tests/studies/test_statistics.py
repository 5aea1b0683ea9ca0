"""Intervals against printed tables and a textbook's example, and what few seeds could have shown."""

from itertools import pairwise
from math import inf, isnan, nan

import numpy as np
import pytest

from residua.studies.statistics import detectable, estimate, quantile

SLEEP = (1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4)
"""Hours of sleep gained by one drug over another, ten patients (Cushny and Peebles 1905, in Student 1908, §IX)."""


@pytest.mark.parametrize(("n", "printed"), [(2, 12.706), (3, 4.303), (4, 3.182), (5, 2.776), (10, 2.262), (30, 2.045)])
def test_the_quantile_is_that_of_the_printed_table(n, printed):
    assert quantile(n) == pytest.approx(printed, abs=5e-4)


def test_students_own_example_has_the_interval_of_the_textbooks():
    found = estimate(SLEEP)
    assert (found.n, found.mean) == (10, pytest.approx(1.58))
    assert found.deviation == pytest.approx(1.230, abs=5e-4)
    assert (found.low, found.high) == pytest.approx((0.7001, 2.4599), abs=5e-5)


def test_an_interval_moves_and_scales_with_its_effects_and_forgets_their_order():
    found, other = estimate(SLEEP), estimate([10 - 3 * one for one in reversed(SLEEP)])
    assert (other.low, other.high) == pytest.approx((10 - 3 * found.high, 10 - 3 * found.low))


def test_one_effect_bounds_nothing():
    found = estimate([3.0])
    assert (found.n, found.mean, found.low, found.high) == (1, 3.0, -inf, inf)
    assert isnan(found.deviation)


@pytest.mark.parametrize("value", [0.0, 0.1, 1 / 3])
@pytest.mark.parametrize("n", [2, 3, 7])
def test_effects_that_are_all_the_same_have_an_interval_of_no_width(value, n):
    found = estimate([value] * n)
    assert (found.mean, found.low, found.high, found.deviation) == (value, value, value, 0.0)


def test_no_effect_is_refused():
    with pytest.raises(ValueError, match="one effect at least"):
        estimate([])


def test_an_arm_that_diverged_opens_the_interval_on_its_side_alone():
    found, finite = estimate([1.0, 1.2, inf, 0.9]), estimate([1.0, 1.2, 1.2, 0.9])
    assert (found.n, found.low, found.high) == (4, finite.low, inf)
    mirrored = estimate([-1.0, -1.2, -inf, -0.9])
    assert (mirrored.low, mirrored.high) == (-inf, pytest.approx(-finite.low))


def test_what_diverged_never_makes_the_other_end_more_extreme_than_the_finite_effects():
    for count in range(1, 5):
        assert estimate([1.0, 1.3] + [inf] * count).low < 1.3


def test_one_finite_seed_beside_those_that_diverged_has_no_spread_and_decides_nothing():
    for effects in ([0.6, inf], [inf, 0.6, inf], [0.6, -inf]):
        found = estimate(effects)
        assert (found.mean, found.low, found.high) == (0.6, -inf, inf)


def test_where_every_seed_diverged_the_mean_is_beyond_every_number():
    assert (estimate([inf, inf]).low, estimate([-inf, -inf]).high) == (inf, -inf)
    assert (estimate([inf]).low, estimate([inf]).high) == (-inf, inf)


@pytest.mark.parametrize("effects", [[1.0, nan, 2.0], [nan, nan], [inf, 1.0, -inf], [inf, nan]])
def test_what_nobody_knows_bounds_nothing(effects):
    found = estimate(effects)
    assert (found.low, found.high) == (-inf, inf)


@pytest.mark.parametrize(("n", "printed"), [(3, 3.264), (5, 1.682), (10, 0.996), (20, 0.660)])
def test_the_detectable_difference_is_that_of_the_power_tables(n, printed):
    """In standard deviations, of a paired t test at 5 %, two-sided, power 80 %."""
    assert detectable(n, 1.0) == pytest.approx(printed, abs=5e-4)


def test_a_mean_at_the_detectable_difference_is_shown_four_times_in_five():
    """By drawing: n = 5, the rate at which the interval lies wholly above 0."""
    difference = detectable(5, 2.0)
    assert difference is not None
    drawn = np.random.default_rng(0).normal(difference, 2.0, (40_000, 5))
    low = drawn.mean(1) - quantile(5) * drawn.std(1, ddof=1) / 5**0.5
    assert float((low > 0).mean()) == pytest.approx(0.8, abs=4 * (0.16 / 40_000) ** 0.5)


def test_more_seeds_show_smaller_differences_and_one_shows_none():
    shown = [detectable(n, 1.0) for n in range(2, 12)]
    assert all(one is not None and other is not None and one > other for one, other in pairwise(shown))
    assert detectable(5, 0.0) == 0.0
    assert detectable(1, 1.0) is None
    assert detectable(5, nan) is None
