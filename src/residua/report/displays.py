"""Where progress appears: two moving lines on a terminal, plain lines elsewhere, a cell in a notebook."""

import contextlib
from typing import Protocol, final, runtime_checkable

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from residua.report.notebook import Cell, in_notebook

BAR_LETTERS = 26
_DRAWS_PER_SECOND = 8


@runtime_checkable
class Display(Protocol):
    """Shows how far a run is; told at every step, it decides itself how often to draw."""

    def say(self, line: str) -> None: ...

    def start(self, steps: int, done: int) -> None: ...

    def update(self, done: int, status: str, left: str) -> None: ...

    def epoch(self, line: str) -> None: ...

    def stop(self) -> None: ...


@final
class LiveBar:
    """Two lines at the foot of the terminal, the bar and the numbers; what is said appears above them."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar = ProgressBar(total=1, width=BAR_LETTERS)
        self._left = self._status = ""
        self._live = Live(
            console=console, get_renderable=self._draw, transient=True, refresh_per_second=_DRAWS_PER_SECOND
        )

    def say(self, line: str) -> None:
        write(self._console, line)

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
class Lines:
    """One line an epoch, for files and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def say(self, line: str) -> None:
        write(self._console, line)

    def start(self, steps: int, done: int) -> None:
        pass

    def update(self, done: int, status: str, left: str) -> None:
        pass

    def epoch(self, line: str) -> None:
        write(self._console, line)

    def stop(self) -> None:
        pass


def fitting_display(console: Console) -> Display:
    """Returns what suits the place that the console writes to."""
    if in_notebook():
        return Cell()
    return LiveBar(console) if is_live(console) else Lines(console)


def is_live(console: Console) -> bool:
    """Says whether somebody watches a terminal that can redraw lines."""
    return console.is_terminal and not console.is_dumb_terminal and not in_notebook()


def write(console: Console, line: str) -> None:
    """Writes text as it is: brackets are no markup, and long lines are wrapped only where somebody watches.

    A reader that has gone, as ``head`` goes, does not end what is told of.
    """
    with contextlib.suppress(
        BrokenPipeError, SystemExit
    ):  # rich would end the program, and writes nowhere from then on
        console.print(Text(line), soft_wrap=not console.is_terminal)
