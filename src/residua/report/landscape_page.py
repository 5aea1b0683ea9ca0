"""The page of a loss landscape: what was measured and what it says, maps, a surface to turn, numbers, curvature."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

from markupsafe import Markup

from residua import __version__, files
from residua.diagnostics.curvature.curvature import Curvature
from residua.diagnostics.landscape.comparison import Comparison, headline
from residua.diagnostics.landscape.surface import Surface
from residua.errors import BadSetting
from residua.report import landscape_sections as sections_about
from residua.report.landscape_marks import Panel, panels_of, twin_panels
from residua.report.landscape_record import arrays, record
from residua.report.landscape_relief import relief_figure
from residua.report.landscape_statements import progress_says, surface_says
from residua.report.landscape_surface import Turning, turning
from residua.report.landscape_text import landscape_lines
from residua.report.page import environment
from residua.report.section import Drawing, Section
from residua.report.style import inline, to_png, to_svg

FIGURE = "landscape-"
"""What the names of the files of figures begin with."""
_RELOAD_SECONDS = 4


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Landscape:
    """What was found around a network's weights, and where its page is.

    Example:
        >>> found = residua.landscape(module, images, labels)
        >>> found.surface.numbers.median
        >>> found.write("landscape.html")
    """

    surface: Surface | None = None
    """None where only the curvature was asked for, or twins are compared."""
    comparison: Comparison | None = None
    curvature: Curvature | None = None
    page: Path | None = None
    """None where it was not written."""

    @property
    def surfaces(self) -> tuple[Surface, ...]:
        """Returns every surface: one, the twins, or none."""
        twins = () if self.comparison is None else (self.comparison.residual, self.comparison.plain)
        return twins or (() if self.surface is None else (self.surface,))

    @property
    def panels(self) -> tuple[Panel, ...]:
        """Returns what stands beside each other in a figure: the twins, or one surface on each set of images."""
        if self.comparison is not None:
            return twin_panels(self.comparison)
        return () if self.surface is None else panels_of(self.surface)

    @property
    def done(self) -> float:
        """Returns the share of all cells that have been computed, 0 to 1."""
        sizes = [one.cells[0].loss.size for one in self.surfaces]
        known = sum(one.done * size for one, size in zip(self.surfaces, sizes, strict=True))
        return known / sum(sizes) if sizes else 1.0

    @property
    def sentences(self) -> tuple[str, ...]:
        """Returns what the page begins with: the verdict on the twins, or the surface in words."""
        if self.comparison is not None and self.comparison.rows:
            return headline(self.comparison)
        return tuple(sentence for one in self.surfaces for sentence in surface_says(one))

    @property
    def says(self) -> str:
        """Returns the sentences, a map in letters and the remarks as lines of at most 80 letters."""
        return "\n".join(landscape_lines(self.sentences, self.panels, self.curvature, self.remarks))

    @property
    def remarks(self) -> tuple[str, ...]:
        """Returns what must be known beside the numbers, each remark once."""
        own = () if self.comparison is None else self.comparison.remarks
        curved = () if self.curvature is None else self.curvature.remarks
        return tuple(dict.fromkeys((*own, *(said for one in self.surfaces for said in one.remarks), *curved)))

    def to_json(self) -> dict[str, Any]:
        """Returns the numbers as JSON can hold them, without the arrays of cells, and the page's path."""
        known = record(self.surface, self.comparison, self.curvature)
        return {**known, "page": None if self.page is None else str(self.page)}

    def write(self, path: str | Path, *, seconds_left: float | None = None) -> "Landscape":
        """Writes the page, whole or not at all, and returns the landscape that knows it.

        A page of a surface that is not finished says how much is done and loads itself anew until it is.

        Raises:
            BadSetting: If it cannot be written there.
        """
        place = Path(path)
        _written(place, render(self, seconds_left=seconds_left))
        return replace(self, page=place)

    def write_figures(self, folder: str | Path) -> None:
        """Writes every figure as ``landscape-NAME.svg`` and ``.png`` into a folder, in place of those of before.

        Raises:
            BadSetting: If they cannot be written there.
        """
        place = Path(folder)
        for kind in ("svg", "png"):
            for old in place.glob(f"{FIGURE}*.{kind}"):
                old.unlink()
        for drawing in _drawings(self):
            figure = drawing.draw()
            _written(place / f"{FIGURE}{drawing.name}.svg", to_svg(figure))
            _written(place / f"{FIGURE}{drawing.name}.png", to_png(figure))
        if is_solid(self.panels):
            _written(place / f"{FIGURE}relief.png", to_png(relief_figure(self.panels)))

    def save(self, path: str | Path) -> None:
        """Writes coordinates and cells of every surface as a ``.npz`` file that `numpy.load` reads.

        Its entry ``about`` is `to_json` as text. Directions are in it by kind, seed and normalisation, not as vectors.

        Raises:
            BadSetting: If it cannot be written there.
        """
        _written(Path(path), arrays(self.surface, self.comparison, self.curvature))

    def _repr_html_(self) -> str:
        return (
            environment()
            .get_template("landscape_card.html.j2")
            .render(found=self, figures=_inlined(sections_about.surface_drawings(self.panels), "card-"))
        )

    def __repr__(self) -> str:
        curved = () if self.curvature is None else (self.curvature,)
        names = dict.fromkeys(repr(one.name) for one in (*self.surfaces, *curved))
        return f"Landscape({', '.join(names)}, done {self.done:.0%})"


