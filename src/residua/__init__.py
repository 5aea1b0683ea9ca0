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
    "download",
    "evaluate",
    "inspect",
    "list_networks",
    "load",
    "predict",
    "resume",
    "train",
    "write_report",
]

_HOMES = {"NetworkSpec": "residua.networks.spec", "ResiduaError": "residua.errors"}
"""Where a name lives; all others live in `residua.verbs`."""

if TYPE_CHECKING:
    from residua.errors import ResiduaError as ResiduaError
    from residua.networks.spec import NetworkSpec as NetworkSpec
    from residua.verbs import Run as Run
    from residua.verbs import build as build
    from residua.verbs import download as download
    from residua.verbs import evaluate as evaluate
    from residua.verbs import inspect as inspect
    from residua.verbs import list_networks as list_networks
    from residua.verbs import load as load
    from residua.verbs import predict as predict
    from residua.verbs import resume as resume
    from residua.verbs import train as train
    from residua.verbs import write_report as write_report


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'residua' has no attribute {name!r}")
    return getattr(import_module(_HOMES.get(name, "residua.verbs")), name)


def __dir__() -> list[str]:
    return __all__
