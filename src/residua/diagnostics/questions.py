"""The classic questions that a short training on a copy answers."""

from dataclasses import dataclass
from typing import final

from residua.diagnostics.case import Case


@final
@dataclass(frozen=True, kw_only=True)
class FirstUpdate:
    """How far the first step moves one tensor."""

    name: str
    ratio: float
    """‖w′ − w‖ / ‖w‖."""


@final
@dataclass(frozen=True, kw_only=True)
class Questions:
    """The answers; losses are means over examples. What could not be asked is None."""

    first_loss: float
    expected_first_loss: float | None
    """ln k for the cross-entropy of k classes."""
    overfit: tuple[float, ...]
    """Losses while one small batch is learned again and again."""
    overfit_examples: int
    learned: tuple[float, ...] | None
    """Losses of a short training on the examples as they are, smoothed."""
    blanked: tuple[float, ...] | None
    """Likewise with all inputs the same: what the labels' frequencies alone give."""
    permuted: tuple[float, ...] | None
    """Likewise with labels permuted among the examples: what remembering gives."""
    updates: tuple[FirstUpdate, ...]
    optimizer: str
    """Which, and whose choice: ``SGD, as given``, ``Adam 1e-3, none was given``."""
    steps: int


def questions(case: Case, *, steps: int = 40, size: int = 64) -> Questions:
    raise NotImplementedError
