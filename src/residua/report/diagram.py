"""The drawing of a network as an SVG file: text is text, and light or dark follows the reader's scheme."""

from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import final

from residua import files
from residua.errors import BadSetting
from residua.networks.cost import Inspection
from residua.networks.spec import NetworkSpec
from residua.report.anatomy import Anatomy, Box
from residua.report.columns import Grid, box_width, place_columns
from residua.report.dissection import dissect
from residua.report.inset import place_inside
from residua.report.page import environment
from residua.report.strokes import Circle, Length, Strokes, Text, line, shortened, text_width, together

MARGIN = 32.0
_NAME, _STYLE, _TOTAL = 24.0, 13.0, 19.0
_HEAD = 128.0
_LEGEND_ROW = 22.0


@final
@dataclass(frozen=True, kw_only=True)
class Drawing:
    """A drawing with its size and its description in words."""

    width: Length
    height: Length
    title: str
    description: str
    strokes: Strokes


def write_diagram(path: FilePath, spec: NetworkSpec, inspection: Inspection, *, name: str) -> FilePath:
    """Draws the network into the file ``path`` and returns it.

    Stages are columns, blocks are boxes with their convolutions. A shortcut is a solid line where it passes its
    input on, dotted where it changes its shape (He et al. 2015, Fig. 3); long stages are folded.

    Raises:
        BadSetting: If the file cannot be written.
    """
    try:
        files.write(path, to_svg(draw(dissect(spec, inspection, name=name))))
    except OSError as error:
        raise BadSetting(f"cannot write {path} ({error.strerror or error}); name another file") from error
    return path


def to_svg(drawing: Drawing) -> str:
    """Returns the drawing as an SVG document."""
    return environment().get_template("network.svg.j2").render(drawing=drawing)


def draw(shown: Anatomy) -> Drawing:
    """Places everything."""
    boxes = [item for column in shown.columns for item in column.items if isinstance(item, Box)]
    linked = any(box.shortcut for box in boxes)
    grid = Grid(width=box_width(shown.columns), linked=linked, weighed=shown.weighed)
    columns = place_columns(shown.columns, grid, x=MARGIN, y=_HEAD)
    below = columns.bottom + 52
    inside = place_inside(shown.inside, x=MARGIN, y=below)
    last = _totals(shown).texts[-1]
    width = max(columns.right, inside.right + 24, last.x + text_width(last.text, _STYLE)) + MARGIN
    legend, bottom = _legend(shown, width=width - 2 * MARGIN, y=inside.bottom + 44)
    return Drawing(
        width=width,
        height=bottom + MARGIN / 2,
        title=shown.name,
        description=_description(shown),
        strokes=together([_heading(shown, width), columns, inside, legend]),
    )


def _heading(shown: Anatomy, width: Length) -> Strokes:
    room = width - 2 * MARGIN
    texts = [
        Text(x=MARGIN, y=44, text=shortened(shown.name, _NAME, room, bold=True), kind="name"),
        Text(x=MARGIN, y=66, text=shortened(shown.style, _STYLE, room), kind="style"),
    ]
    return together([Strokes(texts=tuple(texts)), _totals(shown)])


def _totals(shown: Anatomy) -> Strokes:
    texts, x = [], MARGIN
    for number, what in shown.totals:
        after = x + text_width(number, _TOTAL, bold=True) + 7
        texts += [Text(x=x, y=98, text=number, kind="total"), Text(x=after, y=98, text=what, kind="style")]
        x = after + text_width(what, _STYLE) + 26
    return Strokes(texts=tuple(texts))


def _legend(shown: Anatomy, *, width: Length, y: Length) -> tuple[Strokes, Length]:
    """Places signs and meanings in lines as long as the drawing is wide; returns the last baseline too."""
    parts, x = [], MARGIN
    for sign, meaning in shown.legend:
        drawn = sign in ("identity", "changed", "weighed")
        start = 34.0 if drawn else text_width(sign, _STYLE) + 6
        needed = start + text_width(meaning, _STYLE) + 28
        if x > MARGIN and x + needed > MARGIN + width:
            x, y = MARGIN, y + _LEGEND_ROW
        parts.append(_sample(sign, x, y - 4.5) if drawn else Strokes(texts=(Text(x=x, y=y, text=sign, kind="size"),)))
        parts.append(Strokes(texts=(Text(x=x + start, y=y, text=meaning, kind="style"),)))
        x += needed
    return together(parts), y


def _sample(sign: str, x: Length, y: Length) -> Strokes:
    sample = line(((x, y), (x + 26, y)), "identity" if sign == "weighed" else sign)
    return together([sample, Strokes(circles=(Circle(x + 13, y, 3.4, "weight"),) if sign == "weighed" else ())])


def _description(shown: Anatomy) -> str:
    totals = ", ".join(f"{number} {what}" for number, what in shown.totals)
    columns = "; ".join(" ".join((column.title, *filter(None, column.notes), column.size)) for column in shown.columns)
    return f"{shown.style}: {totals}. {columns}."
