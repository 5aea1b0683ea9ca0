"""Muon: momentum that is made orthogonal before it becomes a step (Jordan et al. 2024), for convolutions.

Notation: G is a filter tensor's Nesterov momentum as a matrix, one row a filter; its orthogonalisation is U Vᵀ of
G = U S Vᵀ. torch's own Muon takes matrices only.
"""

from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor

from residua import machine

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # Jordan et al. 2024: the slope at 0 is as steep as it can be
_ITERATIONS = 3


@final
class Muon(torch.optim.Optimizer):
    """Steps groups with ``orthogonal`` by orthogonalised momentum, and all others by SGD with Nesterov momentum.

    An orthogonal group's tensors are first brought to the norm √n, n filters, so that its learning rate says by how
    much a step turns them, and it knows no weight decay. For the others as in torch's SGD: g ← g + λ·p,
    m ← μ·m + g, p ← p − η·(g + μ·m).

    Args:
        groups: With ``params``, ``momentum``, ``weight_decay``, ``orthogonal``.
        lr: Learning rate of groups that have none of their own.
    """

    def __init__(self, groups: list[dict[str, Any]], lr: float) -> None:
        super().__init__(groups, {"lr": lr, "momentum": 0.9, "weight_decay": 0.0, "orthogonal": False})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # noqa: ARG002
        """Takes one step along the gradients; a tensor without one stays."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._step(parameter, parameter.grad, group)

    def _step(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        if not group["orthogonal"] and group["weight_decay"]:
            gradient = gradient.add(parameter, alpha=group["weight_decay"])
        state = self.state[parameter]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(parameter)
        momentum = state["momentum"].mul_(group["momentum"]).add_(gradient)
        direction = gradient.add(momentum, alpha=group["momentum"])
        if group["orthogonal"]:
            parameter.mul_(len(parameter) ** 0.5 / parameter.norm().clamp(min=1e-12))
            direction = orthogonalised(direction.flatten(1)).view(direction.shape)
        parameter.add_(direction, alpha=-group["lr"])


def orthogonalised(matrix: Float[Tensor, "n m"]) -> Float[Tensor, "n m"]:
    """Returns U Vᵀ of a matrix U S Vᵀ, roughly: singular values between 0.3 and 1.2 instead of 1, where they were above
    0.0078 of the matrix' norm; those below grow by 41 at most.

    Three Newton–Schulz iterations X ← a·X + (b·A + c·A²)·X with A = X Xᵀ, in bfloat16 as published where the device has
    it (the error of the arithmetic is below that of stopping early), else in float32.
    """
    a, b, c = _COEFFICIENTS
    x = matrix.bfloat16() if machine.has_bfloat16(matrix.device) else matrix.float()
    x = x / (x.norm() + 1e-7)
    wide = x if len(x) <= x.shape[1] else x.T
    for _ in range(_ITERATIONS):
        gram = wide @ wide.T
        wide = a * wide + (b * gram + c * gram @ gram) @ wide
    return (wide if len(x) <= x.shape[1] else wide.T).to(matrix.dtype)
