"""How long a run will still take, measured from what it took so far."""

from typing import final

from residua.report.numbers import duration

_STEPS_TO_WARM_UP = 3
"""The first steps allocate memory and choose algorithms; they say nothing of the rest."""


@final
class Pace:
    """Estimates the time left from the epochs of this session, their evaluation included.

    Until an epoch has ended nobody knows what evaluation costs: the estimate then rests on the steps
    alone, after the first few, and says "at least". An epoch that was resumed in its middle counts as
    the share of it that was seen here.

    Args:
        epochs: Of the whole run.
        steps_per_epoch: Optimizer steps of an epoch.
        first_epoch: Where this session begins, counted from 1.
        now: The clock's seconds at the start.
    """

    def __init__(self, *, epochs: int, steps_per_epoch: int, first_epoch: int, now: float) -> None:
        self._epochs = epochs
        self._steps_per_epoch = steps_per_epoch
        self._finished = first_epoch - 1
        self._began = self._epoch_began = self._last_step = now
        self._epochs_here = 0.0
        self._step_in_epoch = self._steps_of_epoch_here = 0
        self._steps_here = self._images = 0
        self._training_seconds = 0.0

    def step(self, step: int, images: int, now: float) -> None:
        """Takes note of a step: its number in the epoch, its images, and when it ended."""
        self._steps_here += 1
        self._steps_of_epoch_here += 1
        self._step_in_epoch = step
        if self._steps_here > _STEPS_TO_WARM_UP:
            self._images += images
            self._training_seconds += now - self._last_step
        self._last_step = now

    def epoch(self, epoch: int, now: float) -> None:
        """Takes note that an epoch ended, evaluation included."""
        self._finished = epoch
        self._epochs_here += self._steps_of_epoch_here / self._steps_per_epoch
        self._step_in_epoch = self._steps_of_epoch_here = 0
        self._epoch_began = self._last_step = now

    @property
    def images_per_second(self) -> float:
        """Returns the images a second of training steps, evaluation apart; 0 where nothing is known yet."""
        return self._images / self._training_seconds if self._training_seconds > 0 else 0.0

    def seconds_left(self, now: float) -> tuple[float, bool] | None:
        """Returns the seconds left, and whether they are only a lower bound; None where nothing is known."""
        to_come = self._epochs - self._finished
        if self._epochs_here > 0:
            per_epoch = (self._epoch_began - self._began) / self._epochs_here
            return max(0.0, to_come * per_epoch - (now - self._epoch_began)), False
        measured = self._steps_here - _STEPS_TO_WARM_UP
        if measured < 1:
            return None
        steps_left = to_come * self._steps_per_epoch - self._step_in_epoch
        return steps_left * self._training_seconds / measured, True

    def left(self, now: float) -> str:
        """Says the time left: ``2 min 05 s left``, ``at least 40 s left``."""
        estimate = self.seconds_left(now)
        if estimate is None:
            return "measuring the time left"
        seconds, only_lower = estimate
        return f"{'at least ' if only_lower else ''}{duration(seconds)} left"
