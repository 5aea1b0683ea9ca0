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
    """A quarter of 280 of the 300 is below zero; a matrix without has a share of 0, however wide the Gaussians."""
    truth = float((VALUES < 0).double().mean())
    assert density_of(runs(20)).negative == pytest.approx(truth, abs=0.03)
    positive = symmetric(VALUES.abs() + 1e-3)
    assert density_of([lanczos(lambda v: positive @ v, drawn(300), steps=40)]).negative == 0


def test_the_null_space_is_not_below_zero_for_its_rounding():
    rank = symmetric(torch.cat([torch.zeros(50), torch.tensor([1.0, 2.0])]).double()).float()
    assert density_of([lanczos(lambda v: rank @ v, drawn(52).float(), steps=10)]).negative == 0


@pytest.mark.parametrize("value", [0.0, -2.0, 5.0])
def test_one_eigenvalue_is_one_peak(value):
    found = density_of([lanczos(lambda v: value * v, drawn(6), steps=3)])
    peak = found.eigenvalues[int(np.argmax(found.density))]
    assert peak == pytest.approx(value, abs=found.width / 2)
    assert found.negative == (value < 0)
    assert trapezoid(found.density, found.eigenvalues) == pytest.approx(1)
