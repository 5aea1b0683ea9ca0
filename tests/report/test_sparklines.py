"""Findings and series as a terminal of 80 columns shows them."""

from dataclasses import replace
from math import inf, nan

import pytest
from tests.report.fabricated import diagnosis, findings, gradients

from residua.report.sparklines import finding_lines, series_lines, series_of, sparkline


def test_the_smallest_is_lowest_and_the_largest_highest():
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7]) == "▁▂▃▄▅▆▇█"
    assert sparkline([3, 1, 2]) == "█▁▅"


def test_a_logarithmic_line_shows_factors_alike():
    powers = [10.0**-k for k in range(8)]
    assert sparkline(powers, logarithmic=True) == "█▇▆▅▄▃▂▁"
    assert sparkline(powers) == "█▂▁▁▁▁▁▁"


@pytest.mark.parametrize("value", [nan, inf, -inf])
def test_a_number_that_is_not_finite_is_a_dot_and_moves_nothing_else(value):
    assert sparkline([0, value, 7]) == "▁·█"
    assert sparkline([value, value]) == "··"


def test_zero_has_no_logarithm():
    assert sparkline([0, 1, 10], logarithmic=True) == "·▁█"


def test_equal_numbers_are_a_line_at_the_bottom():
    assert sparkline([2.0, 2.0]) == "▁▁"


def test_many_numbers_are_gathered_into_means_of_neighbours():
    assert sparkline([0] * 100 + [1] * 100, width=4) == "▁▁██"
    assert len(sparkline(range(1000), width=20)) == 20


def test_the_table_fits_80_columns_and_has_first_last_and_what_is_predicted():
    lines = series_lines(diagnosis())
    assert max(map(len, lines)) <= 80
    stream = next(line for line in lines if line.startswith("gradient, stream"))
    norms = [place.stream.median for place in gradients().places if place.kind == "addition"]
    assert [float(word) for word in stream.split() if word[0].isdigit()][:2] == pytest.approx(
        [norms[0], norms[-1]], rel=0.01
    )
    assert stream.endswith("ratio 84")
    assert all(one.predicted in line for one, line in zip(series_of(diagnosis()), lines[1:], strict=True))


def test_what_was_not_measured_has_no_line():
    parts = ("gradients", "signals", "shattering", "paths", "estimation", "information", "lesions", "questions")
    empty = replace(diagnosis(), **dict.fromkeys(parts))
    assert series_lines(empty) == []
    assert len(series_lines(replace(empty, paths=diagnosis().paths))) == 2


def test_a_finding_has_its_severity_its_place_its_numbers_and_the_next_step():
    lines = finding_lines(findings())
    assert max(map(len, lines)) <= 80
    assert lines[0] == "serious  gradients vanish: ×0.71 a layer over 54 layers, 1.3e-8 at the stem"
    assert lines[1] == "         stem.convolution: measured 1.3e-8, predicted 0.120"
    assert lines[2].startswith("         → add shortcuts")


def test_what_another_finding_explains_names_that_instead_of_a_remedy():
    given = replace(diagnosis().findings[0], explained_by="sigmoid activations")
    lines = finding_lines([given])
    assert lines[-1].strip() == "→ explained by sigmoid activations: mend that first"
    assert given.remedy.split()[0] not in " ".join(lines[-2:])
