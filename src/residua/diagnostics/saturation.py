"""Which units an activation has switched off, read from its outputs alone.

Notation: y is an output, φ′ the derivative of the activation, which for all these functions is one of y.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

_RECTIFIERS = frozenset({"relu", "relu6", "hardtanh", "hardswish"})
"""Functions with a half-line of zeros; `hardtanh` where it starts at 0, which is how ``nn.ReLU6`` is written."""
_FLAT = 1 / 20
"""A unit is saturated where φ′ is below this part of its largest."""


def bounds(args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[float, float]:
    """Returns between which values a call of ``hardtanh`` leaves its input."""
    said = dict(zip(("min_val", "max_val"), args[1:3], strict=False)) | dict(kwargs)
    return said.get("min_val", -1.0), said.get("max_val", 1.0)


def dead(op: str, low: float, values: Float[Tensor, "units all"]) -> float:
    """Returns the share of the units that are zero throughout; 0 for activations that are no rectifiers."""
    if op not in _RECTIFIERS or (op == "hardtanh" and low != 0):
        return 0.0
    return float((values == 0).all(1).double().mean())


def is_saturated(op: str, low: float, high: float, values: Float[Tensor, "units all"]) -> Bool[Tensor, "units all"]:
    """Says of each output y whether φ′ is below a twentieth of its largest; rectifiers are not asked on their left."""
    match op:
        case "sigmoid":
            return 4 * values * (1 - values) < _FLAT
        case "tanh":
            return 1 - values.square() < _FLAT
        case "softsign":
            return (1 - values.abs()).square() < _FLAT
        case "hardsigmoid":
            return (values <= 0) | (values >= 1)
        case "hardtanh" if low != 0:
            return (values <= low) | (values >= high)
        case "hardtanh" | "relu6":
            return values >= (6.0 if op == "relu6" else high)
        case _:
            return torch.zeros_like(values, dtype=torch.bool)
