"""The learning-rate range test: which rates a network learns at, found on a copy in a hundred steps.

Smith 2017, arXiv:1506.01186, §3.3: the rate rises from step to step while the loss is watched; it falls where the
rate is useful and rises where the rate is too large. Here the rate rises exponentially from a ten-thousandth to a
hundred times the recipe's, so that one test serves every optimizer, and everything else (batches, augmentation,
momentum, decay) is the recipe's own, but that no weights are averaged.

The rule of the suggestion: a tenth of the rate at which the smoothed loss is lowest (Howard and Gugger 2020,
arXiv:2002.04688, `lr_find`'s ``minimum``). It suits the peak of a schedule that warms up.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal, final

from residua.errors import NonFiniteLoss
from residua.training import pace
from residua.training.loop import Course, read_losses
from residua.training.state import State

STEPS = 100
_LOWEST, _HIGHEST = 1e-4, 1e2
"""Rates of the first and the last step over the recipe's."""
_MEMORY = 0.9
"""Of the running mean of the loss: ten steps' worth."""
_DIVERGED = 4.0
"""The test ends where the smoothed loss is so many times its lowest (as fastai's does)."""
_BELOW_LOWEST = 1 / 10


@final
@dataclass(frozen=True, kw_only=True)
class TriedRate:
    """One step of the test."""

    rate: float
    loss: float
    """Of the step's batch, before the step changed a weight."""
    smoothed: float
    """Running mean of the losses so far, newest weighted most; free of the bias of its beginning."""


@final
@dataclass(frozen=True, kw_only=True)
class RateTest:
    """What the test found."""

    tried: tuple[TriedRate, ...]
    recipe_rate: float
    """The peak of the schedule that the recipe would take."""
    ended: Literal["all rates tried", "diverged", "not finite"]

    @property
    def lowest(self) -> TriedRate | None:
        """Returns the step of lowest smoothed loss; None where no step came after the first."""
        return min(self.tried[1:], key=lambda step: step.smoothed, default=None)

    @property
    def suggested(self) -> float | None:
        """Returns the suggested rate to two digits; None where the loss never fell."""
        if self.lowest is None or self.lowest.smoothed >= self.tried[0].smoothed:
            return None
        return float(f"{_BELOW_LOWEST * self.lowest.rate:.1e}")

    @property
    def still_falls(self) -> bool:
        """Says whether the loss was lowest at the largest rate, so that larger ones may do, too."""
        return self.ended == "all rates tried" and self.lowest == self.tried[-1]


def find_learning_rate(
    course: Course,
    state: State,
    *,
    steps: int = STEPS,
    told: Callable[[int, int], None] | None = None,
) -> RateTest:
    """Tries rising rates on a copy of the network; what is trained afterwards is the same to the bit.

    Args:
        course: What would be trained; its images, batches and recipe are used.
        state: Is not changed, nor is any random state.
        steps: How many rates, one a step; epochs follow each other as they must.
        told: Is told the steps done and their number.
    """
    recipe_rate = course.recipe.optimizer.learning_rate
    rates = tuple(recipe_rate * _LOWEST * (_HIGHEST / _LOWEST) ** (step / max(1, steps - 1)) for step in range(steps))
    losses = _losses(*pace.trial(replace(course, rates=rates), state))
    tried: list[TriedRate] = []
    for rate in rates:
        try:
            loss = next(losses)
        except NonFiniteLoss:
            return RateTest(tried=tuple(tried), recipe_rate=recipe_rate, ended="not finite")
        tried.append(TriedRate(rate=rate, loss=loss, smoothed=_smoothed(tried, loss)))
        if tried[-1].smoothed > _DIVERGED * min(one.smoothed for one in tried):
            return RateTest(tried=tuple(tried), recipe_rate=recipe_rate, ended="diverged")
        if told is not None:
            told(len(tried), steps)
    return RateTest(tried=tuple(tried), recipe_rate=recipe_rate, ended="all rates tried")


def _losses(course: Course, trial: State) -> Iterator[float]:
    """Takes steps epoch after epoch and yields the loss of each, read at once."""
    for images in pace.endless_steps(course, trial):
        read_losses(course, trial, None, step=trial.position.total_steps)
        yield trial.position.loss_sum / images
        trial.position.loss_sum = 0.0


def _smoothed(tried: list[TriedRate], loss: float) -> float:
    """Returns Σ βⁱ lossᵢ / Σ βⁱ, i counting back from the newest step (Kingma and Ba 2015, §3, for its bias)."""
    if not tried:
        return loss
    weight = (1 - _MEMORY ** len(tried)) / (1 - _MEMORY)  # of all steps before: 1 + β + …
    return (loss + _MEMORY * weight * tried[-1].smoothed) / (1 + _MEMORY * weight)
