"""Progress on the terminal: a live bar, plain lines where nobody watches, an updating cell in a notebook."""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Protocol, final

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from residua.report import numbers
from residua.report.notebook import Cell, in_notebook
from residua.report.pace import Pace
from residua.training.observers import EpochEnded, RunEnded, RunStarted, StepEnded

Transfer = Callable[[str, int, int | None], None]
"""Is told what is being done, how much of it is done, and how much there is in all (None where unknown)."""

_BAR_LETTERS = 30
_DRAWS_PER_SECOND = 8


class Display(Protocol):
    """Shows how far a run is; told at every step, it decides itself how often to draw."""

    def say(self, line: str) -> None: ...

    def start(self, steps: int, done: int) -> None: ...

    def update(self, done: int, status: str, left: str) -> None: ...

    def epoch(self, line: str) -> None: ...

    def stop(self) -> None: ...


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
        self._display = display or _display(console or Console())
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
        self._display.update(done, self._status(event), self._pace.left(now))

    def epoch_ended(self, event: EpochEnded) -> None:
        """Writes the epoch's numbers as one line where there is no bar."""
        if self._pace is None or self._started is None:
            return
        now = self._clock()
        self._pace.epoch(event.epoch, now)
        if event.validation_accuracy is not None:
            self._validation = f"validation accuracy {numbers.percent(event.validation_accuracy)}"
        self._display.epoch(f"{epoch_line(event, self._started.epochs)} · {self._pace.left(now)}")

    def run_ended(self, event: RunEnded) -> None:
        """Takes the bar away and writes the result."""
        self._display.stop()
        bounds = numbers.interval(event.interval)
        took = numbers.duration(event.seconds)
        accuracy = numbers.percent(event.accuracy)
        self._display.say(f"{event.part} accuracy {accuracy} (95 % interval {bounds}) in {took}: {event.run}")

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
        rate = self._pace.images_per_second if self._pace else 0.0
        return " · ".join(parts + ([f"{numbers.count(round(rate))} images/s"] if rate else []))


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


@contextlib.contextmanager
def transfer_progress(console: Console | None = None) -> Iterator[Transfer]:
    """Shows downloads and decoding; yields what is to be told (what, done, in all).

    On a terminal a bar for each name, taken away at the end; elsewhere one line when a name is first told.
    """
    out = console or Console()
    if not _is_live(out):
        yield _line_for_each(out)
        return
    with Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=_BAR_LETTERS),
        _Share(),
        console=out,
        transient=True,
    ) as progress:
        yield _bar_for_each(progress)


def _line_for_each(console: Console) -> Transfer:
    told: set[str] = set()

    def tell(what: str, done: int, total: int | None) -> None:
        if what not in told:
            told.add(what)
            _write(console, what)

    return tell


def _bar_for_each(progress: Progress) -> Transfer:
    tasks = {}

    def tell(what: str, done: int, total: int | None) -> None:
        if what not in tasks:
            tasks[what] = progress.add_task(what, total=total)
        progress.update(tasks[what], completed=done, total=total)

    return tell


@final
class _Share(ProgressColumn):
    """Shows the share that is done, or the amount where the whole is unknown."""

    def render(self, task: Task) -> Text:
        if task.total:
            return Text(f"{100 * task.completed / task.total:3.0f} %", style="bold")
        return Text(numbers.compact(task.completed), style="bold")


@final
class _LiveBar:
    """Two lines at the foot of the terminal, the bar and the numbers; what is said appears above them."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar = ProgressBar(total=1, width=_BAR_LETTERS)
        self._left = self._status = ""
        self._live = Live(
            console=console, get_renderable=self._draw, transient=True, refresh_per_second=_DRAWS_PER_SECOND
        )

    def say(self, line: str) -> None:
        _write(self._console, line)

    def start(self, steps: int, done: int) -> None:
        self._bar.update(done, steps)
        self._live.start()

    def update(self, done: int, status: str, left: str) -> None:
        self._bar.update(done)
        self._status, self._left = status, left

    def epoch(self, line: str) -> None:
        pass

    def stop(self) -> None:
        self._live.stop()

    def _draw(self) -> Group:
        share = f"{self._bar.percentage_completed or 0:3.0f} %"
        first = Table.grid(padding=(0, 1))
        first.add_row(self._bar, Text(share), Text(self._left, no_wrap=True))
        return Group(first, Text(self._status, no_wrap=True, overflow="ellipsis"))


@final
class _Lines:
    """One line an epoch, for files and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def say(self, line: str) -> None:
        _write(self._console, line)

    def start(self, steps: int, done: int) -> None:
        pass

    def update(self, done: int, status: str, left: str) -> None:
        pass

    def epoch(self, line: str) -> None:
        _write(self._console, line)

    def stop(self) -> None:
        pass


def _display(console: Console) -> Display:
    if in_notebook():
        return Cell()
    return _LiveBar(console) if _is_live(console) else _Lines(console)


def _is_live(console: Console) -> bool:
    return console.is_terminal and not console.is_dumb_terminal and not in_notebook()


def _write(console: Console, line: str) -> None:
    """Writes text as it is: brackets are no markup, and long lines are wrapped only where somebody watches."""
    console.print(Text(line), soft_wrap=not console.is_terminal)
