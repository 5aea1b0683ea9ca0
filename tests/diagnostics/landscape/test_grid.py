"""The points of lines and planes, and the order that they are looked at in."""

from itertools import pairwise
from math import inf, nan

import numpy as np
import pytest
import torch

from residua.diagnostics.landscape.directions import Direction
from residua.diagnostics.landscape.grid import Axis, Grid, coarse_to_fine, spaced
from residua.errors import BadSetting

D = Direction(kind="random", says="", vector=torch.ones(3))


def test_values_are_at_equal_distances_and_the_middle_is_0_exactly():
    for steps in (3, 25, 51):
        values = spaced(D, -0.7, 0.7, steps=steps).values
        assert values[steps // 2] == 0.0
        assert (values[0], values[-1]) == (-0.7, 0.7)
        np.testing.assert_allclose(np.diff(values), 1.4 / (steps - 1), rtol=1e-12)
    assert spaced(D, 0.0, 1.0, steps=2).values == (0.0, 1.0)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ((), r"an axis has 0 values \(\); a line needs two at least"),
        ((0.0,), r"an axis has 1 values \(0\); a line needs two at least"),
        ((0.0, nan), r"values that are no numbers \(0, nan\)"),
        ((-inf, 0.0), r"values that are no numbers \(-inf, 0\)"),
        ((1.0, 1.0), r"do not rise \(1, 1\)"),
        ((1.0, 0.0, 2.0, 3.0, 4.0), r"do not rise \(1, 0, 2, 3, …\)"),
    ],
)
def test_an_axis_that_is_none_is_one_line(values: tuple[float, ...], said: str):
    with pytest.raises(BadSetting, match=said):
        Axis(direction=D, values=values)


def test_a_range_of_zero_width_or_no_numbers_or_one_step_is_one_line():
    for low, high, steps in ((1.0, 1.0, 5), (nan, 1.0, 5), (-1.0, 1.0, 1), (-1.0, 1.0, 0), (1.0, -1.0, 3)):
        with pytest.raises(BadSetting):
            spaced(D, low, high, steps=steps)


def test_a_grid_has_one_axis_or_two():
    x, y = spaced(D, -1.0, 1.0, steps=3), spaced(D, 5.0, 6.0, steps=2)
    assert (Grid(axes=(x,)).shape, Grid(axes=(x, y)).shape) == ((1, 3), (2, 3))
    assert Grid(axes=(x, y)).point((1, 2)) == (1.0, 6.0)
    assert Grid(axes=(x,)).point((0, 2)) == (1.0,)
    for axes in ((), (x, y, x)):
        with pytest.raises(BadSetting, match="give one for a line, or two for a plane"):
            Grid(axes=axes)


@pytest.mark.parametrize("shape", [(51, 51), (1, 51), (3, 5), (31, 51), (2, 2)])
def test_every_cell_is_there_once_and_a_picture_after_a_fifteenth(shape: tuple[int, int]):
    order = coarse_to_fine(shape)
    assert sorted(order) == [(j, i) for j in range(shape[0]) for i in range(shape[1])]
    assert order[0] == (shape[0] // 2, shape[1] // 2)
    if shape == (51, 51):
        first = order[:169]
        assert len(first) < len(order) / 15
        for places in ({j for j, _ in first}, {i for _, i in first}):
            gaps = [other - one for one, other in pairwise(sorted(places))]
            assert set(gaps) == {4}
            assert min(places) < 4
            assert max(places) > 46


def test_shares_are_disjoint_and_each_has_a_picture_of_the_whole():
    shares = [coarse_to_fine((17, 9), (place, 3)) for place in (1, 2, 3)]
    assert sorted(cell for share in shares for cell in share) == sorted(coarse_to_fine((17, 9)))
    for share in shares:
        assert {j for j, _ in share} == set(range(17))
        assert {i for _, i in share} == set(range(9))
    for wrong in ((0, 3), (4, 3), (1, 0), (-1, 2)):
        with pytest.raises(BadSetting, match="share is"):
            coarse_to_fine((3, 3), wrong)
