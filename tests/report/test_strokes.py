"""Lines, arrows and widths of a drawing."""

import re

import pytest

from residua.report.strokes import Strokes, line, shortened, text_width, together


def numbers(d: str) -> list[tuple[float, float]]:
    found = [float(number) for number in re.findall(r"-?\d+\.\d+", d)]
    return list(zip(found[::2], found[1::2], strict=True))


def test_a_line_goes_through_its_ends_and_rounds_its_corners():
    (path,) = line(((0, 0), (100, 0), (100, 50)), "flow").paths
    points = numbers(path.d)
    assert (points[0], points[-1]) == ((0, 0), (100, 50))
    assert points[1:4] == [(93, 0), (100, 0), (100, 7)]
    assert path.kind == "flow"


def test_a_corner_is_no_rounder_than_its_sides_allow():
    (path,) = line(((0, 0), (6, 0), (6, 50)), "flow").paths
    assert numbers(path.d)[1] == (3, 0)


def test_an_arrow_ends_at_the_point_and_its_shaft_behind_its_head():
    shaft, head = line(((0, 0), (40, 0)), "changed", arrow=True).paths
    tip, left, right = numbers(head.d)
    assert tip == (40, 0)
    assert left[0] == right[0] == numbers(shaft.d)[-1][0] < 40
    assert left[1] == -right[1] != 0
    assert head.kind == "head of-changed"


def test_parts_are_put_together():
    a, b = line(((0, 0), (1, 0)), "flow"), line(((0, 0), (2, 0)), "flow")
    assert together([a, Strokes(), b]).paths == (*a.paths, *b.paths)


@pytest.mark.parametrize("bold", [True, False])
def test_text_is_shortened_only_where_it_is_too_wide(bold):
    assert shortened("resnet34", 24, 400, bold=bold) == "resnet34"
    cut = shortened("w" * 400, 24, 400, bold=bold)
    assert cut.endswith("w…")
    assert text_width(cut, 24, bold=bold) <= 400 < text_width(f"w{cut}", 24, bold=bold)


def test_what_xml_cannot_hold_is_left_out():
    assert shortened("a\x00b\x1b[1m猫", 10, 400) == "ab[1m猫"
