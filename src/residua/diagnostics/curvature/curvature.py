"""What is known of a network's Hessian at its weights: ∇²L [p, p], L the mean loss over n examples."""

from dataclasses import dataclass
from typing import final

from residua.diagnostics.measured import Measured


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


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Curvature:
    """The Hessian's summary, over several draws of images."""

    name: str
    parameters: int
    images: int
    """Of each draw."""
    draws: int
    policy: str
    """``frozen``: batch norms use their running statistics; ``batch``: those of the images."""
    top: tuple[Measured, ...]
    """Largest eigenvalues, largest first, each with its values over the draws."""
    lowest: Measured
    """The most negative eigenvalue."""
    trace: Measured
    trace_error: float
    """Standard error of the trace's estimate within a draw, median over the draws."""
    density: Density | None
    """Of the first draw."""
    gradient_norm: Measured
    loss: Measured
    products: int
    """Hessian–vector products that were taken in all."""
    seconds: float
    remarks: tuple[str, ...] = ()
