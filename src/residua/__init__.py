"""Residua: residual networks that one can build, train, understand and use.

Public names are handed on lazily, so that ``import residua`` costs no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

__all__ = [
    "NetworkSpec",
    "ResiduaError",
    "Run",
    "__version__",
    "build",
    "deepen",
    "diagnose",
    "download",
    "draw_features",
    "draw_network",
    "evaluate",
    "feature_maps",
    "find_learning_rate",
    "inspect",
    "list_networks",
    "load",
    "predict",
    "pretrained",
    "resume",
    "study",
    "train",
    "watch",
    "write_report",
]

_HOMES = {
    "NetworkSpec": "residua.networks.spec",
    "Run": "residua.runs",
    "ResiduaError": "residua.errors",
    "diagnose": "residua.diagnoses",
    "study": "residua.studying",
    **dict.fromkeys(("build", "list_networks", "pretrained"), "residua.models"),
    **dict.fromkeys(("draw_features", "draw_network", "feature_maps", "inspect"), "residua.views"),
    "watch": "residua.watching",
}
"""Where a name lives; all others live in `residua.verbs`."""

if TYPE_CHECKING:
    from residua.diagnoses import diagnose as diagnose
    from residua.errors import ResiduaError as ResiduaError
    from residua.models import build as build
    from residua.models import list_networks as list_networks
    from residua.models import pretrained as pretrained
    from residua.networks.spec import NetworkSpec as NetworkSpec
    from residua.runs import Run as Run
    from residua.studying import study as study
    from residua.verbs import deepen as deepen
    from residua.verbs import download as download
    from residua.verbs import evaluate as evaluate
    from residua.verbs import find_learning_rate as find_learning_rate
    from residua.verbs import load as load
    from residua.verbs import predict as predict
    from residua.verbs import resume as resume
    from residua.verbs import train as train
    from residua.verbs import write_report as write_report
    from residua.views import draw_features as draw_features
    from residua.views import draw_network as draw_network
    from residua.views import feature_maps as feature_maps
    from residua.views import inspect as inspect
    from residua.watching import watch as watch


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'residua' has no attribute {name!r}")
    return getattr(import_module(_HOMES.get(name, "residua.verbs")), name)


def __dir__() -> list[str]:
    return __all__
