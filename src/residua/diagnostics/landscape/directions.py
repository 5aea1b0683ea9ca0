"""Directions through the weights along which the loss is looked at.

Notation: θ [p] the weights at the centre, d [p] a direction; a point of a line is θ + a d.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, final

import numpy as np
import torch
from torch import Tensor

Normalisation = Literal["filter", "layer", "weight", "none"]
Kind = Literal["random", "between", "pca", "hessian"]
_PLAIN = ("kind", "says", "normalisation", "seed", "explained", "eigenvalue")


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Direction:
    """One direction, as it is stored beside a surface."""

    kind: Kind
    says: str
    """For the figure: ``Gaussian, seed 3, normalised by filter``; ``first principal component, 71 % of the path``."""
    vector: Tensor
    """[p] float32, on the processor, in the order of `layout.layout_of`."""
    normalisation: Normalisation = "none"
    seed: int | None = None
    buffers: tuple[tuple[str, Tensor], ...] = ()
    """What moves of the module's buffers, between two checkpoints: their differences by name."""
    explained: float | None = None
    """Of a principal component: its share of the path's variance, 0 to 1."""
    eigenvalue: float | None = None
    """Of a Hessian eigenvector."""


def to_arrays(direction: Direction, prefix: str) -> dict[str, np.ndarray]:
    """Returns a direction as arrays for an NPZ file, by names that begin with ``prefix``."""
    about = {name: getattr(direction, name) for name in _PLAIN}
    arrays = {f"{prefix}vector": direction.vector.numpy(), f"{prefix}about": np.array(json.dumps(about))}
    return arrays | {f"{prefix}buffer.{name}": one.cpu().numpy() for name, one in direction.buffers}


def from_arrays(mapping: Mapping[str, np.ndarray], prefix: str) -> Direction:
    """Returns the direction that `to_arrays` wrote, to the bit."""
    begin = f"{prefix}buffer."
    buffers = tuple((name[len(begin) :], torch.from_numpy(mapping[name])) for name in mapping if name.startswith(begin))
    about = json.loads(str(mapping[f"{prefix}about"]))
    return Direction(vector=torch.from_numpy(mapping[f"{prefix}vector"]), buffers=buffers, **about)
