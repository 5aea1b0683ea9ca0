"""Progress of what goes before training: downloads, decoding."""

import contextlib
from collections.abc import Callable, Iterator
from typing import final

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text

from residua.report.displays import BAR_LETTERS, is_live, write
from residua.report.numbers import compact

Transfer = Callable[[str, int, int | None], None]
"""Is told what is being done, how much of it is done, and how much there is in all (None where unknown)."""


@contextlib.contextmanager
def transfer_progress(console: Console | None = None) -> Iterator[Transfer]:
    """Shows downloads and decoding; yields what is to be told (what, done, in all).

    On a terminal a bar for each name, taken away at the end; elsewhere one line when a name is first told.
    """
    out = console or Console()
    if not is_live(out):
        yield _line_for_each(out)
        return
    with Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=BAR_LETTERS),
        _Share(),
        console=out,
        transient=True,
    ) as progress:
        yield _bar_for_each(progress)


def _line_for_each(console: Console) -> Transfer:
    told: set[str] = set()

    def tell(what: str, _done: int, _total: int | None) -> None:
        if what not in told:
            told.add(what)
            write(console, what)

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
        return Text(compact(task.completed), style="bold")
