"""What theory predicts of a network at initialisation, each with the conditions under which it holds.

The derivations, and what was measured beside them, are in ``docs/predictions.md``; which of these a network meets is
read off a forward pass in `residua.diagnostics.conditions`.

Notation: L blocks or layers; m layers of BN–ReLU–linear in a branch, with independent weights of variance 2/fan_in; v_l
is the stream's variance behind block l, mean over the channels, v_0 = 1 where it begins normalised; c = 1 − 1/π is
twice the variance of ReLU(z), z ~ N(0, 1).
"""

from dataclasses import dataclass
from math import pi, prod
from typing import final

C = 1 - 1 / pi
"""Variance that a layer behind BN–ReLU has over the examples; its second moment is 1."""


@final
@dataclass(frozen=True, kw_only=True)
class Prediction:
    """A number that theory gives for this network; where a condition fails there is none."""

    value: float
    quantity: str
    """What it is, in words: ``‖∂L/∂x₀‖ / ‖∂L/∂x_L‖``."""
    source: str
    """Paper and equation, or the page of the docs that derives it."""
    conditions: tuple[str, ...]
    """Those that were checked and hold."""
    variances: tuple[float, ...] = ()
    """Of a residual network: the stream's channel variance behind each addition but the first."""
    shares: tuple[float, ...] = ()
    """Likewise the part of that variance which the branch brings."""


def plain_with_norm(layers: int) -> float:
    """Returns ‖∂L/∂x₀‖ / ‖∂L/∂x_L‖ of L ReLU–linear–BN without shortcuts, (π/(π − 1))^(L/2) (Yang et al. 2019)."""
    return C ** (-layers / 2)


def residual_with_norm(blocks: int, *, branch_layers: int = 1, start: float = 1.0) -> float:
    """Returns ‖∂L/∂x₀‖ / ‖∂L/∂x_L‖ of identity shortcuts: √Π_l (1 + 1/(c^(m−1) v_l)), l from 0 to L − 1.

    Args:
        blocks: L.
        branch_layers: m.
        start: v_0.
    """
    inner = C ** (branch_layers - 1)
    return prod(1 + 1 / (inner * stream_variance(block, start=start)) for block in range(blocks)) ** 0.5


def residual_without_norm(blocks: int, *, scale: float = 1.0) -> float:
    """Returns ‖∂L/∂x₀‖ / ‖∂L/∂x_L‖ of identity shortcuts and branches a · (ReLU–linear)^m: (1 + a²)^(L/2).

    2^(L/2) for a = 1; towards √e, whatever the depth, for a = 1/√L; exactly 1 for a = 0.
    """
    return (1 + scale**2) ** (blocks / 2)


def stream_variance(blocks: int, *, start: float = 1.0) -> float:
    """Returns v_l = v_0 + c l, the channels' variance behind l blocks (De and Smith 2020, §3; with c for their 1)."""
    return start + C * blocks


def share_of_variance(block: int) -> float:
    """Returns c/(1 + c l), the part of the stream's variance behind block l that its branch brought; l from 1."""
    return C / stream_variance(block)


def share_of_moment(block: int) -> float:
    """Returns 1/(l + 1), the part of the stream's second moment behind block l that its branch brought; l from 1."""
    return 1 / (block + 1)
