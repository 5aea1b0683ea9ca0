"""The four numbers of a surface, and the interval over directions."""

import itertools
from math import inf, isnan, nan

import numpy as np
import pytest
import torch

from residua.diagnostics.landscape.directions import Direction
from residua.diagnostics.landscape.grid import Axis, Grid
from residua.diagnostics.landscape.numbers import confidence, numbers_of, roughness
from residua.diagnostics.landscape.surface import Cells, Centre, Plane, Precision, Surface

X, Y = np.meshgrid(np.linspace(-1, 1, 13), np.linspace(-1, 1, 11))


def surface(
    loss: np.ndarray, *, centre: float = 0.0, precision: str = "float32", plane: Plane | None = None
) -> Surface:
    direction = Direction(kind="random", says="", vector=torch.zeros(1))
    axes = tuple(Axis(direction=direction, values=tuple(map(float, range(size)))) for size in loss.shape[::-1])
    at = Centre(loss=centre, error=None, gradient_norm=0.0, says="", is_minimum=True)
    return Surface(
        name="a",
        grid=Grid(axes=axes),
        policy="frozen",
        cells=(Cells(part="train", images=1, loss=loss, error=None, centre=at),),
        precision=Precision(name=precision, cells=0, median=0.0, worst=0.0),
        loss_name="",
        plane=plane,
    )


def test_median_and_near_are_over_the_cells():
    found = numbers_of(surface(np.array([[0.5, 1.4, 1.6], [2.4, 2.6, 9.0]]), centre=1.5))
    assert (found.median, found.near, found.non_convex) == (2.0, 4 / 6, None)


def test_an_infinite_loss_is_above_the_others_and_far_from_the_centre():
    found = numbers_of(surface(np.array([[1.0, inf, inf], [1.0, inf, 2.0]]), centre=1.0))
    assert (found.median, found.near) == (inf, 3 / 6)


def test_cells_that_are_not_computed_count_nowhere():
    found = numbers_of(surface(np.array([[1.0, nan, 3.0], [nan, 9.0, nan]]), centre=1.0))
    assert (found.median, found.near) == (3.0, 1 / 3)
    assert isnan(found.roughness)
    nothing = numbers_of(surface(np.full((3, 3), nan)))
    assert isnan(nothing.median)
    assert isnan(nothing.near)


def test_a_map_in_half_precision_has_no_roughness():
    assert isnan(numbers_of(surface(X**2, precision="bfloat16")).roughness)
    assert numbers_of(surface(X**2)).roughness == 0


def test_non_convex_is_the_share_of_negative_eigenvalues_within_the_plane():
    """[[1, 2], [2, 1]] has −1 and 3; [[2, 1], [1, 2]] has 1 and 3; [[−1, 0], [0, 5]] has −1; NaN is not known."""
    xx, xy, yy = (np.array([one]) for one in ([1.0, 2, -1, nan], [2.0, 1, 0, 0], [1.0, 2, 5, 0]))
    plane = Plane(rows=(0,), columns=(0, 1, 2, 3), xx=xx, xy=xy, yy=yy)
    assert numbers_of(surface(X, plane=plane)).non_convex == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    "loss", [X + 3 * Y, X * 0 + 5, X**2 + Y**2, np.abs(X) + 9 * (Y - 0.3) ** 2, np.exp(3 * X - Y), -np.exp(X)]
)
def test_what_falls_and_then_rises_along_every_line_is_smooth(loss):
    assert roughness(loss) == pytest.approx(0, abs=1e-12)


def test_a_wave_of_k_ridges_is_of_roughness_2k_along_its_lines():
    """cos has its ridges within; the lines across it are level and count 0."""
    wave = np.tile(np.cos(np.linspace(-np.pi, 5 * np.pi, 61)), (61, 1))  # −1 up to 1 and back, three times
    assert roughness(wave) == pytest.approx((6 + 0) / 2, rel=1e-3)


def test_neither_shift_nor_scale_nor_one_high_line_changes_it():
    noise = np.random.default_rng(0).random((21, 21))
    level = roughness(noise)
    assert roughness(7 * noise + 1000) == pytest.approx(level)
    high = noise.copy()
    high[3] *= 1e6
    assert roughness(high) < 2 * level
    assert level > 21 / 3 - 2
    assert roughness(noise.T) == pytest.approx(level)
    assert roughness(noise[:1]) == roughness(noise[:1].T) > 0  # a surface along a line


def test_the_rounding_of_a_level_line_is_not_rough():
    rounded = (2.3 + 1e-7 * np.random.default_rng(0).standard_normal((9, 9))).astype(np.float32)
    assert roughness(rounded.astype(float)) == 0


def test_an_infinite_loss_is_the_limit_of_a_high_one():
    for places in itertools.product((0, 1), repeat=6):
        where = np.array(places, dtype=bool)
        if not where.any() or where.all():
            continue
        line = np.array([[0.3, 0.1, 0.4, 0.2, 0.9, 0.5]])
        high, infinite = np.where(where, 1e12, line), np.where(where, inf, line)
        assert roughness(infinite) == pytest.approx(roughness(high), abs=1e-9)
    assert roughness(np.full((3, 3), inf)) == 0


def test_the_extremes_enclose_the_median_as_often_as_they_say():
    """Skewed values, log-normal with median 1: of 20,000 sets of five 1 − 2⁻⁴ = 93.75 % enclose it."""
    values = np.exp(2 * np.random.default_rng(0).standard_normal((20_000, 5)))
    share = np.mean((values.min(1) <= 1) & (values.max(1) >= 1))
    assert confidence(5) == 1 - 1 / 16 == pytest.approx(share, abs=0.01)
    assert confidence(1) == 0
