"""What a diagnosis shows of itself while it measures: the part under way, and about how long the rest will take."""

import contextlib
import time
from collections.abc import Callable, Iterator

from rich.console import Console

from residua.report.displays import Display, fitting_display
from residua.report.numbers import duration


@contextlib.contextmanager
def diagnosis_progress(
    display: Display | None = None, *, clock: Callable[[], float] = time.perf_counter
) -> Iterator[Callable[[str, int, int], None]]:
    """Shows a diagnosis' parts on the standard error; yields what is told a part, and milliseconds behind and in all.

    These are expected ones. The time left is what is ahead of them, scaled by how long those behind took.
    """
    shown = display or fitting_display(Console(stderr=True))
    began, started = clock(), False

    def tell(part: str, behind: int, total: int) -> None:
        nonlocal started
        if not started:
            shown.start(max(1, total), 0)
            started = True
        pace = (clock() - began) * 1000 / behind if behind > 0 else 1.0
        left = f"about {duration((total - behind) / 1000 * pace)} left"
        shown.update(behind, part, left)
        shown.epoch(f"{part} · {left}")

    try:
        yield tell
    finally:
        shown.stop()
