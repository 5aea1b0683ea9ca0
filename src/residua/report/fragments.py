"""Cards for notebooks, filled from the same numbers and figures as the page.

They take the notebook's own text colour, so that they can be read in its light and dark themes.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup

from residua.report import figures
from residua.report.material import read
from residua.report.page import environment
from residua.report.style import inline, to_svg


def run_card(run: Path) -> str:
    """Returns a finished run's headline, what must be read before it, and its curves.

    Raises:
        BadRun: If the run is missing, unfinished or damaged.
    """
    material = read(run)
    kept = (material.result.get("chosen") or {}).get("epoch")
    prefix = "r" + hashlib.sha256(str(run.resolve()).encode()).hexdigest()[:8]
    drawn = {
        "loss": (figures.loss_curve(material.epochs, kept=kept), "Loss over epochs"),
        "accuracy": (figures.accuracy_curve(material.epochs, kept=kept), "Accuracy over epochs"),
    }
    curves = [Markup(inline(to_svg(figure), f"{prefix}-{name}", label)) for name, (figure, label) in drawn.items()]
    return environment().get_template("card.html.j2").render(material=material, curves=curves)


def inspection_card(inspection: Mapping[str, Any], *, name: str = "") -> str:
    """Returns a network's stages as a table with its totals."""
    return environment().get_template("inspection.html.j2").render(inspection=inspection, name=name)
