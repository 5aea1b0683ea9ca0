"""The Lanczos process: the eigenvalues of known matrices, residuals that are true, and ARPACK beside it."""

import numpy as np
import pytest
import torch
from scipy.sparse.linalg import aslinearoperator, eigsh
from tests.diagnostics.curvature.dense import drawn, symmetric

from residua.diagnostics.curvature.lanczos import lanczos
from residua.errors import BadNetwork

SPREAD = torch.cat([torch.linspace(-1, 1, 196, dtype=torch.float64), torch.tensor([-4.0, 5.0, 9.0, 20.0])])


def test_all_steps_give_the_whole_spectrum():
    values = torch.tensor([-3.0, -1.0, 0.0, 0.5, 2.0, 7.0], dtype=torch.float64)
    matrix = symmetric(values)
    found = lanczos(lambda v: matrix @ v, drawn(6), steps=50)
    np.testing.assert_allclose(found.values, values.numpy(), atol=1e-12)
    assert found.trace == pytest.approx(float(values.sum()))
    for index, value in enumerate(found.values):
        vector = found.vector(index)
        torch.testing.assert_close(matrix @ vector, value * vector, rtol=0, atol=1e-12)
    assert found.weights.sum() == pytest.approx(1)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_residuals_are_those_of_the_vectors(dtype):
    """|β_m s_m| beside ‖A y − θ y‖, for settled and unsettled values, after few steps."""
    matrix = symmetric(SPREAD).to(dtype)
    found = lanczos(lambda v: matrix @ v, drawn(200).to(dtype), steps=20)
    assert len(found.values) == 20
    for index, value in enumerate(found.values):
        vector = found.vector(index)
        true = float((matrix @ vector - float(value) * vector).norm())
        assert found.residuals[index] == pytest.approx(true, rel=1e-2, abs=3e-5 if dtype == torch.float32 else 1e-11)
    assert found.residuals[-1] < 1e-4 < 1e-2 < found.residuals.max()


def test_the_basis_stays_orthonormal_in_float32():
    """Without reorthogonalisation settled values come back as ghosts."""
    matrix = symmetric(SPREAD).float()
    found = lanczos(lambda v: matrix @ v, drawn(200).float(), steps=120)
    torch.testing.assert_close(found.basis @ found.basis.T, torch.eye(120), rtol=0, atol=1e-5)
    assert (found.values > 4).sum() == 3


def test_both_ends_are_as_arpack_has_them():
    matrix = symmetric(SPREAD)
    operator = aslinearoperator(matrix.numpy())
    found = lanczos(lambda v: matrix @ v, drawn(200), steps=60)
    upper, lower = (eigsh(operator, k=3, which=which, return_eigenvectors=False) for which in ("LA", "SA"))
    np.testing.assert_allclose(found.values[-3:], np.sort(upper), rtol=1e-8)
    assert found.values[0] == pytest.approx(min(lower), rel=1e-8)


def test_it_stops_where_that_is_enough():
    matrix, asked = symmetric(SPREAD), []

    def enough(krylov):
        asked.append(len(krylov.values))
        return krylov.residuals[-1] < 1e-3

    found = lanczos(lambda v: matrix @ v, drawn(200), steps=100, enough=enough)
    assert asked == list(range(5, asked[-1] + 1, 5))
    assert len(found.values) == len(found.basis) == asked[-1] < 40
    assert found.values[-1] == pytest.approx(20, abs=1e-5)


def test_values_that_stand_several_times_are_found_so_and_weigh_once():
    """The space of one start ends after two steps here; what comes after has no weight in the quadrature."""
    values = torch.tensor([1.0, 1.0, 1.0, 4.0, 4.0], dtype=torch.float64)
    matrix, start = symmetric(values), drawn(5)
    found = lanczos(lambda v: matrix @ v, start, steps=5)
    np.testing.assert_allclose(found.values, values.numpy(), atol=1e-10)
    mean = float(start @ matrix @ start / (start @ start))
    assert found.values @ found.weights == pytest.approx(mean)
    zero = lanczos(torch.zeros_like, drawn(4), steps=4)
    assert np.abs(zero.values).max() == 0


def test_a_product_that_is_not_finite_is_said():
    with pytest.raises(BadNetwork, match="not finite"):
        lanczos(lambda v: v / 0, drawn(5), steps=5)
