"""A loss surface that can be turned: the data of a plotly figure, and the script that draws it in a page.

The page holds plotly's JavaScript compressed and unpacks it only when the surface comes into view, so it opens at once,
works offline and asks for nothing. The content security policy names both scripts by their digests.
"""

import base64
import gzip
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, final

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import to_hex

from residua.report.landscape_marks import Panel
from residua.report.landscape_notes import axis_label, notes
from residua.report.landscape_relief import panel_name, picture
from residua.report.landscape_scale import COLOURS, Array, Scale, level_text, scale_of
from residua.report.numbers import measure

_SCRIPT = Path(__file__).parent / "templates" / "landscape.js"
_COLOUR_STOPS = 17
_DIGITS = 5
"""Significant ones of a loss in the page."""
_VIEW = {"eye": {"x": 1.22, "y": -1.44, "z": 1.26}, "center": {"x": 0, "y": 0, "z": -0.16}}
"""From above and from one corner: the middle of a bowl is seen."""


@final
@dataclass(frozen=True, kw_only=True)
class Turning:
    """What a template needs for a surface that can be turned."""

    data: str
    """JSON that `templates/landscape.js` reads."""
    library: str
    """plotly's JavaScript, compressed by gzip, in base 64."""
    script: str
    policy: str
    """``script-src`` of the page's content security policy."""
    picture: str
    """An image as a data address, where there is no WebGL or no script."""
    names: tuple[str, ...]
    """Of the surfaces, for the switch between them."""
    captions: tuple[str, ...]
    """Under each surface: norm policy, images, loss and gradient norm at the centre."""


def turning(panels: Sequence[Panel]) -> Turning:
    """Returns the surfaces of two-axis grids side by side in one scale, as a page embeds them."""
    packed, digest = _library()
    script = _SCRIPT.read_text(encoding="utf-8")
    return Turning(
        data=_safe(reliefs(panels)),
        library=packed,
        script=script,
        policy=f"'{_digest(script.encode())}' '{digest}'",
        picture=picture(panels),
        names=tuple(panel_name(panel) for panel in panels),
        captions=tuple(" · ".join(notes(panel.surface, panel.cells, letters=400)) for panel in panels),
    )


def reliefs(panels: Sequence[Panel]) -> dict[str, Any]:
    """Returns heights, true losses and axes of every surface, and the scale that they share, for JSON.

    A height is the decimal logarithm of the loss where the scale is logarithmic, clipped to the scale; None is a gap.
    """
    scale = scale_of([panel.cells.loss for panel in panels])
    ends = scale.heights(np.array([scale.low, scale.high]))
    ticks = scale.levels(7)
    return {
        "surfaces": [_relief(panel, scale) for panel in panels],
        "low": float(ends[0]),
        "high": float(ends[1]),
        "ticks": scale.heights(np.array(ticks)).tolist() if ticks else [],
        "labels": [level_text(tick) for tick in ticks],
        "colours": [[stop, to_hex(colormaps[COLOURS](stop))] for stop in np.linspace(0, 1, _COLOUR_STOPS).tolist()],
        "camera": _VIEW,
    }


def _relief(panel: Panel, scale: Scale) -> dict[str, Any]:
    x, y = (axis.values for axis in panel.surface.grid.axes)
    return {
        "name": panel_name(panel),
        "x": _rounded(np.asarray(x)),
        "y": _rounded(np.asarray(y)),
        "z": [_rounded(row) for row in scale.heights(panel.cells.loss)],
        "loss": [[measure(value) for value in row] for row in panel.cells.loss.tolist()],
        "axes": [axis_label(panel.surface, 0), axis_label(panel.surface, 1)],
    }


def _rounded(row: Array) -> list[float | None]:
    return [float(f"{value:.{_DIGITS}g}") if np.isfinite(value) else None for value in row]


def _safe(data: dict[str, Any]) -> str:
    """Returns JSON in which nothing can end the element that holds it."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


@cache
def _library() -> tuple[str, str]:
    """Returns plotly's JavaScript compressed, and its digest for the content security policy."""
    from plotly.offline import get_plotlyjs

    code = get_plotlyjs().encode()
    packed = gzip.compress(code, compresslevel=9, mtime=0)
    return base64.b64encode(packed).decode(), _digest(code)


def _digest(code: bytes) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(code).digest()).decode()
