"""The density: mass one, the moments of the matrix, and its share below zero."""

import numpy as np
import pytest
import torch
from scipy.integrate import trapezoid
from tests.diagnostics.curvature.dense import drawn, symmetric

from residua.diagnostics.curvature.density import density_of
from residua.diagnostics.curvature.lanczos import Krylov, lanczos

VALUES = torch.cat([torch.linspace(-1, 3, 280, dtype=torch.float64), torch.linspace(8, 9, 20, dtype=torch.float64)])
MATRIX = symmetric(VALUES)


def runs(count: int, steps: int = 40) -> list[Krylov]:
    return [lanczos(lambda v: MATRIX @ v, drawn(300, seed=seed), steps=steps) for seed in range(count)]


def test_its_mass_is_one_and_it_rises():
    found = density_of(runs(2))
    where = np.array(found.eigenvalues)
    assert trapezoid(found.density, where) == pytest.approx(1, abs=1e-12)
    assert (np.diff(where) > 0).all()
    assert np.diff(where).max() < found.width / 2
    assert min(found.density) >= 0
    assert len(where) < 1000


def test_its_moments_are_the_matrix():
    """E λ = tr A / p and E λ² = tr A² / p, the second with the width's square; p · runs = 6,000 leaves 2 %."""
    found = density_of(runs(20))
    where, density = np.array(found.eigenvalues), np.array(found.density)
    moments = [trapezoid(density * where**k, where) for k in (1, 2)]
    expected = [float((VALUES**k).mean()) for k in (1, 2)]
    assert moments[0] == pytest.approx(expected[0], rel=0.05)
    assert moments[1] - found.width**2 == pytest.approx(expected[1], rel=0.05)


def test_a_quadrature_of_m_steps_has_the_starts_moments_up_to_2m_minus_1():
    start = drawn(300)
    (found,) = runs(1, steps=4)
    power = start / start.norm()
    for k in range(1, 8):
        power = MATRIX @ power
        exact = float(power @ start / start.norm())
        assert found.values**k @ found.weights == pytest.approx(exact, rel=1e-9)


def test_the_share_below_zero_is_the_nodes_and_not_the_gaussians():
    """70 of the 300 are below zero; a matrix without has a share of 0, however wide the Gaussians."""
    truth, found = float((VALUES < 0).double().mean()), density_of(runs(20))
    assert found.negative - 0.01 < truth < found.negative + found.undecided + 0.01
    assert found.undecided < 0.1
    positive = symmetric(VALUES.abs() + 1e-3)
    assert density_of([lanczos(lambda v: positive @ v, drawn(300), steps=40)]).negative == 0


def test_where_all_eigenvalues_are_found_their_signs_are_decided():
    values = torch.cat([torch.linspace(-2, -1, 10), torch.linspace(1, 2, 30)]).double()
    matrix, start = symmetric(values), symmetric(values) @ torch.ones(40, dtype=torch.float64)
    found = density_of([lanczos(lambda v: matrix @ v, start, steps=40)])
    parts = torch.linalg.qr(drawn(40, 40, seed=3)).Q.T @ start
    assert found.undecided == 0
    assert found.negative == pytest.approx(float(parts[:10].square().sum() / parts.square().sum()))


def test_the_sign_of_a_bulk_about_zero_is_undecided():
    """Half of the bulk is below zero; one node stands for all of it, on one side."""
    bulk = 1e-3 * torch.linspace(-1, 1, 290, dtype=torch.float64)
    matrix = symmetric(torch.cat([torch.linspace(1, 40, 10, dtype=torch.float64), bulk]))
    krylov = lanczos(lambda v: matrix @ v, drawn(300), steps=8)
    by_sign = krylov.weights[krylov.values < 0].sum()
    found = density_of([krylov])
    assert min(by_sign, 1 - by_sign) < 0.2
    assert found.undecided > 0.9
    assert found.negative < 0.05


def test_the_null_space_is_not_below_zero_for_its_rounding():
    rank = symmetric(torch.cat([torch.zeros(50), torch.tensor([1.0, 2.0])]).double()).float()
    found = density_of([lanczos(lambda v: rank @ v, drawn(52).float(), steps=10)])
    assert found.negative == 0
    assert found.undecided > 0.8


@pytest.mark.parametrize("value", [0.0, -2.0, 5.0])
def test_one_eigenvalue_is_one_peak(value):
    found = density_of([lanczos(lambda v: value * v, drawn(6), steps=3)])
    peak = found.eigenvalues[int(np.argmax(found.density))]
    assert peak == pytest.approx(value, abs=found.width / 2)
    assert found.negative == (value < 0)
    assert trapezoid(found.density, found.eigenvalues) == pytest.approx(1)
