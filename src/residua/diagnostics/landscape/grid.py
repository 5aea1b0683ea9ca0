"""Which points of a line or a plane are looked at, in which order, and by whom."""

from dataclasses import dataclass
from typing import final

from residua.diagnostics.landscape.directions import Direction


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Axis:
    """One direction and the coordinates along it."""

    direction: Direction
    values: tuple[float, ...]
    """Rising, two at least; any range, 0 in it or not."""


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Grid:
    """The points of a line (one axis) or a plane (two: x, then y); cell [j, i] is (x_i, y_j)."""

    axes: tuple[Axis, ...]

    @property
    def shape(self) -> tuple[int, int]:
        """Returns rows (of y; 1 of a line) and columns (of x)."""
        return (len(self.axes[1].values) if len(self.axes) > 1 else 1, len(self.axes[0].values))
