"""The plane that holds most of a training path (Li et al. 2018, §7).

Notation: θ_t the weights at the t-th of n kept points, θ_T the final weights; M [n, p] has the rows θ_t − θ_T.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn

from residua.diagnostics.landscape.between import require_fit
from residua.diagnostics.landscape.directions import Direction
from residua.diagnostics.landscape.layout import Layout, flat, layout_of
from residua.errors import BadRun

_FEWEST = 3
_BLOCK = 2**16  # weights of which all points are in memory at a time: 32 MB in float64 for 60 points
_STRAIGHT = 1e-12
"""Share of the second component below which a path is a straight line but for rounding."""

State = Mapping[str, Tensor]


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Principal:
    """The plane, and where the path's points are in it."""

    axes: tuple[Direction, Direction]
    """Of length 1, at a right angle: coordinates are distances in the weights' own units."""
    x: tuple[float, ...]
    """⟨θ_t − θ_T, d_x⟩ of each point, first to last; the final weights are at 0."""
    y: tuple[float, ...]
    explained: tuple[float, float]
    """Shares of Σ ‖θ_t − θ_T‖² that lie along x and y, 0 to 1."""

    def ranges(self, margin: float = 0.15) -> tuple[tuple[float, float], tuple[float, float]]:
        """Returns lowest and highest x, and y, that hold the path and the final weights.

        Args:
            margin: What is added on each side, as a share of the width.
        """
        return _range(self.x, margin), _range(self.y, margin)


def principal(module: nn.Module, states: Sequence[State]) -> Principal:
    """Returns the plane through the final weights that is nearest to a path, with the path's coordinates in it.

    The first two right singular vectors of M, from the eigenvectors of M Mᵀ [n, n] in float64: never p × p, and of
    the points a block of weights at a time. M is *not* centred at its mean, other than in the principal components
    that statistics packages give: the plane of the figure goes through θ_T, and the best one that does is this.
    The first point has positive coordinates. ``module`` stays as it is.

    Args:
        module: With the final weights, at the origin; they need not be the path's last point.
        states: Of the points, first to last; read tensor by tensor, so they may lie on a disk.

    Raises:
        BadRun: If there are fewer than three points, one holds a value that is no number, or they do not move or lie
            on a straight line.
        BadWeights: If they are of another architecture.
    """
    if len(states) < _FEWEST:
        raise BadRun(
            f"the path has {len(states)} points and a plane through it needs {_FEWEST}; "
            "train longer with `residua train --keep-path`"
        )
    own = module.state_dict()
    for state in states:
        require_fit(state, own)
    layout, centre = layout_of(module), flat(module).cpu()
    values, vectors = torch.linalg.eigh(_products(layout, centre, states))
    total = float(values.clamp(min=0).sum())
    _require_plane(values, total)
    weights = _signed(vectors[:, [-1, -2]]) / values[[-1, -2]].sqrt()  # [n, 2]: M^T times these are the axes
    axes = _combined(layout, centre, states, weights)
    shares = [float(value) / total for value in values[[-1, -2]]]
    x, y = (weights * values[[-1, -2]]).T.tolist()
    names = ("first", "second")
    first, second = (
        Direction(kind="pca", says=_says(name, share), vector=axis, explained=share)
        for name, share, axis in zip(names, shares, axes, strict=True)
    )
    return Principal(axes=(first, second), x=tuple(x), y=tuple(y), explained=(shares[0], shares[1]))


def _blocks(layout: Layout, centre: Tensor, states: Sequence[State]) -> Iterator[tuple[slice, Tensor]]:
    """Yields places in the vector and the columns of M there, [n, block] float64."""
    for slot in layout.slots:
        points = [state[slot.name].detach().reshape(-1) for state in states]
        for start in range(0, slot.stop - slot.start, _BLOCK):
            block = slice(start, min(start + _BLOCK, slot.stop - slot.start))
            here = slice(slot.start + block.start, slot.start + block.stop)
            rows = torch.stack([one[block].to("cpu", torch.float64) for one in points])
            yield here, rows - centre[here].double()


def _products(layout: Layout, centre: Tensor, states: Sequence[State]) -> Tensor:
    """Returns M Mᵀ [n, n]."""
    found = torch.zeros(len(states), len(states), dtype=torch.float64)
    for _, rows in _blocks(layout, centre, states):
        found += rows @ rows.T
    bad = [place for place, own in enumerate(found.diagonal().isfinite().tolist(), start=1) if not own]
    if bad:
        raise BadRun(
            f"the path's point {bad[0]} of {len(states)}, or the final weights, hold a value that is no finite number; "
            "`residua diagnose` says where it began"
        )
    return found


def _combined(layout: Layout, centre: Tensor, states: Sequence[State], weights: Tensor) -> Tensor:
    """Returns weightsᵀ M [2, p] float32, for weights [n, 2]."""
    found = torch.empty(2, len(layout))
    for here, rows in _blocks(layout, centre, states):
        found[:, here] = (weights.T @ rows).float()
    return found


def _require_plane(values: Tensor, total: float) -> None:
    """Refuses a path that spans no plane, by the eigenvalues of M Mᵀ, rising."""
    way = "draw a plane of random directions instead"
    if total <= 0:
        raise BadRun(f"the path does not move: every point is where the final weights are; {way}")
    if float(values[-2]) <= _STRAIGHT * total:
        raise BadRun(f"the path is a straight line, which spans no plane; {way}")


def _signed(vectors: Tensor) -> Tensor:
    """Returns eigenvectors [n, 2], each with the sign that its first component is positive."""
    return vectors * torch.where(vectors[0] < 0, -1.0, 1.0)


def _says(name: str, share: float) -> str:
    return f"{name} principal component of the path, {100 * share:.1f} % of it"


def _range(values: Sequence[float], margin: float) -> tuple[float, float]:
    low, high = min(*values, 0.0), max(*values, 0.0)
    return low - margin * (high - low), high + margin * (high - low)
