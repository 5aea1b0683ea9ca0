"""Whether the blocks of a stage refine one estimate (Greff et al. 2017, arXiv:1612.07771)."""

from dataclasses import dataclass
from typing import final

from residua.diagnostics.case import Case


@final
@dataclass(frozen=True, kw_only=True)
class StageEstimates:
    """The outputs of a stage's blocks, compared with the last of them."""

    names: tuple[str, ...]
    cosines: tuple[float, ...]
    """Of each block's output to the stage's last, mean over the examples; the last is 1."""
    rises: bool
    """Whether they never fall by more than 0.01 from block to block."""


@final
@dataclass(frozen=True, kw_only=True)
class Estimation:
    """All stages: runs of places of one shape, two or more."""

    stages: tuple[StageEstimates, ...]


def iterative_estimation(case: Case, *, size: int = 64) -> Estimation:
    raise NotImplementedError
