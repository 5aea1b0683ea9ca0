"""What a drawing is made of: boxes, lines with round corners, arrows, text. Lengths are in user units of the SVG."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import hypot
from typing import final

Length = float | int
Point = tuple[Length, Length]

_NARROW, _BROAD = frozenset(" .,:;·'|()[]/ijlftI-"), frozenset("mwMW@%—…")
_BOLD = 1.12
_CORNER = 7.0
_ARROW = 5.0


@final
@dataclass(frozen=True, kw_only=True)
class Rect:
    """A box with round corners; ``kind`` is its class in the style."""

    x: Length
    y: Length
    width: Length
    height: Length
    kind: str
    radius: Length = 5


@final
@dataclass(frozen=True)
class Path:
    """A line or an arrowhead, as SVG writes it."""

    d: str
    kind: str


@final
@dataclass(frozen=True, kw_only=True)
class Text:
    """A line of text; ``y`` is its baseline."""

    x: Length
    y: Length
    text: str
    kind: str
    anchor: str = "start"


@final
@dataclass(frozen=True)
class Circle:
    """A round sign, by its middle."""

    x: Length
    y: Length
    radius: Length
    kind: str


@final
@dataclass(frozen=True, kw_only=True)
class Strokes:
    """The parts of a drawing; what comes later in this order lies above."""

    paths: tuple[Path, ...] = ()
    rects: tuple[Rect, ...] = ()
    circles: tuple[Circle, ...] = ()
    texts: tuple[Text, ...] = ()

    @property
    def right(self) -> Length:
        """Returns how far boxes reach to the right."""
        return max((rect.x + rect.width for rect in self.rects), default=0.0)

    @property
    def bottom(self) -> Length:
        """Returns how far boxes and signs reach down."""
        boxes = [rect.y + rect.height for rect in self.rects]
        return max([*boxes, *(circle.y + circle.radius for circle in self.circles)], default=0.0)


def together(parts: Iterable[Strokes]) -> Strokes:
    """Returns all parts as one."""
    found = list(parts)
    return Strokes(
        paths=tuple(path for part in found for path in part.paths),
        rects=tuple(rect for part in found for rect in part.rects),
        circles=tuple(circle for part in found for circle in part.circles),
        texts=tuple(text for part in found for text in part.texts),
    )


def text_width(text: str, size: Length, *, bold: bool = False) -> Length:
    """Returns a width that the text hardly exceeds in any usual font, DejaVu Sans being the widest of them."""
    return size * sum(map(_width, text)) * (_BOLD if bold else 1.0)


def _width(letter: str) -> Length:
    """Returns a letter's width over the size of its font."""
    if ord(letter) > 0x2E7F:  # the scripts whose letters are squares
        return 1.05
    return 0.4 if letter in _NARROW else 0.95 if letter in _BROAD else 0.73 if letter.isupper() else 0.63


def shortened(text: str, size: Length, width: Length, *, bold: bool = False) -> str:
    """Returns the text as far as it is printable and fits, with an ellipsis where it had to be cut."""
    clean = "".join(letter for letter in text if letter.isprintable())
    if text_width(clean, size, bold=bold) <= width:
        return clean
    while clean and text_width(f"{clean}…", size, bold=bold) > width:
        clean = clean[:-1]
    return f"{clean}…"


def line(points: Sequence[Point], kind: str, *, arrow: bool = False) -> Strokes:
    """Returns a line through the points, with round corners, and an arrowhead at its last point."""
    head, shaft = _arrowhead(points[-2], points[-1]) if arrow else (None, points[-1])
    path = Path(_rounded((*points[:-1], shaft)), kind)
    return Strokes(paths=(path, *([Path(head, f"head of-{kind}")] if head else [])))


def _rounded(points: Sequence[Point]) -> str:
    start, *middle, end = points
    written = [f"M{_at(start)}"]
    for before, corner, after in zip(points, middle, points[2:], strict=False):
        radius = min(_CORNER, _distance(before, corner) / 2, _distance(corner, after) / 2)
        written.append(f"L{_at(_towards(corner, before, radius))}Q{_at(corner)} {_at(_towards(corner, after, radius))}")
    return "".join([*written, f"L{_at(end)}"])


def _arrowhead(before: Point, tip: Point) -> tuple[str, Point]:
    """Returns a triangle whose tip is at ``tip``, and where its shaft ends."""
    back = _towards(tip, before, _ARROW * 1.3)
    across = ((tip[1] - back[1]) * 0.55, (back[0] - tip[0]) * 0.55)
    left, right = (back[0] + across[0], back[1] + across[1]), (back[0] - across[0], back[1] - across[1])
    return f"M{_at(tip)}L{_at(left)}L{_at(right)}Z", back


def _towards(origin: Point, other: Point, length: Length) -> Point:
    distance = _distance(origin, other) or 1.0
    share = length / distance
    return origin[0] + (other[0] - origin[0]) * share, origin[1] + (other[1] - origin[1]) * share


def _distance(a: Point, b: Point) -> Length:
    return hypot(a[0] - b[0], a[1] - b[1])


def _at(point: Point) -> str:
    return f"{point[0]:.2f} {point[1]:.2f}"
