"""The trace of a matrix that is known by its products alone.

Hutch++ (Meyer et al. 2021, arXiv:2010.09649): the trace within a subspace Q that holds the large eigenvalues, exactly,
and of the rest (I − QQᵀ) A (I − QQᵀ) the mean of zᵀAz over random signs z (Hutchinson 1990), whose variance is twice
the sum of the rest's squared entries off the diagonal. Q is here the Krylov space that was built for the eigenvalues
(Chen & Hallman 2023, arXiv:2205.01736), so that its part costs no product more. Whatever Q is, the estimate has no
bias: z does not know it.
"""

from dataclasses import dataclass
from statistics import fmean, stdev
from typing import final

import torch

from residua.diagnostics.curvature.lanczos import Apply, Krylov


@final
@dataclass(frozen=True, kw_only=True)
class Trace:
    """An estimate of a trace."""

    value: float
    error: float
    """Its standard error; 0 where the subspace is everything."""
    products: int


def trace_of(product: Apply, krylov: Krylov, *, probes: int, generator: torch.Generator) -> Trace:
    """Returns the trace from a Krylov space and so many random signs, two at least."""
    basis = krylov.basis
    if len(basis) == basis.shape[1]:
        return Trace(value=krylov.trace, error=0.0, products=0)
    found = []
    for _ in range(probes):
        signs = 2.0 * torch.randint(0, 2, (basis.shape[1],), generator=generator) - 1
        z = signs.to(basis)
        z = z - (basis @ z) @ basis
        found.append(float(z.double() @ product(z).double()))
    return Trace(value=krylov.trace + fmean(found), error=stdev(found) / probes**0.5, products=probes)
