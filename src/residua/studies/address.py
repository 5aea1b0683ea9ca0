"""What a trial is, to the last setting that can change a number of it, and the short name that follows from it.

Two studies that ask for the same trial give it the same address, so it runs once. The address leaves out what changes
no more than the time: the names of arm and recipe, the folder of the data, the checkpoints. The number of threads
changes the last bits of a result; it is kept with the run (``environment.json``), and is no part of the address.
"""

import contextlib
import dataclasses
import functools
import hashlib
import inspect
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from residua import configuration, files
from residua.data.dataset import Dataset
from residua.errors import BadSetting
from residua.studies.trial import Measure
from residua.training.plan import Plan

TRAINING_VERSION = 1
"""Raised when training itself gives other numbers, so that no kept trial answers for a new one."""
_DIGITS = 16
_CHANGES_NOTHING = ("name", "checkpoint_seconds")


def address(identity: Mapping[str, Any]) -> str:
    """Returns 16 hexadecimal digits of the SHA-256 of the identity as JSON, keys in order."""
    text = json.dumps(identity, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]


def trained(
    decided: Plan, *, seed: int, begins: str | None = None, deepen: tuple[tuple[int, int], ...] = ()
) -> dict[str, Any]:
    """Returns the identity of a trial that is trained.

    Args:
        decided: Its plan; the seed in it does not count.
        seed: Of the weights, the order and the augmentation.
        begins: Address of the trial whose weights it starts from.
        deepen: Stages, each with the identity blocks that are added to these.
    """
    recipe = configuration.to_json(decided.recipe)
    start = {"begins": begins, "deepen": [list(one) for one in deepen]} if begins else {}
    return {
        "version": TRAINING_VERSION,
        "network": configuration.to_json(decided.specification),
        "recipe": {name: value for name, value in recipe.items() if name not in _CHANGES_NOTHING},
        "data": _images(decided.dataset),
        "seed": seed,
        "precision": decided.precision,
        **start,
    }


def drawn(decided: Plan, *, seed: int) -> dict[str, Any]:
    """Returns the identity of a network of the library's as its seed draws it."""
    return {
        "version": TRAINING_VERSION,
        "network": configuration.to_json(decided.specification),
        "data": _images(decided.dataset),
        "seed": seed,
    }


def made(network: Any, *, source: str, settings: tuple[str, ...], seed: int) -> dict[str, Any]:
    """Returns the identity of a module that a function or a user's file makes; a file counts with its text.

    Raises:
        BadSetting: If two functions that differ could not be told apart by name and file.
    """
    if isinstance(network, str):
        place, _, name = network.rpartition(":")
        text = files.expanded(place).read_bytes()
        said = {"function": name, "file": hashlib.sha256(text).hexdigest()}
    else:
        said = _described(network)
    return {"version": TRAINING_VERSION, "made": said, "source": source, "settings": list(settings), "seed": seed}


def measured(measure: Measure) -> str:
    """Returns what a measure's findings are kept by: name, version, and of one that is not ours its file's digest."""
    made = measure.function if hasattr(measure.function, "__qualname__") else type(measure.function)
    digest = _named(made).get("file")
    return f"{measure.name}-{measure.version}{f'-{digest[:_DIGITS]}' if digest else ''}"


def _images(dataset: Dataset) -> dict[str, Any]:
    """Returns what the network sees: the digest of every part, and what the images become."""
    parts = {part.name: part.digest for part in dataset.parts}
    return {"parts": parts, "preprocessing": configuration.to_json(dataset.preprocessing)}


def _described(network: Any) -> dict[str, Any]:
    """Returns the name of a function, or the class and the fields of what is called like one."""
    if isinstance(network, functools.partial):
        given = [repr(one) for one in network.args], {name: repr(one) for name, one in network.keywords.items()}
        return {**_described(network.func), "given": given}
    if dataclasses.is_dataclass(network):
        kind = type(network)
        return {**_named(kind), "fields": configuration.to_json(network)}
    if "<" in getattr(network, "__qualname__", "<"):
        raise BadSetting(
            f"{network!r} cannot be told from another one like it, so its trials could not be kept; give an arm a "
            "function that is defined at its file's own level, or a frozen dataclass that can be called"
        )
    return _named(network)


def _named(made: Callable[..., Any]) -> dict[str, str]:
    """Returns the name of a function or class and the digest of its file; `TRAINING_VERSION` stands for our own."""
    name = {"function": f"{made.__module__}.{made.__qualname__}"}
    if made.__module__.partition(".")[0] == "residua":
        return name
    for text in (
        lambda: Path(inspect.getsourcefile(made) or "").read_bytes(),
        lambda: inspect.getsource(made).encode(),
    ):
        with contextlib.suppress(OSError, TypeError):  # a notebook has no file, and a prompt no text
            return {**name, "file": hashlib.sha256(text()).hexdigest()}
    return name
