"""Which points of a line or a plane are looked at, in which order, and by whom."""

from dataclasses import dataclass
from itertools import pairwise
from math import isfinite
from typing import final

from residua.diagnostics.landscape.directions import Direction
from residua.errors import BadSetting

Cell = tuple[int, int]
"""Row j and column i: the point (x_i, y_j)."""
_COARSEST = 16
"""Cells from one point of the first, coarsest picture to the next."""


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Axis:
    """One direction and the coordinates along it."""

    direction: Direction
    values: tuple[float, ...]
    """Rising, two at least; any range, 0 in it or not."""

    def __post_init__(self) -> None:
        shown = f"{', '.join(f'{one:g}' for one in self.values[:4])}{', …' if len(self.values) > 4 else ''}"
        if len(self.values) < 2:
            raise BadSetting(f"an axis has {len(self.values)} values ({shown}); a line needs two at least: more steps")
        if not all(map(isfinite, self.values)):
            raise BadSetting(f"an axis has values that are no numbers ({shown}); give a range such as −1 to 1")
        if any(one >= other for one, other in pairwise(self.values)):
            raise BadSetting(f"an axis' values do not rise ({shown}); give a range such as −1 to 1, wider than 0")

    @property
    def width(self) -> float:
        """Returns how far the axis reaches, from its first value to its last."""
        return self.values[-1] - self.values[0]


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Grid:
    """The points of a line (one axis) or a plane (two: x, then y); cell [j, i] is (x_i, y_j)."""

    axes: tuple[Axis, ...]

    def __post_init__(self) -> None:
        if len(self.axes) not in (1, 2):
            raise BadSetting(f"a grid has {len(self.axes)} axes; give one for a line, or two for a plane")

    @property
    def shape(self) -> tuple[int, int]:
        """Returns rows (of y; 1 of a line) and columns (of x)."""
        x, *others = self.axes
        return (len(others[0].values) if others else 1, len(x.values))

    def point(self, cell: Cell) -> tuple[float, ...]:
        """Returns the coordinates of a cell, one an axis."""
        return tuple(axis.values[place] for axis, place in zip(self.axes, reversed(cell), strict=False))


def spaced(direction: Direction, low: float, high: float, *, steps: int) -> Axis:
    """Returns an axis with so many values at equal distances; the middle of −r … r is 0 exactly.

    Raises:
        BadSetting: If there are fewer than two values, or they are no numbers, or do not rise.
    """
    inner = [float(low + (high - low) * (place / (steps - 1))) for place in range(steps - 1)]
    return Axis(direction=direction, values=(*inner, float(high)))


def coarse_to_fine(shape: tuple[int, int], share: tuple[int, int] = (1, 1)) -> tuple[Cell, ...]:
    """Returns the cells of a grid [rows, columns] so that each beginning of them is a picture of the whole.

    First every 16th row and column from the middle, the middle first, then every 8th, and so on: after 1/15 of the
    work every fourth is there. Share (i, n) is the i-th of n machines' cells, i from 1: every n-th of these, so that
    each has a picture.

    Raises:
        BadSetting: If there is no such share.
    """
    place, count = share
    if not 1 <= place <= count:
        raise BadSetting(f"share is {place}/{count}; give one of 1/{max(count, 1)} to {max(count, 1)}/{max(count, 1)}")
    rows, columns = shape

    def rank(cell: Cell) -> tuple[int, int, Cell]:
        down, right = cell[0] - rows // 2, cell[1] - columns // 2
        return -min(_spacing(down), _spacing(right)), down**2 + right**2, cell

    ordered = sorted(((j, i) for j in range(rows) for i in range(columns)), key=rank)
    return tuple(ordered[place - 1 :: count])


def _spacing(offset: int) -> int:
    """Returns the coarsest spacing whose picture has a row or column in it, so far from the middle."""
    spacing = _COARSEST
    while offset % spacing:
        spacing //= 2
    return spacing
