"""Directions through the weights along which the loss is looked at.

Notation: θ [p] the weights at the centre, d [p] a direction; a point of a line is θ + a d.
"""

from dataclasses import dataclass
from typing import Literal, final

from torch import Tensor

Normalisation = Literal["filter", "layer", "weight", "none"]
Kind = Literal["random", "between", "pca", "hessian"]


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