def render(found: Landscape, *, seconds_left: float | None = None) -> str:
    """Returns the page as HTML; of a surface under way the first figure, since it is written again and again."""
    partial = found.done < 1
    drawings, sections = sections_about.surface_drawings(found.panels), [] if partial else list(sections_of(found))
    return (
        environment()
        .get_template("landscape.html.j2")
        .render(
            found=found,
            title=_title(found),
            partial=progress_says(found.done, seconds_left) if partial else "",
            reload_seconds=_RELOAD_SECONDS if partial and seconds_left is not None else None,
            drawings=drawings,
            relief=_relief(found) if not partial else None,
            sections=sections,
            makings=[sections_about.making(one) for one in found.surfaces],
            figures=_inlined([*drawings, *(one for section in sections for one in section.drawings)]),
            version=__version__,
        )
    )


def sections_of(found: Landscape) -> Iterator[Section]:
    """Yields a section for everything that was measured beside the first figure."""
    panels = found.panels
    if found.comparison is not None and found.comparison.rows:
        yield sections_about.comparison_section(found.comparison)
    elif found.surface is not None and found.surface.numbers is not None:
        yield sections_about.numbers_section(found.surface, found.surface.numbers)
    if any(panel.surface.plane is not None for panel in panels):
        curved = list({id(one.surface): one for one in panels if one.surface.plane is not None}.values())
        yield sections_about.convexity_section(curved)
    yield from (made for one in found.surfaces if (made := sections_about.trail_section(one)) is not None)
    if is_solid(panels):
        yield sections_about.maps_section(panels)
    if found.curvature is not None:
        yield sections_about.curvature_section(found.curvature)


def is_solid(panels: Sequence[Panel]) -> bool:
    """Says whether there are panels and every one has two axes."""
    return bool(panels) and all(len(panel.surface.grid.axes) == 2 for panel in panels)


def _relief(found: Landscape) -> Turning | None:
    return turning(found.panels) if is_solid(found.panels) else None


def _title(found: Landscape) -> str:
    if found.comparison is not None:
        return f"The loss around {found.comparison.residual.name} and its plain twin"
    if found.surface is not None:
        return f"The loss around {found.surface.name}"
    return f"The curvature of {found.curvature.name}" if found.curvature is not None else "Nothing was measured"


def _drawings(found: Landscape) -> Iterator[Drawing]:
    yield from sections_about.surface_drawings(found.panels)
    for section in sections_of(found):
        yield from section.drawings


def _inlined(drawings: Sequence[Drawing], prefix: str = "") -> dict[str, Markup]:
    """Returns figures as SVG elements by name."""
    return {one.name: Markup(inline(to_svg(one.draw()), prefix + one.name, one.label)) for one in drawings}


def _written(path: Path, content: str | bytes) -> None:
    try:
        files.write(path, content)
    except OSError as error:
        raise BadSetting(f"cannot write {path} ({error.strerror or error}); choose a place with --out") from error
