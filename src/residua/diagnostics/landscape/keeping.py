"""A direction as arrays for an NPZ file, and back: exact, and without pickled objects."""

import json
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np
import torch

from residua.diagnostics.landscape.directions import Direction
from residua.errors import BadRun

_ARRAYS = ("vector", "buffers")


def to_arrays(direction: Direction, prefix: str) -> dict[str, np.ndarray]:
    """Returns ``PREFIX.vector``, ``PREFIX.buffer.NUMBER`` and, as JSON text, ``PREFIX.about``."""
    about: dict[str, Any] = {
        one.name: getattr(direction, one.name) for one in fields(direction) if one.name not in _ARRAYS
    }
    about["buffers"] = [name for name, _ in direction.buffers]
    moved = {f"{prefix}.buffer.{i}": tensor.numpy() for i, (_, tensor) in enumerate(direction.buffers)}
    return {f"{prefix}.about": np.array(json.dumps(about)), f"{prefix}.vector": direction.vector.numpy(), **moved}


def from_arrays(arrays: Mapping[str, np.ndarray], prefix: str) -> Direction:
    """Returns the direction that `to_arrays` wrote.

    Raises:
        BadRun: If one of its arrays is missing.
    """
    try:
        about = json.loads(str(arrays[f"{prefix}.about"]))
        vector = torch.from_numpy(arrays[f"{prefix}.vector"])
        names = about.pop("buffers")
        buffers = tuple((name, torch.from_numpy(arrays[f"{prefix}.buffer.{i}"])) for i, name in enumerate(names))
    except KeyError as error:
        raise BadRun(f"the surface's file lacks {error.args[0]}; compute it again") from None
    return Direction(vector=vector, buffers=buffers, **about)
