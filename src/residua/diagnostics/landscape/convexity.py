"""The Hessian within a plane of a surface: where the loss bends down along some direction of the picture.

Second differences of a map in half precision are noise; these are exact products. d_xᵀHd_x ≥ 0 and a positive
determinant everywhere are necessary for convexity, not sufficient: a loss may bend down along a direction that is not
in the picture, and over so many it nearly always does. Li et al. 2018 (arXiv:1712.09913, §6) map |λ_min / λ_max| of the
whole Hessian, at the cost of a Lanczos run in every cell; that ratio is left out.

Notation: θ + a d_x + b d_y, a point of the plane; H = ∇²L there.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from residua.diagnostics.case import Case
from residua.diagnostics.curvature.products import Products, products_of
from residua.diagnostics.curvature.ways import way_of
from residua.diagnostics.landscape.directions import Direction
from residua.diagnostics.landscape.grid import Grid
from residua.diagnostics.landscape.surface import Plane, Surface
from residua.errors import BadSetting


def plane_of(
    case: Case,
    of: Surface | Grid,
    *,
    every: int = 4,
    policy: str = "frozen",
    told: Callable[[int, int], None] | None = None,
) -> Plane:
    """Measures d_xᵀHd_x, d_xᵀHd_y and d_yᵀHd_y on every few cells of a plane, its edges and middle among them.

    Two products a cell, Hd_x and Hd_y, of all of the case's examples, in float32 (float64 where the module is). What a
    direction moves of the buffers is part of it. The module comes back as it was.

    Args:
        case: Whose module is at the centre, and whose examples the loss is the mean over.
        of: A surface over a plane, or its grid.
        every: Cells from one that is measured to the next, along both axes.
        policy: What batch norms do: ``frozen`` or ``batch``, as `products_of` has it.
        told: Is told the cells done and their number.

    Raises:
        BadSetting: If it is a line, ``every`` is below 1, or there is no such policy of a Hessian.
        BadNetwork: If the loss has no second derivative.
    """
    grid = of.grid if isinstance(of, Surface) else of
    if len(grid.axes) != 2:
        raise BadSetting("a line has no plane to be convex in; give a surface over two directions")
    if every < 1:
        raise BadSetting(f"every is {every}; it takes 1 (each cell) or more")
    rows, columns = (_spread(size, every) for size in grid.shape)
    found = np.full((3, len(rows), len(columns)), np.nan)
    way = way_of(case, policy=policy)
    moved = sorted({name for axis in grid.axes for name, _ in axis.direction.buffers})
    with products_of(case, case.examples, policy=policy, way=way, buffers=moved) as products:
        x, y = (_vector(products, axis.direction) for axis in grid.axes)
        for done, (j, i) in enumerate(np.ndindex(len(rows), len(columns)), start=1):
            a, b = grid.axes[0].values[columns[i]], grid.axes[1].values[rows[j]]
            found[:, j, i] = _within(products, x, y, products.centre + a * x + b * y)
            if told is not None:
                told(done, len(rows) * len(columns))
    return Plane(rows=rows, columns=columns, xx=found[0], xy=found[1], yy=found[2])


def _spread(size: int, every: int) -> tuple[int, ...]:
    """Returns indices from the first to the last, about ``every`` apart, symmetric about the middle."""
    count = max(2, round((size - 1) / every) + 1)
    count += (size % 2 == 1) and (count % 2 == 0)  # an odd number of cells has a middle: the centre
    return tuple(sorted({round(place) for place in np.linspace(0, size - 1, min(count, size)).tolist()}))


def _vector(products: Products, direction: Direction) -> Tensor:
    """Returns what a direction moves: the parameters, then of the buffers that move along either direction its own."""
    parts, moved = [direction.vector.to(products.centre)], dict(direction.buffers)
    for slot in products.layout.slots:
        if slot.start >= len(direction.vector):
            own = moved.get(slot.name, torch.zeros(slot.shape))
            parts.append(own.to(products.centre).reshape(-1))
    return torch.cat(parts)


def _within(products: Products, x: Tensor, y: Tensor, at: Tensor) -> tuple[float, float, float]:
    """Returns d_xᵀHd_x, d_xᵀHd_y, the mean of its two values, and d_yᵀHd_y; NaN where they are not finite."""
    hx, hy = products(x, at).double(), products(y, at).double()
    wide_x, wide_y = x.double(), y.double()
    found = float(wide_x @ hx), float(wide_x @ hy + wide_y @ hx) / 2, float(wide_y @ hy)
    return found if np.isfinite(found).all() else (float("nan"),) * 3  # type: ignore[return-value]
