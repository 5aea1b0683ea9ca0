"""What a study shows of itself while its trials run: done, running, left, about how long yet; and its answer."""

import contextlib
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping
from typing import final

from rich.console import Console

from residua.report.displays import Display, fitting_display
from residua.report.numbers import duration
from residua.report.section import plural
from residua.report.study_cards import claim_cards, edges
from residua.report.study_words import Language, said
from residua.studies.results import Results

_NAMED = 3
"""Running trials beyond these are counted."""


@final
class StudyProgress:
    """Told when a trial begins, ends or fails; a trial that another process runs is told of likewise.

    The time left is what the trials that are left were expected to take, times how much longer than expected those that
    ended took, over the workers; no less than the longest of them.

    Args:
        display: Where it appears.
        expected: Seconds of each trial that is yet to run, by its name.
        workers: That run trials at once.
        clock: Gives seconds.
    """

    def __init__(
        self,
        display: Display,
        expected: Mapping[str, float],
        *,
        workers: int = 1,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._display, self._clock, self._workers = display, clock, max(1, workers)
        self._left = dict(expected)
        self._trials, self._failed = len(expected), 0
        self._running: dict[str, float] = {}
        self._took = self._foreseen = 0.0
        several = f" on {workers} workers" if workers > 1 else ""
        display.say(f"{plural(self._trials, 'trial')} to run{several}, about {duration(self.seconds_left())}")
        display.start(max(1, self._trials), 0)

    def began(self, trial: str) -> None:
        """Takes note that a trial runs now."""
        self._running[trial] = self._clock()
        self._tell()

    def ended(self, trial: str) -> None:
        """Takes note that a trial is finished."""
        self._account(trial)
        self._tell(f"{trial} done")

    def failed(self, trial: str, error: str) -> None:
        """Takes note that a trial failed, and says why; the others go on."""
        self._account(trial)
        self._failed += 1
        self._display.say(f"{trial} failed: {error}")
        self._tell()

    def seconds_left(self) -> float:
        """Returns about how many seconds the trials that are left will take together."""
        pace, now = self._pace(), self._clock()
        rest = {
            trial: max(0.0, seconds * pace - (now - self._running.get(trial, now)))
            for trial, seconds in self._left.items()
        }
        return max(sum(rest.values()) / self._workers, max(rest.values(), default=0.0))

    def _pace(self) -> float:
        return self._took / self._foreseen if self._foreseen > 0 else 1.0

    def _account(self, trial: str) -> None:
        seconds, began = self._left.pop(trial, None), self._running.pop(trial, None)
        if seconds is not None and began is not None:
            self._took += self._clock() - began
            self._foreseen += seconds

    def _tell(self, ended: str = "") -> None:
        done = self._trials - len(self._left)
        left = f"about {duration(self.seconds_left())} left" if self._left else "all trials are done"
        counts = f"{done} of {plural(self._trials, 'trial')}"
        wrong = f", {self._failed} failed" if self._failed else ""
        self._display.update(done, f"{counts}{wrong}{self._at_work()}", left)
        if ended:
            self._display.epoch(f"{ended} · {counts}{wrong} · {left}")

    def _at_work(self) -> str:
        names = list(self._running)
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        return f" · running {', '.join(names[:_NAMED])}{more}" if names else ""


@contextlib.contextmanager
def study_progress(
    expected: Mapping[str, float], *, workers: int = 1, display: Display | None = None
) -> Iterator[StudyProgress]:
    """Shows a study's trials on the standard error; see `StudyProgress` for what it is told."""
    shown = display or fitting_display(Console(stderr=True))
    try:
        yield StudyProgress(shown, expected, workers=workers)
    finally:
        shown.stop()


def answer(results: Results, language: Language, *, command: Callable[[str], str]) -> str:
    """Returns what a study says in the end: each claim with its verdict, what failed, what to run next.

    Args:
        results: What was found.
        language: Of the claims and verdicts.
        command: Says how the study is run at a scale.
    """
    lines = [*_wrapped(said(results.study.question, language), 0), ""]
    for card in claim_cards(results, language):
        lines += [*_wrapped(f"{card.mark.sign} {card.says}", 0), *_wrapped(card.sentence, 2), ""]
    if at_edge := edges(results, language):
        lines += [*_wrapped(f"{at_edge}.", 0), ""]
    lines += [f"{trial} failed: {error}" for trial, error in results.failures.items()]
    larger = dict.fromkeys(one.needs for one in results.verdicts if one.needs)
    lines += [f"next: {command(scale)}" for scale in larger]
    return "\n".join(lines).rstrip()


def _wrapped(text: str, indent: int) -> list[str]:
    return textwrap.wrap(text, 80, initial_indent=" " * indent, subsequent_indent=" " * max(2, indent))
