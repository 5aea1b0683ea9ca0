"""Whether gradients by the input resemble noise (Balduzzi et al. 2017, arXiv:1702.08591)."""

from dataclasses import dataclass
from typing import final

from residua.diagnostics.case import Case


@final
@dataclass(frozen=True, kw_only=True)
class Shattering:
    """Autocorrelation of df/dx along a line of inputs, beside that of white and of brown noise."""

    lags: tuple[int, ...]
    autocorrelation: tuple[float, ...]
    white: tuple[float, ...]
    brown: tuple[float, ...]
    points: int


def shattering(case: Case, *, points: int = 256, lags: int = 15) -> Shattering:
    raise NotImplementedError
