"""What is lost when blocks are removed or exchanged (Veit et al. 2016, arXiv:1605.06431, §4.1 and 4.2)."""

from dataclasses import dataclass
from typing import Literal, final

from residua.diagnostics.case import Case


@final
@dataclass(frozen=True, kw_only=True)
class Lesion:
    """The error without some blocks, or with some exchanged."""

    names: tuple[str, ...]
    error: float
    recalibrated: float | None
    """With batch norms' statistics taken anew from training examples; None where there is no batch norm."""
    changes_shape: bool = False
    """Whether a removed block's shortcut is no identity."""


@final
@dataclass(frozen=True, kw_only=True)
class Lesions:
    """All lesions of one network."""

    quantity: Literal["error", "loss"]
    """Share of wrong answers, or the loss where there are no classes."""
    whole: float
    """Of the network as it is."""
    chance: float | None
    """Error of the commonest class."""
    single: tuple[Lesion, ...]
    """Each block removed: y = s(x)."""
    several: tuple[Lesion, ...]
    """k random blocks removed, for rising k, several draws each."""
    swapped: tuple[Lesion, ...]
    """k random pairs of blocks of one shape exchanged, likewise."""
    examples: int
    held_out: bool
    """Whether the examples are such that it did not learn from."""


def lesions(case: Case, *, examples: int = 512, draws: int = 5, seed: int = 0) -> Lesions:
    raise NotImplementedError
