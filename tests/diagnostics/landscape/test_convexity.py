"""The Hessian within a plane: dᵀHd of whole Hessians, at the cells' own points, buffers and all."""

from dataclasses import replace
from math import nan

import numpy as np
import pytest
import torch
from tests.diagnostics.curvature.dense import drawn, images_case, quadratic_case, symmetric, whole_hessian
from torch import Tensor

from residua.diagnostics.landscape.convexity import plane_of
from residua.diagnostics.landscape.directions import Direction
from residua.diagnostics.landscape.grid import Axis, Grid
from residua.errors import BadSetting


def direction(vector: Tensor, **buffers: Tensor) -> Direction:
    moved = tuple((name.replace("__", "."), one) for name, one in buffers.items())
    return Direction(kind="random", says="", vector=vector.float(), buffers=moved)


def grid(x: Direction, y: Direction, columns: tuple[float, ...], rows: tuple[float, ...]) -> Grid:
    return Grid(axes=(Axis(direction=x, values=columns), Axis(direction=y, values=rows)))


def test_of_a_quadratic_it_is_the_same_everywhere():
    matrix, x, y = symmetric(torch.linspace(-2, 3, 6, dtype=torch.float64)), drawn(6, seed=1), drawn(6, seed=2)
    x, y = x.float().double(), y.float().double()
    found = plane_of(quadratic_case(matrix), grid(direction(x), direction(y), (-1.0, 0.0, 1.0), (0.0, 2.0)), every=1)
    for array, value in ((found.xx, x @ matrix @ x), (found.xy, x @ matrix @ y), (found.yy, y @ matrix @ y)):
        np.testing.assert_allclose(array, np.full((2, 3), float(value)), rtol=1e-10)
    block = torch.tensor([[found.xx[0, 0], found.xy[0, 0]], [found.xy[0, 0], found.yy[0, 0]]])
    assert found.lowest[0, 0] == pytest.approx(float(torch.linalg.eigvalsh(block)[0]))


def test_each_cell_is_at_its_own_point():
    """Rows are y's and columns x's: a grid that is not square, with ranges that do not hold 0."""
    case, x, y = images_case(), drawn(127, seed=1), drawn(127, seed=2)
    columns, rows = (0.1, 0.3), (-0.2, -0.1, 0.4)
    before = [one.clone() for one in case.module.parameters()]
    found = plane_of(case, grid(direction(x), direction(y), columns, rows), every=1)
    assert (found.rows, found.columns) == ((0, 1, 2), (0, 1))
    assert all(torch.equal(*pair) for pair in zip(before, case.module.parameters(), strict=True))
    x, y = x.float().double(), y.float().double()
    theta = torch.nn.utils.parameters_to_vector(case.module.parameters()).detach()
    for j, i in ((0, 1), (2, 0)):
        moved = images_case()
        moved.module.eval()
        torch.nn.utils.vector_to_parameters(theta + columns[i] * x + rows[j] * y, moved.module.parameters())
        dense = whole_hessian(moved)
        expected = [float(a @ dense @ b) for a, b in ((x, x), (x, y), (y, y))]
        assert [found.xx[j, i], found.xy[j, i], found.yy[j, i]] == pytest.approx(expected, rel=1e-8)


def test_buffers_move_along_a_direction_that_has_some():
    """d²L/da² along weights and running statistics together, by central differences in float64."""
    case, x, y = images_case(), drawn(127, seed=1).float().double(), drawn(127, seed=2)
    mean, variance = drawn(3, seed=3), drawn(3, seed=4).abs()
    along = direction(x, norm__running_mean=mean, norm__running_var=variance)
    found = plane_of(case, grid(along, direction(y), (0.0, 0.2), (0.0, 0.1)), every=1)

    def loss(a: float) -> float:
        moved = images_case()
        with torch.no_grad():
            theta = torch.nn.utils.parameters_to_vector(moved.module.parameters()) + a * x
            torch.nn.utils.vector_to_parameters(theta, moved.module.parameters())
            moved.module.get_buffer("norm.running_mean").add_(a * mean)
            moved.module.get_buffer("norm.running_var").add_(a * variance)
            moved.module.eval()
            return float(moved.loss_of(moved.examples))

    h = 1e-4
    second = (loss(0.2 + h) - 2 * loss(0.2) + loss(0.2 - h)) / h**2
    assert found.xx[0, 1] == pytest.approx(second, rel=1e-4)


@pytest.mark.parametrize(
    ("size", "every", "places"),
    [(25, 4, (0, 4, 8, 12, 16, 20, 24)), (9, 4, (0, 4, 8)), (5, 3, (0, 2, 4)), (6, 4, (0, 5)), (2, 9, (0, 1))],
)
def test_the_edges_and_the_middle_are_among_the_cells(size, every, places):
    case = quadratic_case(torch.eye(2, dtype=torch.float64))
    line = tuple(np.linspace(-1, 1, size).tolist())
    told = []
    found = plane_of(
        case,
        grid(direction(torch.ones(2)), direction(torch.ones(2)), line, (0.0, 1.0)),
        every=every,
        told=lambda *given: told.append(given),
    )
    assert found.columns == places
    assert told == [(k, 2 * len(places)) for k in range(1, 2 * len(places) + 1)]


def test_a_point_whose_loss_is_no_number_has_no_curvature():
    case = quadratic_case(torch.eye(2, dtype=torch.float64))
    far = grid(direction(torch.full((2,), 1e38)), direction(torch.ones(2)), (0.0, 1.0), (0.0, 1.0))
    case = replace(case, loss=lambda output, _: (output + output.exp()).mean())
    found = plane_of(case, far, every=1)
    assert np.isfinite(found.xx[:, 0]).all()
    np.testing.assert_array_equal(found.xx[:, 1], [nan, nan])
    np.testing.assert_array_equal(found.lowest[:, 1], [nan, nan])
    steep = quadratic_case(1e300 * torch.eye(2, dtype=torch.float64))
    wide = grid(direction(torch.full((2,), 1e10)), direction(torch.ones(2)), (0.0, 1.0), (0.0, 1.0))
    assert np.isnan(plane_of(steep, wide, every=1).xx).all()  # an infinite one


def test_a_line_and_a_step_below_one_are_refused():
    case, x = quadratic_case(torch.eye(2, dtype=torch.float64)), direction(torch.ones(2))
    with pytest.raises(BadSetting, match="a line has no plane"):
        plane_of(case, Grid(axes=(Axis(direction=x, values=(0.0, 1.0)),)))
    with pytest.raises(BadSetting, match="every is 0"):
        plane_of(case, grid(x, x, (0.0, 1.0), (0.0, 1.0)), every=0)
