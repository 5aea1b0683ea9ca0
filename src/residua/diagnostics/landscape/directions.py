"""Directions through the weights along which the loss is looked at.

Notation: θ [p] the weights at the centre, d [p] a direction; a point of a line is θ + a d.
"""

from dataclasses import dataclass
from typing import Literal, final

import torch
from torch import Tensor, nn

from residua.diagnostics.landscape.layout import Layout, flat, layout_of
from residua.diagnostics.landscape.normalising import Normalisation, known, normalised
from residua.errors import BadNetwork, BadWeights

Kind = Literal["random", "between", "pca", "hessian"]


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Direction:
    """One direction, as it is stored beside a surface."""

    kind: Kind
    says: str
    """For the figure: ``Gaussian, seed 3, normalised by filter``; ``first principal component, 71 % of the path``."""
    vector: Tensor
    """[p] float32, on the processor, in the order of `layout.layout_of`; between two checkpoints float64, which holds
    the difference of two float32 numbers exactly, so that 1 along it is the other network to the bit."""
    normalisation: Normalisation = "none"
    seed: int | None = None
    buffers: tuple[tuple[str, Tensor], ...] = ()
    """What moves of the module's buffers, between two checkpoints: their differences by name, float64."""
    explained: float | None = None
    """Of a principal component: its share of the path's variance, 0 to 1."""
    eigenvalue: float | None = None
    """Of a Hessian eigenvector."""


def random(module: nn.Module, *, seed: int, normalisation: str = "filter", small: bool = False) -> Direction:
    """Draws d ~ N(0, 1), independent for each weight, and makes it as large as the weights (Li et al. 2018, §4).

    Parameters that need no gradient stay where they are: the loss is looked at over what learns. So do tensors of at
    most one axis (bias, γ, β) unless ``small``: Li et al. normalise filters, and a batch norm's γ of a few large
    values would otherwise be what the picture shows. What a tensor's draw is depends on the seed and on the
    parameters before it alone. ``module`` and the random state stay as they are.

    Args:
        module: At the centre.
        seed: Of a generator of the direction's own.
        normalisation: As `residua.diagnostics.landscape.normalising.normalised` has them.
        small: Whether tensors of at most one axis move too, each as one filter.

    Raises:
        BadNetwork: If no parameter moves.
        BadSetting: If there is no such normalisation.
        BadWeights: If a weight is no finite number.
    """
    how = known(normalisation)
    layout, generator = layout_of(module), torch.Generator().manual_seed(seed)
    vector = torch.randn(len(layout), generator=generator)
    moving = _moving(module, small=small)
    for (name, drawn), weights in zip(layout.parts(vector).items(), module.parameters(), strict=True):
        drawn.copy_(normalised(drawn, weights, how) if name in moving else torch.zeros(()))
    scale = "not normalised" if how == "none" else f"normalised by {how}"
    says = f"Gaussian, seed {seed}, {scale}{', with biases and norms' if small else ''}"
    return Direction(kind="random", says=says, vector=vector, normalisation=how, seed=seed)


def random_pair(
    module: nn.Module, *, seed: int, normalisation: str = "filter", small: bool = False
) -> tuple[Direction, Direction]:
    """Draws the two axes of a plane with the seeds 2s and 2s + 1, so that no two planes share an axis.

    They are left as they are drawn, as Li et al. do: Gaussian directions in many dimensions are nearly orthogonal, and
    `cosine_says` says how nearly.

    Raises:
        ResiduaError: As `random` does.
    """
    x, y = (random(module, seed=2 * seed + axis, normalisation=normalisation, small=small) for axis in (0, 1))
    return x, y


def eigenvector(module: nn.Module, vector: Tensor, eigenvalue: float) -> Direction:
    """Returns an eigenvector of the Hessian as a direction, as long as the weights that it moves.

    ‖d‖ = ‖θ‖ over the tensors in which the vector is not 0: so long a random direction normalised by filter is too,
    and a coordinate means the same step on both figures. Normalising it by filter would make it another direction,
    one that is no eigenvector. Its largest component is positive, for an eigenvector has no sign.

    Args:
        module: At the centre.
        vector: [p] in the order of `layout.layout_of`, of any length but 0.
        eigenvalue: Of the mean loss, at coordinate 0.
    """
    layout, v = layout_of(module), vector.detach().to("cpu", torch.float64)
    length = _norm_where_it_moves(layout, v, flat(module).to("cpu", torch.float64))
    sign = float(torch.sign(v[v.abs().argmax()]))
    unit = sign * v / v.norm()
    says = f"eigenvector of the Hessian, eigenvalue {eigenvalue:.3g}, as long as the weights"
    return Direction(kind="hessian", says=says, vector=(length * unit).float(), eigenvalue=eigenvalue)


def cosine(one: Direction, other: Direction) -> float:
    """Returns ⟨d, e⟩ / (‖d‖ ‖e‖) of two directions through the same weights; 0 where one of them is 0."""
    d, e = one.vector.double(), other.vector.double()
    lengths = float(d.norm() * e.norm())
    return float(d @ e) / lengths if lengths else 0.0


def cosine_says(one: Direction, other: Direction) -> str:
    """Says how far the axes of a plane are from a right angle, for its remarks."""
    found = cosine(one, other)
    angle = "they are nearly at a right angle" if abs(found) < 0.1 else "the map is drawn as if it were a right angle"
    return f"The axes' directions have the cosine {found:.4f}: {angle}."


def _moving(module: nn.Module, *, small: bool) -> set[str]:
    """Returns the names of the parameters that a random direction moves, once their values are finite."""
    moving = {name: one for name, one in module.named_parameters() if one.requires_grad and (small or one.dim() > 1)}
    if not moving:
        raise BadNetwork(
            f"no weight of {type(module).__name__} would move: each is frozen or of at most one axis; "
            "let some need a gradient (requires_grad_), or take small=True"
        )
    for name, one in moving.items():
        if not bool(one.isfinite().all()):
            raise BadWeights(f"{name} holds a value that is no finite number; take weights from before that")
    return set(moving)


def _norm_where_it_moves(layout: Layout, vector: Tensor, weights: Tensor) -> float:
    moved = [weights[slot.start : slot.stop] for slot in layout.slots if vector[slot.start : slot.stop].any()]
    return float(torch.cat(moved).norm())
