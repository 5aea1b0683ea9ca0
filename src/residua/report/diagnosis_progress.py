"""What a diagnosis shows of itself while it measures: the part under way, and about how long the rest will take."""

import contextlib
import time
from collections.abc import Callable, Iterator

from rich.console import Console

from residua.diagnostics.what_if import Told
from residua.networks.variants import Variant
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


@contextlib.contextmanager
def remedies_progress(display: Display | None = None) -> Iterator[Told]:
    """Shows the remedies being tried on the standard error, and says how long that takes once the first has told."""
    shown = display or fitting_display(Console(stderr=True))
    in_all = 0

    def tell(variant: Variant, left: int, seconds: float | None) -> None:
        nonlocal in_all
        if seconds is None:
            in_all = left
            shown.say(f"remedies: {left - 1} variants beside the network as it is, which is measured first")
            shown.start(left, 0)
            return
        if left == in_all - 1:
            shown.say(f"trying {left} variants takes about {duration(seconds)}")
        what = f"{variant.name}: {variant.says}" if variant.says else variant.name
        shown.update(in_all - left, what, f"about {duration(seconds)} left")
        shown.epoch(f"{what} · about {duration(seconds)} left")

    try:
        yield tell
    finally:
        shown.stop()
