"""A quantity that was measured on several batches."""

from dataclasses import dataclass
from statistics import median
from typing import final


@final
@dataclass(frozen=True)
class Measured:
    """One number a batch; the spread is drawn, not summed up."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """Returns the median over the batches."""
        return median(self.values)

    @property
    def low(self) -> float:
        """Returns the smallest."""
        return min(self.values)

    @property
    def high(self) -> float:
        """Returns the largest."""
        return max(self.values)
