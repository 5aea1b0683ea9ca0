"""The trace: exact in the subspace, without bias outside, within its own standard error."""

from statistics import fmean, stdev

import pytest
import torch
from tests.diagnostics.curvature.dense import drawn, symmetric

from residua.diagnostics.curvature.lanczos import lanczos
from residua.diagnostics.curvature.trace import trace_of

VALUES = torch.cat([torch.linspace(-1, 2, 95, dtype=torch.float64), torch.tensor([30.0, 40, 50, 60, 70])])
MATRIX = symmetric(VALUES)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_mean_over_many_is_the_trace_and_their_spread_the_stated_error():
    krylov = lanczos(lambda v: MATRIX @ v, drawn(100), steps=15)
    found = [trace_of(lambda v: MATRIX @ v, krylov, probes=10, generator=generator(seed)) for seed in range(200)]
    errors = [one.error for one in found]
    truth = float(VALUES.sum())
    assert fmean(one.value for one in found) == pytest.approx(truth, abs=4 * fmean(errors) / 200**0.5)
    assert stdev(one.value for one in found) == pytest.approx(fmean(errors), rel=0.15)
    assert {one.products for one in found} == {10}


def test_the_subspace_takes_the_large_eigenvalues_variance_away():
    """Hutchinson alone has a variance of 2 Σ_{i≠j} A_ij²: here about 30 times that with the subspace."""
    krylov = lanczos(lambda v: MATRIX @ v, drawn(100), steps=15)
    alone = lanczos(lambda v: MATRIX @ v, drawn(100), steps=1)
    small, large = (
        fmean(trace_of(lambda v: MATRIX @ v, one, probes=10, generator=generator(seed)).error for seed in range(20))
        for one in (krylov, alone)
    )
    assert large > 5 * small


def test_a_whole_space_needs_no_product():
    krylov = lanczos(lambda v: MATRIX @ v, drawn(100), steps=100)
    found = trace_of(lambda v: MATRIX @ v, krylov, probes=10, generator=generator(0))
    assert found.value == pytest.approx(float(VALUES.sum()), rel=1e-9)
    assert (found.error, found.products) == (0, 0)
