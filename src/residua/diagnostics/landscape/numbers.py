"""A surface in four numbers, and what several directions say together.

Notation: L [rows, columns] the loss; a line is a row or a column of it with three cells or more.
"""

import numpy as np

from residua.diagnostics.landscape.surface import Array, Numbers, Surface

_NEAR = 1.0
_ROUNDING = 1e-5
"""A line that varies by less than this part of its size is level, but for the rounding of float32."""


def numbers_of(surface: Surface) -> Numbers:
    """Returns the numbers of a surface's first part; cells that are not computed yet count nowhere.

    A loss that is no number counts as infinite: above every other, and not near the centre's. The roughness is NaN
    where a cell is missing, or the map is not in float32, whose rounding would be measured.
    """
    cells = surface.cells[0]
    known = cells.loss[~np.isnan(cells.loss)]
    is_exact = surface.precision.name in ("float32", "float64")
    return Numbers(
        median=float(np.median(known)) if len(known) else float("nan"),
        near=_share(np.abs(known - cells.centre.loss) <= _NEAR),
        non_convex=_non_convex(surface),
        roughness=roughness(cells.loss) if is_exact else float("nan"),
    )


def roughness(loss: Array) -> float:
    """Returns how far lines go up and down beside falling to their minimum and rising from it, in units of their range.

    With L_1 … L_n along a line, its range R = max L − min L, and what a line does at least, V = (L_1 − min L) +
    (L_n − min L),

        roughness = mean over all lines of (Σ_i |L_{i+1} − L_i| − V) / R.

    0 where every line falls and then rises (quasi-convex: a level, a plane, a bowl); 2 for one ridge as high as the
    whole line is; of white noise it is about n/3 and more, so compare equal numbers of cells alone. Without unit:
    adding to the loss or multiplying it changes nothing, and each line has a say of its own, however high the rest of
    the map. An infinite loss is the limit of a high one: an infinite stretch within a line adds 2, at its end 0. NaN
    where a cell is NaN, or there is no line.
    """
    lines = [line for line in (*loss, *loss.T) if len(line) > 2]
    if not lines or np.isnan(loss).any():
        return float("nan")
    return float(np.mean([_of_line(line) for line in lines]))


def confidence(count: int) -> float:
    """Returns how surely the least and the largest of n values enclose the median of what they are drawn from.

    With so few directions, skewed numbers, shares, zeros and infinities, neither a bootstrap nor a normal law holds.
    That the extremes of n independent values enclose the median of their distribution has probability 1 − 2^(1−n) for
    any continuous one, and at least that for any other: 75 % of 3, 94 % of 5, 99.8 % of 10.
    """
    return 1 - 2.0 ** (1 - count)


def _of_line(line: Array) -> float:
    if np.isinf(line).any():
        line = np.isinf(line).astype(float)  # beside the infinite, the rest is level
    low, high = line.min(), line.max()
    if high - low <= _ROUNDING * max(abs(low), abs(high)):
        return 0.0
    least = line[0] - low + line[-1] - low
    return float((np.abs(np.diff(line)).sum() - least) / (high - low))


def _non_convex(surface: Surface) -> float | None:
    """Returns the share of the plane's known cells with a negative eigenvalue."""
    if surface.plane is None:
        return None
    lowest = surface.plane.lowest
    known = lowest[~np.isnan(lowest)]
    return _share(known < 0) if known.size else None


def _share(which: Array) -> float:
    return float(np.mean(which)) if which.size else float("nan")
