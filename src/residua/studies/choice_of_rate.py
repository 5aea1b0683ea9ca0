"""Which learning rate an arm takes: the same small grid for every arm, decided on validation, at a seed of its own."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, isnan
from typing import final

from residua.studies.store import Store
from residua.training.record import Record

GRID_SEED = 1_000_000
"""Of the trials of a grid; none of a study's own, so that no seed that counts has chosen its rate."""


@final
@dataclass(frozen=True, kw_only=True)
class Tried:
    """One rate of a grid."""

    learning_rate: float
    address: str
    loss: float
    """On validation, with the weights that the run keeps; infinite where it diverged."""
    accuracy: float
    seconds: float
    error: str = ""
    """Why it failed, where otherwise than by diverging: the rate was then chosen without it."""


@final
@dataclass(frozen=True, kw_only=True)
class Choice:
    """The rate that an arm takes, and what it was chosen from."""

    learning_rate: float | None
    """None is the recipe's."""
    tried: tuple[Tried, ...] = ()
    """The grid, the smallest rate first; empty where none was run."""

    @property
    def seconds(self) -> float:
        """Returns what the grid cost."""
        return sum(one.seconds for one in self.tried)

    @property
    def edge(self) -> str:
        """Says which edge of the grid was chosen, beyond which a better rate may lie; empty where none was."""
        if len(self.tried) < 2 or self.learning_rate not in (self.tried[0].learning_rate, self.tried[-1].learning_rate):
            return ""
        return "smallest" if self.learning_rate == self.tried[0].learning_rate else "largest"


def chosen(tried: Sequence[Tried]) -> Choice:
    """Returns the rate of the lowest validation loss; of equal ones the more accurate, then the smaller."""

    def rank(one: Tried) -> tuple[float, float, float]:
        return (inf if isnan(one.loss) else one.loss, -one.accuracy, one.learning_rate)

    best = min(tried, key=rank)
    ordered = tuple(sorted(tried, key=lambda one: one.learning_rate))
    return Choice(learning_rate=best.learning_rate, tried=ordered)


def tried(store: Store, address: str, learning_rate: float) -> Tried | None:
    """Returns how a rate did; None where its trial has not ended. One that failed is worse than any other."""
    if store.is_trained(address):
        loss, accuracy, seconds = _outcome(store.trial(address))
        return Tried(learning_rate=learning_rate, address=address, loss=loss, accuracy=accuracy, seconds=seconds)
    if (failure := store.failure(address)) is not None:
        error = "" if failure.diverged else failure.error
        return Tried(learning_rate=learning_rate, address=address, loss=inf, accuracy=0.0, seconds=0.0, error=error)
    return None


def _outcome(run: Record) -> tuple[float, float, float]:
    """Returns a finished run's validation loss and accuracy, with the weights that it keeps, and its seconds."""
    kept = run.read("result")["parts"]["validation"]
    return kept["uncalibrated"]["loss"], kept["accuracy"], run.read("run")["seconds"]["total"]
