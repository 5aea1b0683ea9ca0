"""The page of a watched training, and its card in a notebook."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from residua import __version__, files
from residua.diagnostics.motion import Sample
from residua.report.page import environment
from residua.report.watch_section import watch_section


def write_watch_page(path: Path, samples: Sequence[Sample], *, title: str) -> Path:
    """Writes the page, whole or not at all, and returns its path.

    Args:
        path: Of the page; an older one is replaced.
        samples: By step; without any the page says so.
        title: What was trained.
    """
    template = environment().get_template("watch.html.j2")
    files.write(path, template.render(watched=watch_section(samples), title=title, version=__version__))
    return path


def watch_card(samples: Sequence[Sample]) -> str:
    """Returns the heat map and the first sign of trouble for a notebook."""
    steps = str([sample.to_json() for sample in samples])
    name = "w" + hashlib.sha256(steps.encode()).hexdigest()[:8]
    return environment().get_template("watch_card.html.j2").render(watched=watch_section(samples, name=name))
