"""The page of a diagnosis: findings, gravest first, then what was measured, with its figures as files."""

import json
import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

from markupsafe import Markup, escape

from residua import __version__, files
from residua.diagnostics.findings import Finding
from residua.diagnostics.result import Diagnosis
from residua.errors import BadSetting
from residua.report.diagnosis_remedies import remedy_lines
from residua.report.diagnosis_sections import sections_of
from residua.report.page import environment
from residua.report.section import Section
from residua.report.sparklines import finding_lines, series_lines
from residua.report.style import inline, to_png, to_svg

FIGURE = "diagnosis-"
"""What the names of the files of figures begin with."""
EVIDENCE = {
    "batch": "seen on batches of examples",
    "probe": "seen in a probe on a copy",
    "run": "seen in the run’s own record",
}
NO_FINDING = "No rule found anything. That is no proof: see what was looked at."


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Diagnosed:
    """What was found about a module, and where its page is.

    Example:
        >>> found = residua.diagnose(module, images, labels)
        >>> [finding.says for finding in found.findings]
        >>> found.write("module.html")
    """

    measurements: Diagnosis
    page: Path | None = None
    """None where it was not written."""

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Returns what was found, gravest first."""
        return self.measurements.findings

    @property
    def says(self) -> str:
        """Returns the findings and the series along the depth as lines of at most 80 letters."""
        found = finding_lines(self.findings) or [NO_FINDING]
        tried = [*remedy_lines(self.measurements.what_if), ""] if self.measurements.what_if else []
        remarks = [line for remark in self.measurements.remarks for line in textwrap.wrap(remark, 80)]
        return "\n".join(["", *found, "", *series_lines(self.measurements), "", *tried, *remarks]).strip("\n")

    def to_json(self) -> dict[str, Any]:
        """Returns everything as JSON can hold it, and the page's path."""
        return {**self.measurements.to_json(), "page": None if self.page is None else str(self.page)}

    def write(self, path: str | Path) -> "Diagnosed":
        """Writes the page, whole or not at all, and returns the diagnosis that knows it.

        Raises:
            BadSetting: If it cannot be written there.
        """
        place = Path(path)
        _written(place, render(self.measurements))
        return replace(self, page=place)

    def write_figures(self, folder: str | Path) -> None:
        """Writes every figure as ``diagnosis-NAME.svg`` and ``.png`` into a folder, in place of those of before.

        Raises:
            BadSetting: If they cannot be written there.
        """
        place = Path(folder)
        for old in place.glob(f"{FIGURE}*"):
            old.unlink()
        for section in sections_of(self.measurements):
            for drawing in section.drawings:
                figure = drawing.draw()
                _written(place / f"{FIGURE}{drawing.name}.svg", to_svg(figure))
                _written(place / f"{FIGURE}{drawing.name}.png", to_png(figure))

    def write_into(self, run: Path) -> "Diagnosed":
        """Writes ``diagnosis.html``, ``diagnosis.json`` and ``figures/diagnosis-*`` into a run's directory."""
        self.write_figures(run / "figures")
        text = json.dumps(self.measurements.to_json(), ensure_ascii=False, indent=2, allow_nan=False)
        _written(run / "diagnosis.json", text + "\n")
        return self.write(run / "diagnosis.html")

    def _repr_html_(self) -> str:
        return (
            environment()
            .get_template("findings.html.j2")
            .render(found=self.measurements, evidence=EVIDENCE, said=said, nothing=NO_FINDING)
        )

    def __repr__(self) -> str:
        counts = [sum(one.severity == kind for one in self.findings) for kind in ("serious", "warning", "note")]
        return f"Diagnosed({self.measurements.name!r}, serious {counts[0]}, warnings {counts[1]}, notes {counts[2]})"


def render(found: Diagnosis) -> str:
    """Returns the page as HTML."""
    sections = list(sections_of(found))
    return (
        environment()
        .get_template("diagnosis.html.j2")
        .render(
            found=found,
            sections=sections,
            figures=_inlined(sections),
            evidence=EVIDENCE,
            nothing=NO_FINDING,
            said=said,
            version=__version__,
        )
    )


def said(text: str) -> Markup:
    """Returns a sentence as HTML, with what stands between backticks as code."""
    parts = re.split(r"`([^`]+)`", text)
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if index % 2 else escape(part) for index, part in enumerate(parts)
    )


def _inlined(sections: Sequence[Section]) -> dict[str, Markup]:
    """Returns the figures of the page as SVG elements by name."""
    return {
        drawing.name: Markup(inline(to_svg(drawing.draw()), drawing.name, drawing.label))
        for section in sections
        for drawing in section.drawings
    }


def _written(path: Path, content: str | bytes) -> None:
    try:
        files.write(path, content)
    except OSError as error:
        raise BadSetting(f"cannot write {path} ({error.strerror or error}); choose a place with --out") from error
