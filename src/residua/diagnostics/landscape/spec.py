"""What a user asks of a surface: along which directions, how far, on how many points, under which norm policy."""

from dataclasses import dataclass
from math import isfinite
from typing import Any, Literal, final

from residua import configuration
from residua.diagnostics.landscape.directions import Direction
from residua.diagnostics.landscape.grid import Grid, spaced
from residua.diagnostics.landscape.normalising import Normalisation
from residua.diagnostics.landscape.surface import Policy
from residua.errors import BadSetting

Axes = Literal["random", "between", "path", "hessian"]
Span = tuple[float, float]
SPANS: dict[Axes, Span] = {"random": (-1.0, 1.0), "between": (-0.5, 1.5), "hessian": (-1.0, 1.0)}
"""Where nothing is said: as Li et al. 2018 draw them. The path's range is its own."""
_LINE, _PLANE = 51, 25
"""Points of an axis where nothing is said: a line's, and a plane's, which is within minutes on two cores."""


@final
@dataclass(frozen=True, kw_only=True)
class SurfaceSpec:
    """What is asked of a surface."""

    axes: Axes = "random"
    """``random``: Gaussian directions; ``between``: from the network to another; ``path``: the plane of the training
    path; ``hessian``: the eigenvectors of the largest eigenvalues."""
    normalisation: Normalisation = "filter"
    """Of random directions."""
    dimensions: int | None = None
    """1 is a line, 2 a plane; None takes a line between two networks, else a plane."""
    span: tuple[Span, ...] | None = None
    """Lowest and highest coordinate, of both axes or of each; None follows `SPANS`, or the path."""
    steps: tuple[int, ...] | None = None
    """Points, of both axes or of each; None is 51 for a line, 25 × 25 for a plane."""
    policy: Policy = "frozen"
    """What batch norms use away from the centre: ``frozen`` its running statistics, ``batch`` those of the images,
    ``recalibrated`` those taken anew at every point."""
    images: int = 256
    """That the loss is the mean over, at most."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of the map; the centre and lines are float32 anyway."""
    seed: int = 0
    """Of random directions, and of the images drawn."""
    share: tuple[int, int] = (1, 1)
    """Which of how many parts of the cells is computed, from 1, for several machines."""

    def __post_init__(self) -> None:
        configuration.check_choices(self)
        configuration.check(self.dimensions in (None, 1, 2), "dimensions", self.dimensions, "1 (a line) or 2 (a plane)")
        configuration.check(self.images >= 2, "images", self.images, "2 or above")
        configuration.check(0 <= self.seed < 2**62, "seed", self.seed, "0 up to 2⁶² − 1")
        for low, high in self.span or ():
            rises = isfinite(low) and isfinite(high) and low < high
            configuration.check(rises, "span", f"{low:g}:{high:g}", "two finite numbers, the lower first, such as -1:1")
        for number in self.steps or ():
            configuration.check(number >= 2, "steps", number, "2 points or above along each axis")
        for name, value in (("span", self.span), ("steps", self.steps)):
            fits = value is None or len(value) in (1, self.count)
            configuration.check(fits, name, value, f"one for all axes, or one for each ({self.count})")
        part, parts = self.share
        configuration.check(1 <= part <= parts, "part", f"{part}/{parts}", "1/N up to N/N, such as 1/3")

    @property
    def count(self) -> int:
        """Returns the number of axes."""
        return self.dimensions or (1 if self.axes == "between" else 2)

    def grid(self, directions: tuple[Direction, ...], ranges: tuple[Span, ...] = ()) -> Grid:
        """Returns the points along the directions; where no span was asked for, in ``ranges`` if these are known."""
        spans = _each(self.span, self.count) or ranges or (SPANS[self.axes],) * self.count
        if self.axes == "between" and self.span is None and self.count == 2:
            spans = (SPANS["between"], SPANS["random"])
        steps = _each(self.steps, self.count) or (_LINE if self.count == 1 else _PLANE,) * self.count
        return Grid(
            axes=tuple(
                spaced(direction, *span, steps=number)
                for direction, span, number in zip(directions, spans, steps, strict=True)
            )
        )

    @property
    def says(self) -> str:
        """Says what makes this surface another than others of the same network, as a part of a file's name."""
        steps = "x".join(
            map(str, _each(self.steps, self.count) or (_LINE if self.count == 1 else _PLANE,) * self.count)
        )
        span = "" if self.span is None else "-" + "x".join(f"{low:g}to{high:g}" for low, high in self.span)
        is_drawn = self.axes == "random" or (self.axes == "between" and self.count == 2)
        own = f"-{self.normalisation}-{self.seed}" if is_drawn else f"-{self.seed}" if self.seed else ""
        said = f"{self.axes}{own}-{self.policy}-{steps}{span}-{self.images}"
        said += "" if self.precision == "auto" else f"-{self.precision}"
        return said if self.share == (1, 1) else f"{said}-{self.share[0]}of{self.share[1]}"


def span_of(given: Any) -> tuple[Span, ...] | None:
    """Reads a span: r for −r to r, a pair, a pair for each axis, or text as the command line has it: ``-1:2,0:1``.

    Raises:
        BadSetting: If it is none of these.
    """
    if given is None:
        return None
    if isinstance(given, str):
        return tuple(span for part in given.split(",") for span in span_of(_pair(part)) or ())
    if isinstance(given, (int, float)):
        return ((0.0 - float(given), float(given)),)  # −0 of 0 would be shown
    nested = isinstance(given, (list, tuple)) and all(isinstance(one, (list, tuple)) for one in given)
    try:
        pairs = given if nested else (given,)
        return tuple((float(low), float(high)) for low, high in pairs)
    except (TypeError, ValueError):
        raise BadSetting(
            f"span is {given!r}; give r for −r to r, a pair such as (−1, 2), or a pair for each axis"
        ) from None


def _pair(text: str) -> Any:
    try:
        numbers = [float(part) for part in text.split(":")]
    except ValueError:
        numbers = []
    if len(numbers) not in (1, 2):
        raise BadSetting(f"span is {text!r}; give 1 for −1 to 1, -0.5:1.5, or one for each axis: 1,-2:2")
    return numbers[0] if len(numbers) == 1 else tuple(numbers)


def steps_of(given: Any) -> tuple[int, ...] | None:
    """Reads numbers of points: 51, (51, 31), or text: ``51``, ``51x31``.

    Raises:
        BadSetting: If it is none of these.
    """
    if given is None:
        return None
    parts = given.replace("×", "x").split("x") if isinstance(given, str) else given
    try:
        return tuple(int(one) for one in (parts if isinstance(parts, (list, tuple)) else (parts,)))
    except (TypeError, ValueError):
        raise BadSetting(f"steps is {given!r}; give the points of an axis, such as 25, or of each: 51x31") from None


def share_of(given: Any) -> tuple[int, int]:
    """Reads a part: (1, 3), or text: ``1/3``.

    Raises:
        BadSetting: If it is neither.
    """
    parts = given.split("/") if isinstance(given, str) else given
    try:
        part, parts = (int(one) for one in parts)
    except (TypeError, ValueError):
        raise BadSetting(f"part is {given!r}; give which of how many, from 1: 1/3") from None
    return part, parts


def _each(values: tuple[Any, ...] | None, count: int) -> tuple[Any, ...]:
    return () if values is None else values * count if len(values) == 1 else values
