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
"""A node within this part of the largest of zero is not below it: the Hessian's null space, rounded in float32."""


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
    """Share of the mass below zero, by the nodes themselves, 0 to 1."""


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
        negative=float(weights[values < -_ROUNDING * largest].sum()),
    )
