"""Places one block's layers in a row, with the shortcut as an arch above them."""

from collections.abc import Sequence

from residua.report.anatomy import Inside
from residua.report.strokes import Circle, Length, Rect, Strokes, Text, line, text_width, together

_TITLE = 44.0
"""From the top of the inset to its layers, or to the shortcut above them."""
_PILL, _TEXT = 24.0, 12.0
_GAP = 15.0
_SIGN = 8.0
_ARCH = 40.0
"""How far the shortcut stands above the layers."""


def place_inside(inside: Inside, *, x: Length, y: Length) -> Strokes:
    """Places the inset, whose title stands at the left above it."""
    level = y + _TITLE + (0 if inside.line is None else _ARCH)
    title = Strokes(texts=(Text(x=x, y=y + 14, text=inside.title, kind="title"),))
    entry, at = _chain(inside.entry, x=x, level=level)
    fork = at + _GAP
    residual, at = _chain(inside.residual, x=fork, level=level)
    parts = [title, entry, line(((entry.right or x, level), (fork, level)), "flow"), residual]
    if inside.line is not None:
        meeting = at + _GAP + _SIGN
        parts += [*_arch(inside, fork=fork, meeting=meeting, level=level)]
        parts += [line(((at, level), (meeting - _SIGN, level)), "flow", arrow=True), _sign(inside, meeting, level)]
        at = meeting + _SIGN
    closing, end = _chain(inside.closing, x=at, level=level)
    parts += [closing, line(((end, level), (end + _GAP + 6, level)), "flow", arrow=True)]
    return together(parts)


def _chain(layers: Sequence[str], *, x: Length, level: Length) -> tuple[Strokes, Length]:
    """Returns layers joined by arrows, the first arrow beginning at ``x``, and where the last layer ends."""
    parts = []
    for layer in layers:
        left = x + _GAP
        pill = _pill(layer, x=left, level=level)
        parts += [line(((x, level), (left, level)), "flow", arrow=True), pill]
        x = pill.right
    return together(parts), x


def _pill(layer: str, *, x: Length, level: Length) -> Strokes:
    width, kind = text_width(layer, _TEXT) + 16, "layer weighted" if "×" in layer and "," in layer else "layer"
    box = Rect(x=x, y=level - _PILL / 2, width=width, height=_PILL, kind=kind, radius=_PILL / 2)
    text = Text(x=x + width / 2, y=level + 4.2, text=layer, kind="small", anchor="middle")
    return Strokes(rects=(box,), texts=(text,))


def _arch(inside: Inside, *, fork: Length, meeting: Length, level: Length) -> list[Strokes]:
    top = level - _ARCH
    arch = line(((fork, level), (fork, top), (meeting, top), (meeting, level - _SIGN)), str(inside.line), arrow=True)
    written = inside.shortcut or ("identity",)
    widths = [text_width(layer, _TEXT) + 16 for layer in written]
    x = (fork + meeting - sum(widths) - _GAP * (len(widths) - 1)) / 2
    pills = []
    for layer, width in zip(written, widths, strict=True):
        pills.append(_pill(layer, x=x, level=top))
        x += width + _GAP
    return [arch, *pills]


def _sign(inside: Inside, x: Length, level: Length) -> Strokes:
    plus = Text(x=x, y=level + 4.6, text=inside.merge, kind="plus", anchor="middle")
    return Strokes(circles=(Circle(x, level, _SIGN, "sign"),), texts=(plus,))
