"""Figures show the numbers that they are given: means, intervals, medians and ranges, each in its place."""

from dataclasses import replace
from itertools import pairwise
from math import exp, log

import numpy as np
import pytest
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from matplotlib.text import Annotation
from tests.report.studied import ARMS, results, study

from residua.report.study_axes import apart, colours_of, middle_and_range, widths_of
from residua.report.study_figures import draw
from residua.report.study_intervals import spread_of
from residua.report.style import logarithmic
from residua.studies.design import FigureSpec
from residua.studies.results import Results
from residua.studies.statistics import estimate, quantile

COURSE, LINES, INTERVALS, SURFACE = study().figures


@pytest.fixture(scope="module")
def found() -> Results:
    return results()


def lines_of(figure: Figure) -> list[tuple[list[float], list[float]]]:
    (axes,) = figure.axes
    drawn = [np.asarray(line.get_data()).tolist() for line in axes.lines]
    return [(x, y) for x, y in drawn if x]


def loss(found: Results, arm: str) -> list[float]:
    return [numbers["train_loss"] for numbers in found.numbers[arm].values()]


def test_intervals_have_every_seed_the_mean_and_its_95_percent_interval(found):
    drawn = lines_of(draw(replace(INTERVALS, second="", prediction=""), found))
    values = loss(found, "plain-20")
    expected = estimate(values)
    assert (values, [0, 0, 0]) in drawn
    assert any(x == [expected.mean] * 2 for x, _ in drawn)
    assert ([expected.low, expected.high], [0, 0]) in drawn


def test_the_number_of_the_source_is_a_diamond_on_the_row_of_its_arm(found):
    (axes,) = draw(INTERVALS, found).axes
    diamonds = [np.asarray(line.get_data()).tolist() for line in axes.lines if line.get_marker() == "D"]
    assert [(x, y) for x, y in diamonds if x] == [([0.2], [0]), ([0.05], [len(ARMS) - 1])]


def test_on_a_logarithmic_axis_mean_and_interval_are_those_of_the_logarithms(found):
    """1, 10, 100: the geometric mean is 10, and the interval 10 · e^(±t ln 10 / √3), which never reaches 0."""
    half = quantile(3) * log(10) / 3**0.5
    assert spread_of([1.0, 10.0, 100.0], log=True) == pytest.approx((10 * exp(-half), 10.0, 10 * exp(half)))
    assert spread_of([1e-300, 1e300], log=True)[2] > 1e300
    drawn = lines_of(draw(replace(INTERVALS, second="", prediction="", log_y=True), found))
    values = loss(found, "plain-20")
    low, mean, high = spread_of(values, log=True)
    assert mean < sum(values) / 3
    assert ([low, high], [0, 0]) in drawn


def test_one_seed_has_no_interval(found):
    drawn = lines_of(draw(INTERVALS, results(seeds=1)))
    assert not any(len(set(x)) == 2 and len(set(y)) == 1 for x, y in drawn)


def test_lines_go_through_the_means_of_a_group(found):
    drawn = lines_of(draw(replace(LINES, quantity="train_loss", second="", prediction=""), found))
    plain = [arm for arm in ARMS if arm.group == "plain"]
    means = [sum(loss(found, arm.name)) / 3 for arm in plain]
    assert any(x == [20, 32, 44, 56] and y == pytest.approx(means) for x, y in drawn)


@pytest.mark.parametrize("log_x", [False, True])
def test_the_ticks_of_lines_are_the_arms_own_depths(found, log_x):
    figure = draw(replace(LINES, log_x=log_x), found)
    figure.canvas.draw()
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.get_xticklabels()] == ["20", "32", "44", "56"]
    assert axes.get_xticks(minor=True).size == 0


def test_a_course_is_the_median_within_the_range_of_the_seeds(found):
    rows = middle_and_range([((1.0, 5.0), (2.0, 1.0)), ((1.0, 7.0),), ((1.0, 6.0), (2.0, 3.0))])
    assert rows == [(1.0, 6.0, 5.0, 7.0), (2.0, 2.0, 1.0, 3.0)]


def test_every_line_is_named_and_no_two_names_touch(found):
    figure = draw(COURSE, found)
    figure.canvas.draw()
    (axes,) = figure.axes
    names = [text for text in axes.texts if isinstance(text, Annotation)]
    assert {text.get_text() for text in names} == {arm.name for arm in ARMS}
    heights = sorted(text.xyann[1] * axes.bbox.height * 72 / figure.dpi for text in names)
    assert min(above - below for below, above in pairwise(heights)) > 1.2 * 9.5  # points, of letters of 9.5


@pytest.mark.parametrize("heights", [{"a": 0.0, "b": 0.0, "c": 0.01}, {"a": 1.0, "b": 0.99, "c": 0.98}, {"a": 0.5}])
def test_names_at_an_edge_of_the_axes_stay_within_them(heights):
    placed = apart(heights)
    assert sorted(placed, key=lambda name: placed[name]) == sorted(heights, key=lambda name: heights[name])
    assert all(0 <= height <= 1 for height in placed.values())


def test_the_name_of_a_line_that_ends_early_stands_at_its_end(found):
    short = {
        arm: {seed: {"test_loss": found.series[arm][seed]["test_loss"][:3]} for seed in (0,)} for arm in ("plain-20",)
    }
    figure = draw(replace(COURSE, second="", log_y=False), replace(found, series={**found.series, **short}))
    (axes,) = figure.axes
    (text,) = [text for text in axes.texts if text.get_text() == "plain-20"]
    assert isinstance(text, Annotation)
    assert text.xy == found.series["plain-20"][0]["test_loss"][2]
    assert text.arrow_patch is None


def test_a_number_that_is_not_finite_or_has_no_logarithm_is_left_out(found):
    broken = {"plain-20": {0: {"test_loss": ((1.0, float("inf")), (2.0, 0.0), (3.0, 2.0))}}}
    drawn = lines_of(draw(replace(COURSE, second=""), replace(found, series=broken)))
    assert drawn == [([3.0], [2.0])]


def test_a_logarithmic_axis_says_the_numbers_themselves_where_they_are_short():
    axes = Figure().add_subplot()
    logarithmic(axes)
    for label in (axes.yaxis.get_major_formatter(), axes.yaxis.get_minor_formatter()):
        assert [label(x) for x in (0.001, 1.0, 1000.0)] == ["0.001", "1", "1,000"]
        assert "10^{4}" in label(1e4)
    axes.set_ylim(0.25, 1.5)
    assert axes.yaxis.get_minor_formatter()(0.4) == "0.4"


def test_groups_share_a_colour_and_the_deeper_is_bolder():
    colours, widths = colours_of(ARMS), widths_of(ARMS)
    assert len(set(colours.values())) == 2
    assert colours["plain-20"] == colours["plain-56"]
    assert widths["plain-20"] < widths["plain-32"] < widths["plain-44"] < widths["plain-56"]


def test_surfaces_of_all_arms_have_one_logarithmic_scale(found):
    figure = draw(SURFACE, found)
    meshes = [mesh for axes in figure.axes[:-1] for mesh in axes.collections if isinstance(mesh, QuadMesh)]
    assert len(meshes) == 4
    assert len({mesh.get_clim() for mesh in meshes}) == 1
    assert len(figure.axes) == 4 + 1


@pytest.mark.parametrize("spec", [COURSE, LINES, INTERVALS, SURFACE], ids=lambda spec: spec.kind)
def test_nothing_measured_is_an_empty_figure(found, spec: FigureSpec):
    assert draw(spec, replace(found, numbers={}, series={})).axes
