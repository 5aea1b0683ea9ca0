"""Through paths of which length the gradient comes (Veit et al. 2016, arXiv:1605.06431, §4.3 and Fig. 6)."""

from dataclasses import dataclass
from typing import final

from residua.diagnostics.case import Case


@final
@dataclass(frozen=True, kw_only=True)
class PathLengths:
    """The gradient by the input, by how many branches it came through."""

    blocks: int
    lengths: tuple[int, ...]
    """0 to the number of blocks."""
    norms: tuple[float, ...]
    """Mean norm of the gradient that comes through one path of that length."""
    shares: tuple[float, ...]
    """Norm of a path times the number of such paths, over the sum of these."""
    mean_length: float
    """By these shares."""
    binomial_mean: float
    """Half of the blocks: what it would be if all paths counted alike."""


def path_lengths(case: Case, *, examples: int = 8, paths: int = 10) -> PathLengths:
    raise NotImplementedError
