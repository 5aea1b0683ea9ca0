"""What a section of a diagnosis' page is made of: a sentence that answers, figures, tables."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

from matplotlib.figure import Figure

from residua.diagnostics.measured import Measured
from residua.report.numbers import count, measure


@final
@dataclass(frozen=True, kw_only=True)
class Drawing:
    """One figure of a section."""

    name: str
    """Of its file."""
    draw: Callable[[], Figure]
    label: str
    """Read to who cannot see it."""
    wide: bool = False


@final
@dataclass(frozen=True, kw_only=True)
class Rows:
    """A table; numbers stand at the right of all columns but the first."""

    caption: str
    columns: tuple[str, ...]
    cells: tuple[tuple[str, ...], ...]
    folded: bool = True
    """Whether it is opened by a click."""


@final
@dataclass(frozen=True, kw_only=True)
class Section:
    """One measurement on the page."""

    name: str
    title: str
    says: str
    """The answer, in a sentence or two."""
    caption: str
    """How it was measured, and in which units."""
    drawings: tuple[Drawing, ...] = ()
    tables: tuple[Rows, ...] = ()


def spread(found: Measured | None) -> str:
    """Writes the median over the batches, with the smallest and the largest where there are several."""
    if found is None:
        return "–"
    if len(found.values) == 1:
        return measure(found.median)
    return f"{measure(found.median)} ({measure(found.low)} to {measure(found.high)})"


def plural(number: int, noun: str, several: str = "") -> str:
    """Writes a number with its noun: ``1 batch``, ``3 batches``."""
    return f"{count(number)} {noun if number == 1 else several or noun + 's'}"
