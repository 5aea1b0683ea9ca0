"""The spectral density by stochastic Lanczos quadrature (Ghorbani et al. 2019, arXiv:1901.10159, §2; Yao et al. 2020).

From a normal start, the m Ritz values with the squared first entries of their vectors are the Gauss quadrature of the
start's spectral measure: exact for the moments up to 2m − 1, and on average over starts that of the density itself.
Each node is drawn as a Gaussian.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
from scipy.integrate import trapezoid

from residua.diagnostics.curvature.lanczos import Krylov

_WIDTHS = 200
"""The nodes' range holds so many widths of a Gaussian."""
_AROUND = 5
"""Widths before the first node and after the last."""
_A_WIDTH = 3
"""Points."""
_ROUNDING = 1e-6
"""A node within this part of the largest is zero: the Hessian's null space, rounded in float32."""
_SURE = 3.0
"""Residuals from zero: of such a node at most a tenth is on the other side (Cantelli's inequality)."""


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Density:
    """The spectral density of the Hessian by stochastic Lanczos quadrature."""

    eigenvalues: tuple[float, ...]
    """Where the density is evaluated, rising."""
    density: tuple[float, ...]
    """Mass one over the eigenvalues."""
    width: float
    """Standard deviation of the Gaussian that each node is drawn as."""
    negative: float
    """Share of the mass that is below zero, by the nodes themselves, 0 to 1, without what is undecided."""
    undecided: float = 0.0
    """Share of the mass that is zero, or so near that the steps taken do not tell its sign, 0 to 1."""


def density_of(runs: Sequence[Krylov]) -> Density:
    """Returns the density, mean over runs from independent starts.

    The width is a 200th of the range from the least node to the largest (of the value, where all nodes have the same),
    and the mass one by the trapezoid rule.
    """
    values = np.concatenate([one.values for one in runs])
    weights = np.concatenate([one.weights for one in runs]) / len(runs)
    largest = float(np.abs(values).max())
    spread = float(np.ptp(values))
    width = (spread if spread > _ROUNDING * largest else largest or 1.0) / _WIDTHS
    low, high = values.min() - _AROUND * width, values.max() + _AROUND * width
    where = np.linspace(low, high, round((high - low) / width) * _A_WIDTH + 1)
    drawn = np.exp(-0.5 * ((where[:, None] - values) / width) ** 2) @ weights
    return Density(
        eigenvalues=tuple(where.tolist()),
        density=tuple((drawn / trapezoid(drawn, where)).tolist()),
        width=width,
        negative=float(np.mean([_negative(one)[0] for one in runs])),
        undecided=float(np.mean([_negative(one)[1] for one in runs])),
    )


def _negative(run: Krylov) -> tuple[float, float]:
    """Returns the shares below zero, and undecided.

    A network's Hessian has most of its mass about zero, in one node, whose sign says nothing of the mass'. But all
    nodes bound the share below zero to within the weights of the two nodes beside it (Chebyshev, Markov and Stieltjes);
    these are undecided, unless their residuals say that what they stand for is on their side.
    """
    values, weights, place = run.values, run.weights, int(np.searchsorted(run.values, 0.0))
    is_open = np.zeros(len(values), dtype=bool)
    is_open[max(0, place - 1) : place + 1] = True
    is_open &= np.abs(values) < _SURE * run.residuals
    is_open |= np.abs(values) <= _ROUNDING * np.abs(values).max()
    return float(weights[~is_open & (values < 0)].sum()), float(weights[is_open].sum())
