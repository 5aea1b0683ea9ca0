"""What a run shows of itself while it trains."""

import shlex
import time
from collections.abc import Callable
from typing import final

from rich.console import Console

from residua.report import numbers
from residua.report.displays import Display, fitting_display
from residua.report.pace import Pace
from residua.training.observers import EpochEnded, RunEnded, RunStarted, StepEnded


@final
class ProgressObserver:
    """Shows a run while it trains: epoch, loss, accuracy, images per second, time left.

    On a terminal a live bar, in a notebook an updating cell, elsewhere one line an epoch. The time left
    follows from the time that this session's epochs took, their evaluation included (`Pace`).

    Args:
        console: Where to write; standard output if None.
        display: What draws, where the kind of output is not to decide.
        clock: Returns seconds that never run backwards.
    """

    def __init__(
        self,
        console: Console | None = None,
        *,
        display: Display | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._display = display or fitting_display(console or Console())
        self._clock = clock
        self._pace: Pace | None = None
        self._started: RunStarted | None = None
        self._validation = ""

    def run_started(self, event: RunStarted) -> None:
        """Writes the headline and the notes, and starts the bar at the first epoch of this session."""
        self._started = event
        self._pace = Pace(
            epochs=event.epochs,
            steps_per_epoch=event.steps_per_epoch,
            first_epoch=event.first_epoch,
            now=self._clock(),
        )
        self._display.say(event.headline)
        for note in event.notes:
            self._display.say(f"  {note}")
        if event.first_epoch > 1:
            self._display.say(f"  goes on with epoch {event.first_epoch} of {event.epochs}")
        self._display.start(event.epochs * event.steps_per_epoch, (event.first_epoch - 1) * event.steps_per_epoch)

    def step_ended(self, event: StepEnded) -> None:
        """Moves the bar by one step."""
        if self._pace is None or self._started is None:
            return
        now = self._clock()
        self._pace.step(event.step, event.images, now)
        done = (event.epoch - 1) * self._started.steps_per_epoch + event.step
        self._display.update(done, self._status(event), _speed(self._pace, now))

    def epoch_ended(self, event: EpochEnded) -> None:
        """Writes the epoch's numbers as one line where there is no bar."""
        if self._pace is None or self._started is None:
            return
        now = self._clock()
        self._pace.epoch(event.epoch, now)
        if event.validation_accuracy is not None:
            self._validation = f"validation {numbers.percent(event.validation_accuracy)}"
        self._display.epoch(f"{epoch_line(event, self._started.epochs)} · {self._pace.left(now)}")

    def run_ended(self, event: RunEnded) -> None:
        """Takes the bar away and writes the result, and the next step where it is no better than a baseline."""
        self._display.stop()
        took = numbers.duration(event.seconds)
        if event.part is None or event.accuracy is None or event.interval is None:
            self._display.say(f"no image was held out, so nobody knows how good it is; in {took}: {event.run}")
            return
        bounds = numbers.interval(event.interval)
        accuracy = numbers.percent(event.accuracy)
        again = f", with {event.views[0]} views {numbers.percent(event.views[1])}" if event.views else ""
        self._display.say(f"{event.part} accuracy {accuracy} (95 % interval {bounds}){again} in {took}: {event.run}")
        if not event.beats_baselines:
            self._display.say(f"next: residua diagnose {shlex.quote(event.run)}")

    def run_stopped(self) -> None:
        """Takes the bar away."""
        self._display.stop()

    def _status(self, event: StepEnded) -> str:
        epochs = self._started.epochs if self._started else event.epoch
        parts = [f"epoch {event.epoch}/{epochs}"]
        if event.loss is not None:
            parts.append(f"loss {event.loss:.3f}")
        if event.accuracy is not None:
            parts.append(f"accuracy {numbers.percent(event.accuracy)}")
        parts += [self._validation] if self._validation else []
        return " · ".join(parts)


def epoch_line(event: EpochEnded, epochs: int) -> str:
    """Writes an epoch's metrics as one line."""
    parts = [
        f"epoch {event.epoch:>{len(str(epochs))}}/{epochs}",
        f"train loss {event.train_loss:.3f}, accuracy {numbers.percent(event.train_accuracy)}",
    ]
    if event.validation_loss is not None:
        held = f"validation loss {event.validation_loss:.3f}"
        parts.append(f"{held}, accuracy {numbers.percent(event.validation_accuracy)}")
    return " · ".join([*parts, f"{numbers.count(round(event.images_per_second))} images/s"])


def _speed(pace: Pace, now: float) -> str:
    rate = pace.images_per_second
    return f"{numbers.count(round(rate))} images/s · {pace.left(now)}" if rate else pace.left(now)
