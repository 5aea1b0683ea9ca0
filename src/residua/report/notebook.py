"""Fragments for notebooks: an updating progress cell, the card of a run, the table of a network.

IPython is used only where it runs already; the fragments are plain HTML with their own style.
"""

import sys
import time
from pathlib import Path
from typing import Any, final

from markupsafe import Markup

_DRAW_EVERY_SECONDS = 0.25


def in_notebook() -> bool:
    """Says whether this process is the kernel of a notebook, without importing anything."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None and hasattr(ipython, "get_ipython") else None
    return shell is not None and hasattr(shell, "kernel")


@final
class Cell:
    """Shows progress in the output of a notebook's cell: lines as said, one bar that moves."""

    def __init__(self) -> None:
        self._handle: Any = None
        self._steps = 1
        self._drawn_at = 0.0

    def say(self, line: str) -> None:
        _show(Markup('<div class="residua">{}</div>').format(line))

    def start(self, steps: int, done: int) -> None:
        self._steps = max(1, steps)
        self._handle = _show(bar_html(done / self._steps, ""), updatable=True)

    def update(self, done: int, status: str, left: str) -> None:
        now = time.monotonic()
        if self._handle is not None and now - self._drawn_at >= _DRAW_EVERY_SECONDS:
            self._drawn_at = now
            self._draw(bar_html(done / self._steps, f"{status} · {left}"))

    def epoch(self, line: str) -> None:
        _show(Markup('<div class="residua">{}</div>').format(line))

    def stop(self) -> None:
        if self._handle is not None:
            self._draw("")
            self._handle = None

    def _draw(self, fragment: str) -> None:
        self._handle.update({"text/html": str(fragment), "text/plain": ""}, raw=True)


def bar_html(share: float, status: str) -> Markup:
    """Returns a progress bar with its status as HTML."""
    return Markup('<div class="residua"><progress value="{:.4f}" max="1"></progress> {}</div>').format(share, status)


def run_html(run: Path) -> str:
    """Returns a finished run as a small card: its headline, what must be read before it, its curves.

    Raises:
        BadRun: If the run is missing, unfinished or damaged.
    """
    from residua.report import fragments

    return fragments.run_card(run)


def inspection_html(inspection: dict[str, Any], *, name: str = "") -> str:
    """Returns a network's stages as a table: output shape, parameters, multiply-adds, receptive field.

    Args:
        inspection: What `residua.networks.cost.Inspection.to_json` gives.
        name: Of the network, for the caption.
    """
    from residua.report import fragments

    return fragments.inspection_card(inspection, name=name)


def _show(fragment: str, *, updatable: bool = False) -> Any:
    from IPython.display import display  # pyright: ignore[reportMissingImports]

    content = {"text/html": str(fragment), "text/plain": ""}
    return display(content, raw=True, display_id=updatable or None)
