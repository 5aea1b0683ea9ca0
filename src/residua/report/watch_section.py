"""What a page shows of a watched training: the heat map, the signs of trouble, how often it was sampled."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from markupsafe import Markup

from residua.diagnostics.motion import Sample
from residua.diagnostics.trouble import first_sign, signs
from residua.report.style import inline, to_svg
from residua.report.watch_figure import heat_map

_LABEL = "Update-to-weight ratio and gradient norm of every block over the steps"
_LISTED = 12


def watch_section(samples: Sequence[Sample], *, name: str = "watch") -> dict[str, Any] | None:
    """Returns what the templates show of a watched training; None where nothing was sampled.

    Args:
        samples: By step.
        name: Tells the identifiers of one figure from another's on the same page.
    """
    if not samples:
        return None
    found = signs(samples)
    return {
        "figure": Markup(inline(to_svg(heat_map(samples)), name, _LABEL)),
        "first": first_sign(found),
        "further": [sign.says for sign in found[1 : 1 + _LISTED]],
        "left_out": max(0, len(found) - 1 - _LISTED),
        "samples": len(samples),
        "steps": samples[-1].step,
        "every": min((b.step - a.step for a, b in pairwise(samples)), default=1),
    }
