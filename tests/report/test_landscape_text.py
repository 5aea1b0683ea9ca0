"""A surface as letters: what is shown was measured, the largest y is on top, 80 letters are enough."""

import numpy as np
from tests.report.fabricated_surfaces import comparison, curvature, line, partial, rough, surface

from residua.report.landscape_marks import panels_of, twin_panels
from residua.report.landscape_scale import Scale
from residua.report.landscape_text import landscape_lines, text_map

SCALE = Scale(low=1.0, high=10_000.0, logarithmic=True)


def test_a_higher_loss_is_darker_and_the_last_row_is_on_top():
    table = np.array([[1.0, 30.0, 200.0], [1e3, 1e4, 1e5]])
    assert text_map(table, SCALE, width=10) == ["▓██", " ░▒"]


def test_what_is_missing_is_a_dot_and_what_is_infinite_a_sign():
    assert text_map(np.array([[np.nan, np.inf, 1.0]]), SCALE, width=10) == ["·∞ "]


def test_of_more_cells_than_letters_those_in_the_middle_are_shown_as_they_are():
    """Of 100 columns, all 1 but the fifth of each ten: ten letters show these ten."""
    table = np.ones((2, 100))
    table[:, 5::10] = 1e4
    assert text_map(table, SCALE, width=10) == ["█" * 10, "█" * 10]


def test_everything_fits_80_columns():
    for panels in (twin_panels(comparison()), panels_of(surface(tested=True)), panels_of(partial()), panels_of(line())):
        lines = landscape_lines(("A sentence " * 20,), panels, curvature(), ("A remark " * 20,))
        assert max(map(len, lines)) <= 80


def test_the_scale_and_what_is_outside_it_are_said():
    lines = landscape_lines((), panels_of(surface(rough())), None, ())
    assert lines[-1].startswith("loss 0.00120 ░▒▓█ ")
    assert "logarithmic; above " in lines[-1]


def test_a_line_is_drawn_as_a_sparkline():
    lines = landscape_lines((), panels_of(line()), None, ())
    assert lines[-2].startswith("training images")
    assert "▁" in lines[-2]
    assert "█" in lines[-2]
