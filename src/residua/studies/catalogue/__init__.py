"""The studies that have a name: one file each, which defines ``STUDY``.

A new one is a new file; its place in `ORDER` is where it stands in the list and on the page of all.
"""

from importlib import import_module
from pathlib import Path

from residua.errors import BadSetting, unknown
from residua.studies.design import Study

ORDER = (
    "degradation",
    "causes",
    "vanishing",
    "signals",
    "additive",
    "shattering",
    "deepening",
    "lesion",
    "paths",
    "estimation",
    "landscape",
    "curvature",
    "orders",
    "bottleneck",
    "stochastic_depth",
    "fixup",
    "optimisers",
    "shortcuts",
    "shortcut_kinds",
    "depth",
    "responses",
)
"""As a course would tell them; studies that are not named here follow by the alphabet."""


def names() -> tuple[str, ...]:
    """Returns the names of the studies, those of `ORDER` first; reads the folder, and imports none of them."""
    found = {path.stem for path in Path(__file__).parent.glob("*.py")} - {"__init__"}
    return (*(one for one in ORDER if one in found), *sorted(found - set(ORDER)))


def study(name: str) -> Study:
    """Returns a study by name; hyphens may stand for underscores.

    Raises:
        BadSetting: If there is none, with the nearest name.
    """
    known = name.replace("-", "_")
    if known not in names():
        raise BadSetting(unknown("study", name, names()))
    return import_module(f"{__name__}.{known}").STUDY
