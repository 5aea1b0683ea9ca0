"""The report of a run: one self-contained page, and its figures as files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure

from residua import __version__, files
from residua.report import figures, numbers, statements, tables
from residua.report.material import Material, read
from residua.report.pictures import Pictures, embedded, overlaid
from residua.report.style import inline, to_png, to_svg
from residua.report.watch_figure import heat_map
from residua.report.watch_section import watch_section

_TEMPLATES = Path(__file__).parent / "templates"


def write_report(run: Path, pictures: Pictures | None = None) -> Path:
    """Draws a finished run: writes ``report.html`` and ``figures/`` into it and returns the page's path.

    The page holds everything it shows; it loads nothing and runs no script.

    Args:
        run: Directory of a finished run.
        pictures: Training images and mistakes; without them the page lists the mistakes by file name.

    Raises:
        BadRun: If a file of the run is missing or damaged, or the run has not finished.
    """
    material = read(run)
    for name, figure in _exported(material).items():
        files.write(run / "figures" / f"{name}.svg", to_svg(figure))
        files.write(run / "figures" / f"{name}.png", to_png(figure))
    page = run / "report.html"
    files.write(page, render(material, pictures))
    return page


def render(material: Material, pictures: Pictures | None) -> str:
    """Returns the page as HTML."""
    template = environment().get_template("report.html.j2")
    return template.render(
        material=material,
        pictures=_embedded(pictures),
        figures=_inlined(material),
        watched=watch_section(material.watched()),
        confident=[] if pictures else tables.confident_mistakes(material.predictions()),
        version=__version__,
    )


def environment() -> Environment:
    """Returns what fills the templates: everything is escaped that is not marked as safe HTML."""
    made = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals.update(
        page_css=_css("report.css"),
        card_css=_css("card.css"),
        features_css=_css("features.css"),
        diagnosis_css=_css("diagnosis.css"),
        study_css=_css("study.css"),
        studies_css=_css("studies.css"),
        numbers=numbers,
        statements=statements,
        tables=tables,
        counted_up_to=figures.COUNTED_UP_TO_CLASSES,
    )
    return made


def _css(name: str) -> Markup:
    return Markup((_TEMPLATES / name).read_text(encoding="utf-8"))


def _exported(material: Material) -> dict[str, Figure]:
    made = {"curves": figures.curves(material.epochs, kept=_kept(material))}
    if material.numbers:
        made["confusion"] = figures.confusion(material.numbers["confusion"], material.classes)
        made |= {name: draw() for name, (draw, _) in _calibrations(material.numbers).items()}
    if samples := material.watched():
        made["watch"] = heat_map(samples)
    return made


def _inlined(material: Material) -> dict[str, Markup]:
    """Returns the figures of the page as SVG elements by name."""
    kept, measured = _kept(material), material.numbers
    drawn: dict[str, tuple[Callable[[], Figure], str]] = {
        "loss": (lambda: figures.loss_curve(material.epochs, kept=kept), "Loss over epochs"),
        "accuracy": (lambda: figures.accuracy_curve(material.epochs, kept=kept), "Accuracy over epochs"),
        "learning-rate": (lambda: figures.learning_rate_curve(material.epochs), "Learning rate over epochs"),
    }
    if measured:
        drawn |= _calibrations(measured)
        if len(material.classes) > figures.COUNTED_UP_TO_CLASSES:
            drawn["confusion"] = (
                lambda: figures.confusion(measured["confusion"], material.classes),
                "Confusion matrix: true classes as rows, predicted classes as columns",
            )
    return {name: Markup(inline(to_svg(draw()), name, label)) for name, (draw, label) in drawn.items()}


def _calibrations(measured: dict[str, Any]) -> dict[str, tuple[Callable[[], Figure], str]]:
    """Returns the reliability diagrams by name: one where no temperature was fitted, else before it and with it."""
    label = "Share of correct images over the probability of the predicted class"
    if not statements.is_calibrated(measured):
        return {"calibration": (lambda: figures.calibration(measured["reliability"]), label)}
    before, after = "before: temperature 1", f"after: temperature {numbers.significant(measured['temperature'])}"
    return {
        "calibration-before": (
            lambda: figures.calibration(measured["uncalibrated"]["reliability"], title=before),
            f"{label}, {before}",
        ),
        "calibration": (lambda: figures.calibration(measured["reliability"], title=after), f"{label}, {after}"),
    }


def _kept(material: Material) -> int | None:
    return (material.result.get("chosen") or {}).get("epoch")


def _embedded(pictures: Pictures | None) -> dict[str, Any] | None:
    if pictures is None:
        return None
    samples = zip(pictures.samples, pictures.sample_labels, strict=True)
    return {
        "samples": [{"source": embedded(image), "label": label} for image, label in samples],
        "mistakes": [
            {
                "file": mistake.file,
                "label": mistake.label,
                "predicted": mistake.predicted,
                "probability": mistake.probability,
                "source": embedded(mistake.image),
                "map": overlaid(mistake.image, mistake.activation_map),
            }
            for mistake in pictures.mistakes
        ],
        "small": max(pictures.samples.shape[-2:]) <= 96,
    }
