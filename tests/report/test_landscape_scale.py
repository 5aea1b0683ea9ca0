"""One scale for all surfaces of a figure; what lies outside it is counted, and what is no number is left out."""

import numpy as np
import pytest

from residua.report.landscape_scale import Scale, level_text, scale_of

INF, NAN = np.inf, np.nan


def table(*losses: float) -> np.ndarray:
    return np.array([losses], dtype=float)


def test_a_decade_is_linear_and_more_than_a_decade_logarithmic():
    assert not scale_of([table(1, 10)]).logarithmic
    assert scale_of([table(1, 10.1)]).logarithmic


def test_two_surfaces_share_the_ends_of_both():
    found = scale_of([table(1, 4), table(2, 9)])
    assert (found.low, found.high) == (1, 9)


def test_negative_losses_have_no_logarithm():
    found = scale_of([table(-1, 0, 100)])
    assert not found.logarithmic
    assert (found.low, found.high) == (-1, 100)


def test_far_outliers_are_cut_off_and_counted_among_the_cells_that_are_known():
    """Of 100 finite cells two lie more than ten times above the rest: 2 %, whatever is missing or infinite."""
    losses = table(*np.linspace(0.1, 30, 98), 1e6, 2e6, *[INF] * 50, *[NAN] * 50)
    found = scale_of([losses])
    assert found.high == 50
    assert found.above == pytest.approx(0.02)
    assert found.clipped == ("above 50: 2.0\u202f% of cells",)


def test_without_outliers_the_scale_ends_at_the_largest_loss():
    found = scale_of([table(*np.geomspace(0.01, 123, 100))])
    assert (found.low, found.high) == (0.01, pytest.approx(123))
    assert found.clipped == ()


@pytest.mark.parametrize("level", [1.0, 2.0, 2.3])
def test_an_outlier_beside_equal_losses_leaves_a_scale_with_two_ends(level):
    found = scale_of([table(*[level] * 99, 1e6)])
    assert found.low < found.high
    assert np.isfinite(found.heights(table(level, 1e6))).all()


def test_a_loss_of_zero_is_at_the_lower_end_and_counted():
    found = scale_of([table(0, *np.geomspace(1e-3, 10, 99))])
    assert found.logarithmic
    assert found.low == pytest.approx(1e-3)
    assert found.below == pytest.approx(0.01)
    assert found.heights(table(0))[0, 0] == pytest.approx(-3)
    assert found.clipped == ("below 0.001: 1.0\u202f% of cells",)


def test_a_loss_next_to_zero_does_not_stretch_the_scale_over_all_colours():
    found = scale_of([table(1e-30, *np.geomspace(1, 100, 99))])
    assert found.low == pytest.approx(1e-5, rel=0.5)
    assert found.below == pytest.approx(0.01)


def test_heights_are_decimal_logarithms_clipped_to_the_scale_and_gaps_stay_gaps():
    scale = Scale(low=0.1, high=100.0, logarithmic=True)
    heights = scale.heights(table(0.1, 1, 1e6, INF, NAN))[0]
    np.testing.assert_allclose(heights, [-1, 0, 2, NAN, NAN])


def test_equal_losses_and_no_losses_have_a_scale():
    flat, empty = scale_of([table(3, 3)]), scale_of([table(NAN, INF)])
    assert flat.low < 3 < flat.high
    assert empty.low < empty.high
    assert scale_of([table(0, 0)]).low < 0


@pytest.mark.parametrize(("low", "high"), [(0.0123, 11.4), (1.2e-3, 1e4), (1e-6, 1e9), (0.9, 11.0)])
def test_levels_are_round_rise_and_are_told_apart(low, high):
    levels = Scale(low=low, high=high, logarithmic=True).levels()
    assert 2 <= len(levels) <= 9
    assert list(levels) == sorted(levels)
    assert all(low < level < high for level in levels)
    assert all(float(f"{level:.0e}") == pytest.approx(level) for level in levels)


def test_linear_levels_are_within_the_scale():
    levels = Scale(low=0.2, high=1.7, logarithmic=False).levels()
    assert 4 <= len(levels) <= 9
    assert all(0.2 < level < 1.7 for level in levels)


def test_a_higher_loss_has_a_brighter_colour():
    scale = Scale(low=0.01, high=100.0, logarithmic=True)
    brightness = [
        sum(int(scale.colour(loss)[1 + 2 * part : 3 + 2 * part], 16) for part in range(3))
        for loss in (0.01, 0.1, 1, 10, 100)
    ]
    assert brightness == sorted(brightness)
    assert scale.colour(1e9) == scale.colour(100)


@pytest.mark.parametrize(
    ("level", "written"), [(0.5, "0.5"), (1000.0, "1,000"), (1e6, "1e6"), (1e-5, "1e-5"), (0.0, "0"), (-2.5, "−2.5")]
)
def test_a_level_is_written_without_needless_digits(level, written):
    assert level_text(level) == written
