"""The look of all figures: one palette, one set of axes, and how a figure becomes a file or part of a page.

matplotlib is used through its objects alone; no state of the process is changed beyond a call.
"""

import io
import re
from collections.abc import Sequence
from functools import cache
from typing import Any, Literal, final

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, fontManager
from matplotlib.ft2font import FT2Font
from matplotlib.ticker import LogFormatterSciNotation, MaxNLocator

FONT = "DejaVu Sans"
"""Comes with matplotlib, so that a figure looks the same everywhere."""
PALETTE = {
    "ink": "#1d2327",
    "soft": "#56606b",
    "rule": "#d5dade",
    "train": "#2463ab",
    "held": "#b4530a",
    "fill": "#9dbfe3",
    "third": "#2b7348",
    "fourth": "#8b3f9e",
    "fifth": "#7a5c00",
    "sixth": "#0b6b75",
    "paper": "#fefefe",
}
"""Colours by what they mean; a page replaces each by its variable ``--figure-NAME``."""
HAN_FONTS = (
    "Noto Sans CJK SC",
    "Noto Sans SC",
    "Source Han Sans SC",
    "Source Han Sans CN",
    "PingFang SC",
    "Hiragino Sans GB",
    "Microsoft YaHei",
    "WenQuanYi Zen Hei",
    "WenQuanYi Micro Hei",
    "SimHei",
)
"""Have the glyphs that `FONT` lacks for Chinese; each system has its own, or none."""
_PNG_DOTS_PER_INCH = 200
_DRAWN_TEXT: dict[Any, Any] = {"svg.fonttype": "none", "svg.hashsalt": "residua", "font.family": FONT}


def new_figure(width: float, height: float) -> Figure:
    """Makes an empty figure in inches that lays out its own margins."""
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.patch.set_facecolor(PALETTE["paper"])
    return figure


def dress(axes: Axes, title: str = "", x: str = "", y: str = "") -> Axes:
    """Gives axes the house look: open to the top and right, faint horizontal rules, small soft labels."""
    axes.set_facecolor("none")
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(PALETTE["rule"])
    axes.tick_params(colors=PALETTE["soft"], labelsize=9, length=3, width=0.6)
    axes.tick_params(axis="both", which="minor", length=0)
    axes.yaxis.grid(visible=True, color=PALETTE["rule"], linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_title(title, loc="left", fontsize=10, color=PALETTE["ink"], parse_math=False)
    axes.set_xlabel(x, fontsize=9, color=PALETTE["soft"])
    axes.set_ylabel(y, fontsize=9, color=PALETTE["soft"])
    return axes


def legend(axes: Axes, *, side: Literal["left", "right"] = "right") -> None:
    """Says above the axes, at one side, what lines, signs and dashes are."""
    handles, labels = axes.get_legend_handles_labels()
    if labels:
        axes.legend(
            handles,
            labels,
            loc="lower left" if side == "left" else "lower right",
            bbox_to_anchor=(0 if side == "left" else 1, 1),
            ncols=len(labels),
            frameon=False,
            fontsize=8.5,
            labelcolor=PALETTE["soft"],
            handlelength=1.8,
            columnspacing=1.2,
        )


@final
class PlainDecades(LogFormatterSciNotation):
    """Labels a logarithmic axis with the numbers themselves, from 0.001 to 1,000; beyond by powers of ten."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        label = super().__call__(x, pos)
        return f"{x:,g}" if label and 1e-3 <= x <= 1e3 else label


def logarithmic(axes: Axes) -> None:
    """Gives the vertical axis a logarithmic scale, whose finer labels look like the others."""
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(PlainDecades())
    axes.yaxis.set_minor_formatter(PlainDecades())
    axes.tick_params(axis="y", which="minor", colors=PALETTE["soft"], labelsize=8)


def whole_numbers(axes: Axes) -> None:
    """Puts the ticks of the horizontal axis on whole numbers."""
    axes.xaxis.set_major_locator(MaxNLocator(nbins=7, integer=True, min_n_ticks=1))


def to_svg(figure: Figure) -> str:
    """Returns the figure as an SVG document whose text is text; the same figure gives the same bytes."""
    file = io.StringIO()
    with matplotlib.rc_context(_DRAWN_TEXT):
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    return file.getvalue()


def to_png(figure: Figure) -> bytes:
    """Returns the figure as a PNG file."""
    file = io.BytesIO()
    with matplotlib.rc_context({"font.family": FONT}):
        figure.savefig(file, format="png", dpi=_PNG_DOTS_PER_INCH)
    return file.getvalue()


def inline(svg: str, name: str, label: str) -> str:
    """Turns an SVG document into an element that a page can hold.

    Palette colours become CSS variables, so that the figure follows the page's scheme; identifiers get
    the prefix ``name``, so that several figures may share a page; ``label`` is read to who cannot see it.
    """
    element = svg[svg.index("<svg") :]
    element = re.sub(r"\s*<metadata>.*?</metadata>", "", element, flags=re.DOTALL)
    element = re.sub(r'\bid="', f'id="{name}-', element)
    element = re.sub(r'href="#', f'href="#{name}-', element)
    element = element.replace("url(#", f"url(#{name}-")
    for meaning, colour in PALETTE.items():
        element = element.replace(colour, f"var(--figure-{meaning})")
    return re.sub(r"<svg ", f'<svg role="img" aria-label="{_quoted(label)}" ', element, count=1)


def can_draw(texts: Sequence[str]) -> bool:
    """Says whether the figures' font holds a glyph for every character of every text."""
    return all(text.isprintable() and _glyphs().issuperset(map(ord, text)) for text in texts)


@cache
def _glyphs() -> frozenset[int]:
    return frozenset(FT2Font(findfont(FONT)).get_charmap())


def han_font() -> str | None:
    """Returns an installed font that can draw Chinese; None where there is none."""
    installed = {font.name for font in fontManager.ttflist}
    return next((name for name in HAN_FONTS if name in installed), None)


def _quoted(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
