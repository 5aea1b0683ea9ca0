"""Places the columns of a network's drawing: boxes from top to bottom, shortcuts in a lane on their right."""

from dataclasses import dataclass
from typing import final

from residua.report.anatomy import Box, Column, Fold
from residua.report.strokes import Circle, Length, Point, Rect, Strokes, Text, line, text_width, together

ROW, ROW_TEXT = 21.0, 13.0
PADDING = 5.0
HUES = 5
"""Stages take these colours in turn."""
_LANE = 15.0
_GUTTER = 15.0
_HEADER = 76.0
"""From a column's title to where its line comes in."""
_LEAD = 30.0
"""From there to its first box: room for a shortcut to branch off."""
_SIGN = 7.0
_DROP, _LINKED_GAP, _PLAIN_GAP = 16.0, 41.0, 22.0
_CARD = 5.0


@final
@dataclass(frozen=True, kw_only=True)
class Grid:
    """Sizes that all columns share."""

    width: Length
    """Of a box."""
    linked: bool
    """Whether shortcuts need a lane."""
    weighed: bool
    """Whether shortcuts carry a sign."""

    @property
    def lane(self) -> Length:
        """Returns the distance of the shortcuts from the boxes."""
        return _LANE if self.linked else 0.0

    @property
    def pitch(self) -> Length:
        """Returns the distance of one column from the next."""
        return self.width + self.lane + 2 * _GUTTER


def box_width(columns: tuple[Column, ...]) -> Length:
    """Returns the width that holds every row of every box."""
    rows = [row for column in columns for item in column.items if isinstance(item, Box) for row in item.rows]
    return max(104.0, *(text_width(row, ROW_TEXT) + 14 for row in rows))


def place_columns(columns: tuple[Column, ...], grid: Grid, *, x: Length, y: Length) -> Strokes:
    """Places the columns beside each other, tops aligned, each one's end joined to the next one's beginning."""
    placed, ends = [], []
    for index, column in enumerate(columns):
        strokes, end = _column(column, grid, x=x + index * grid.pitch, y=y)
        placed.append(strokes)
        ends.append(end)
    top = y + _HEADER
    joints = [_joint(end, x + (index + 1) * grid.pitch, top, grid) for index, end in enumerate(ends[:-1])]
    last = line((ends[-1], (ends[-1][0], ends[-1][1] + _PLAIN_GAP)), "flow", arrow=True)
    return together([*joints, *placed, last])


def _joint(end: Point, x: Length, top: Length, grid: Grid) -> Strokes:
    """Returns the line from a column's last box to the top of the column at ``x``."""
    gutter, middle = x - _GUTTER, x + grid.width / 2
    low = end[1] + _GUTTER
    return line((end, (end[0], low), (gutter, low), (gutter, top), (middle, top), (middle, top + _LEAD / 2)), "flow")


def _column(column: Column, grid: Grid, *, x: Length, y: Length) -> tuple[Strokes, Point]:
    """Returns a column and where its data leave it."""
    parts = [_header(column, x=x, y=y)]
    middle, hue = x + grid.width / 2, "" if column.stage is None else f" hue{column.stage % HUES + 1}"
    first, *_ = column.items
    top = y + _HEADER + (_LEAD if column.stage is not None or column.title == "Head" else 0)
    enters = top > y + _HEADER
    end = (middle, y + _HEADER + _LEAD / 2)
    for item in column.items:
        strokes, bottom = _item(item, grid, x=x, y=top, hue=hue)
        if enters or item is not first:
            parts.append(line((end, (middle, top)), "flow", arrow=True))
        parts.append(strokes)
        end = (middle, bottom)
        top = bottom + (_LINKED_GAP - _DROP - _SIGN if isinstance(item, Box) and item.shortcut else _PLAIN_GAP)
    return together(parts), end


def _header(column: Column, *, x: Length, y: Length) -> Strokes:
    title = Text(x=x, y=y + 14, text=column.title, kind="title")
    size = Text(x=x, y=y + 32, text=column.size, kind="size")
    notes = (Text(x=x, y=y + 48 + 15 * row, text=note, kind="note") for row, note in enumerate(column.notes))
    return Strokes(texts=(title, size, *notes))


def _item(item: Box | Fold, grid: Grid, *, x: Length, y: Length, hue: str) -> tuple[Strokes, Length]:
    """Returns a box or a fold, and the height at which data leave it."""
    if isinstance(item, Fold):
        return _fold(item, grid, x=x, y=y, hue=hue)
    height = len(item.rows) * ROW + 2 * PADDING
    box = Rect(x=x, y=y, width=grid.width, height=height, kind=f"box{hue}")
    middle = x + grid.width / 2
    texts = tuple(
        Text(x=middle, y=y + PADDING + ROW * index + 15, text=row, kind="row", anchor="middle")
        for index, row in enumerate(item.rows)
    )
    drawn = Strokes(rects=(box,), texts=texts)
    if item.shortcut is None:
        return drawn, y + height
    sign = y + height + _DROP
    return together([drawn, _shortcut(item, grid, x=x, y=y, sign=sign)]), sign + _SIGN


def _shortcut(box: Box, grid: Grid, *, x: Length, y: Length, sign: Length) -> Strokes:
    """Returns the way round a box whose top is at ``y``, to the sign where both paths meet."""
    middle, lane = x + grid.width / 2, x + grid.width + grid.lane
    fork = y - 12
    way = line(((middle, fork), (lane, fork), (lane, sign), (middle + _SIGN, sign)), str(box.shortcut), arrow=True)
    down = line(((middle, sign - _DROP), (middle, sign - _SIGN)), "flow")
    meeting = Circle(middle, sign, _SIGN, "sign")
    weight = [Circle(lane, (fork + sign) / 2, 3.4, "weight")] if grid.weighed else []
    plus = Text(x=middle, y=sign + 4.4, text="+", kind="plus", anchor="middle")
    return together([way, down, Strokes(circles=(meeting, *weight), texts=(plus,))])


def _fold(fold: Fold, grid: Grid, *, x: Length, y: Length, hue: str) -> tuple[Strokes, Length]:
    """Returns three cards on a heap with the number of blocks on the first."""
    height = ROW + 2 * PADDING
    cards = tuple(
        Rect(x=x + _CARD * n, y=y + _CARD * n, width=grid.width - 2 * _CARD * n, height=height, kind=f"card{hue}")
        for n in (2, 1, 0)
    )
    text = Text(x=x + grid.width / 2, y=y + PADDING + 15, text=f"× {fold.blocks:,} more", kind="row", anchor="middle")
    return Strokes(rects=cards, texts=(text,)), y + height + 2 * _CARD
