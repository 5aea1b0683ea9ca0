"""A study's figures, drawn from their `FigureSpec` and what the trials gave, on a page and as files."""

import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.text import Text

from residua import files
from residua.report.study_axes import Drawn, Kind
from residua.report.study_curves import course, lines
from residua.report.study_intervals import intervals
from residua.report.study_surface import surfaces
from residua.report.study_words import Language, said
from residua.report.style import FONT, PALETTE, dress, han_font, inline, new_figure, to_png, to_svg
from residua.studies.design import FigureSpec
from residua.studies.results import Results

_KINDS: Mapping[str, Kind] = {"intervals": intervals, "lines": lines, "course": course}
_WIDTH = 9.0
_HEIGHT = 4.3
_ROW = 0.36
"""Inches an arm in a figure of intervals."""


def draw(spec: FigureSpec, results: Results, language: Language = "en") -> Figure:
    """Draws one of a study's figures; what is not measured yet is left out."""
    if spec.kind == "surface":
        return surfaces(spec, results, language)
    row = _ROW * (1.5 if spec.second else 1.0)
    height = 1.0 + row * max(2, len(results.budget.arms)) if spec.kind == "intervals" else _HEIGHT
    figure = new_figure(_WIDTH, height)
    axes = dress(figure.add_subplot())
    _KINDS[spec.kind](Drawn(axes=axes, spec=spec, results=results, language=language))
    return figure


def inlined(results: Results, language: Language) -> list[tuple[str, Markup]]:
    """Returns each figure's title, and the figure as an element whose text has the page's font."""
    elements = []
    for place, spec in enumerate(results.study.figures, 1):
        title = said(spec.title, language)
        with _letters_of_the_page():
            svg = to_svg(draw(spec, results, language))
        element = inline(svg, f"{results.study.name}-{place}", title)
        elements.append((title, Markup(re.sub(r"font-family: [^;\"]*;? ?", "", element))))
    return elements


def write_figures(folder: Path, results: Results, language: Language = "en") -> tuple[Path, ...]:
    """Writes each figure with its title as ``STUDY-NUMBER.svg`` and ``.png`` into a folder; returns the paths.

    The text of an SVG file is text, which its reader has a font for. That of a PNG file is drawn here: where no font
    has the glyphs of the language, it is English.
    """
    written = []
    font = han_font() if language == "zh" else None
    for place, spec in enumerate(results.study.figures, 1):
        stem = folder / f"{results.study.name}-{place}"
        with _letters_of_the_page():
            files.write(stem.with_suffix(".svg"), to_svg(_titled(spec, results, language)))
        drawn = _titled(spec, results, language if font else "en")
        if font:
            for text in drawn.findobj(Text):
                text.set_fontfamily([FONT, font])
        files.write(stem.with_suffix(".png"), to_png(drawn))
        written += [stem.with_suffix(".svg"), stem.with_suffix(".png")]
    return tuple(written)


def _titled(spec: FigureSpec, results: Results, language: Language) -> Figure:
    figure = draw(spec, results, language)
    title = said(spec.title, language)
    figure.suptitle(title, x=0.01, ha="left", fontsize=12, color=PALETTE["ink"], parse_math=False)
    return figure


@contextmanager
def _letters_of_the_page() -> Iterator[None]:
    """Lets text be laid out that this font has no glyphs for: whoever shows it has one that does."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"Glyph \d+ .* missing from font", category=UserWarning)
        yield
