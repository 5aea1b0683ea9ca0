"""What a landscape shows of itself while it is computed: how many cells, and about how long the rest will take."""

import contextlib
import time
from collections.abc import Callable, Iterator

from rich.console import Console

from residua.report.displays import Display, fitting_display
from residua.report.numbers import count, duration

_WRITES = 10
"""Lines where there is no terminal to draw in."""


@contextlib.contextmanager
def landscape_progress(
    display: Display | None = None, *, clock: Callable[[], float] = time.perf_counter
) -> Iterator[Callable[[str, int, int], float | None]]:
    """Shows cells being computed on the standard error; yields what is told a stage, and cells done and in all.

    It answers with the seconds left, for a page that is written meanwhile; None where nothing is known yet. They follow
    from the cells of this sitting: those that an earlier one computed count as done and took no time here.
    """
    shown = display or fitting_display(Console(stderr=True))
    stage, began, before, written = "", 0.0, 0, 0.0

    def tell(name: str, done: int, total: int) -> float | None:
        nonlocal stage, began, before, written
        if name != stage:
            if stage:
                shown.stop()
            stage, began, before, written = name, clock(), done, 0.0
            shown.start(max(1, total), done)
        here = done - before
        seconds = (clock() - began) / here * (total - done) if here else None
        left = "measuring the time left" if seconds is None else f"about {duration(seconds)} left"
        status = f"{name}, {count(done)} of {count(total)}"
        shown.update(done, status, left)
        if done == total or (done - before) >= written + total / _WRITES:
            written = done - before
            shown.epoch(f"{status} · {left}")
        return seconds

    try:
        yield tell
    finally:
        shown.stop()
