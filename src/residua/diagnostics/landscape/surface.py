"""The loss over a line or a plane through the weights, as data; what cannot be known from it is not in it.

Arrays are [rows of y, columns of x], float64; NaN is a cell that has not been computed (or whose loss is no number,
which ``done`` tells apart).
"""

from dataclasses import dataclass
from typing import Literal, final

import numpy as np

from residua.diagnostics.landscape.grid import Grid

Policy = Literal["frozen", "batch", "recalibrated"]
Array = np.ndarray


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Centre:
    """The network itself, in float32, on the same images, under the same norm policy."""

    loss: float
    error: float | None
    """Share of images that are wrong, 0 to 1; None where labels are no classes."""
    gradient_norm: float
    """‖∇L(θ)‖ over the parameters that need a gradient."""
    says: str
    """``near a minimum`` or why it is none: ``no minimum: the gradient's norm is …, a step of … lowers the loss …``."""
    is_minimum: bool


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Cells:
    """What was measured on one set of images."""

    part: str
    """``train`` or ``test``; ``validation`` where that is what a run held out."""
    images: int
    loss: Array
    error: Array | None
    """Share of images that are wrong, 0 to 1."""
    centre: Centre


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Precision:
    """How far the map is from float32, measured on some of its own cells."""

    name: str
    """``bfloat16`` or ``float32``."""
    cells: int
    """That were computed in both; 0 for a float32 map."""
    median: float
    """Of |L_map − L_32| / L_32."""
    worst: float


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Plane:
    """The Hessian within the plane, exact products in float32, on a grid of its own (every few cells of the map)."""

    rows: tuple[int, ...]
    """Which rows of the grid, by index."""
    columns: tuple[int, ...]
    xx: Array
    """d_xᵀ H d_x [rows, columns]; xy and yy alike; NaN where not computed."""
    xy: Array
    yy: Array

    @property
    def lowest(self) -> Array:
        """Returns the smaller eigenvalue of the 2 × 2 Hessian in the axes' coordinates; negative is non-convex."""
        half, product = (self.xx + self.yy) / 2, self.xx * self.yy - self.xy**2
        return half - np.sqrt(np.maximum(half**2 - product, 0))


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Trail:
    """The path that training took, in the plane."""

    x: tuple[float, ...]
    """Coordinates of each kept point, first to last."""
    y: tuple[float, ...]
    true_loss: tuple[float, ...]
    """At the points themselves, each with its own norm statistics (evaluation mode)."""
    projected_loss: tuple[float, ...]
    """At their projections into the plane, under the surface's policy."""
    explained: tuple[float, ...]
    """Shares of the path's variance along x and y, 0 to 1."""
    steps: tuple[int, ...]
    """Optimizer steps done at each point."""


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Numbers:
    """A surface in four numbers."""

    median: float
    """Of the loss over the cells; infinite where half of them are no numbers."""
    near: float
    """Share of cells whose loss is within 1 of the centre's, 0 to 1."""
    non_convex: float | None
    """Share of the plane's cells with a negative in-plane eigenvalue, 0 to 1; None where no plane was measured."""
    roughness: float
    """As `numbers.roughness` defines it."""


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Surface:
    """A surface and all that a figure must say about it."""

    name: str
    """Of the network or the run."""
    grid: Grid
    policy: Policy
    cells: tuple[Cells, ...]
    """The part that is drawn first; then others."""
    precision: Precision
    loss_name: str
    plane: Plane | None = None
    trail: Trail | None = None
    numbers: Numbers | None = None
    """Of the first part."""
    seconds: float = 0.0
    """Of computing the cells, all sittings together."""
    folded: int = 0
    """How many norms are part of a convolution while the cells are computed."""
    remarks: tuple[str, ...] = ()

    @property
    def done(self) -> float:
        """Returns the share of cells that have been computed, 0 to 1 (a loss that is no number is stored as inf)."""
        return float(np.mean(~np.isnan(self.cells[0].loss)))
