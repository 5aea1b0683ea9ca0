"""How much of an optimizer's first step is weight decay.

Notation: λ weight decay, w weights, g gradient, Δ what a step adds to the weights, η learning rate.
"""

from collections.abc import Mapping
from math import hypot
from typing import Any

import torch
from torch import Tensor

from residua.diagnostics.case import Case
from residua.diagnostics.twins import copied


def decay_share(case: Case, gradients: Mapping[str, Tensor | None]) -> float | None:
    """Returns ‖decay's part‖ / (‖decay's part‖ + ‖Δ₀‖) of the first step; 0 where nothing decays.

    Copies of the optimizer take one step each, without its state: Δ with weight decay and Δ₀ without. The part of a
    group's decay is ‖Δ − Δ₀‖, but no more than λ‖w‖ / ‖g‖ of ‖Δ₀‖. For SGD both are the same, and decoupled decay
    (Loshchilov and Hutter 2019, Algorithm 2) has the first. Adam's first step moves every number by η; with decay in
    the gradient, those of hardly any gradient turn around for next to no decay: only the second is small where λ is.

    Args:
        case: What is diagnosed; neither its module nor its optimizer is touched.
        gradients: Of the mean loss, by the parameter's name.

    Returns:
        None without an optimizer, where copies of it cannot take a step, or where the step moves nothing.
    """
    if case.optimizer is None:
        return None
    if not any(float(group.get("weight_decay", 0.0)) for group in case.optimizer.param_groups):
        return 0.0
    try:
        with_decay, without = (_first_step(case, gradients, decays=decays) for decays in (True, False))
    except Exception:  # an optimizer may ask for anything: a closure, a state that it makes when it is built
        return None
    by_parameter: dict[Tensor, Tensor | None] = {
        parameter: gradients[name] for name, parameter in case.module.named_parameters()
    }
    decay = hypot(
        *(
            _part(group, by_parameter, _norm([a - b for a, b in zip(moved, free, strict=True)]), _norm(free))
            for group, moved, free in zip(case.optimizer.param_groups, with_decay, without, strict=True)
        )
    )
    total = decay + hypot(*map(_norm, without))
    return decay / total if total else None


def _first_step(case: Case, gradients: Mapping[str, Tensor | None], *, decays: bool) -> list[list[Tensor]]:
    """Returns by group how far the optimizer's first step moves each parameter, in float64 where the device has it."""
    twin = copied(case)
    optimizer = twin.optimizer
    if optimizer is None or type(optimizer) is not type(case.optimizer):
        raise TypeError("the step asks for a closure")
    if case.device.type != "mps":
        twin.module.double()  # a step of 1e-8 of a weight is lost in float32
    optimizer.state.clear()
    optimizer.zero_grad(set_to_none=True)
    for name, parameter in twin.module.named_parameters():
        gradient = gradients[name]
        parameter.grad = None if gradient is None else gradient.to(parameter.dtype)
    for group in optimizer.param_groups:
        group["weight_decay"] = group.get("weight_decay", 0.0) if decays else 0.0
    before = [[one.detach().clone() for one in group["params"]] for group in optimizer.param_groups]
    optimizer.step()
    return [
        [one.detach() - was for one, was in zip(group["params"], some, strict=True)]
        for group, some in zip(optimizer.param_groups, before, strict=True)
    ]


def _part(group: Mapping[str, Any], gradients: Mapping[Tensor, Tensor | None], apart: float, free: float) -> float:
    """Returns the part of a group's decay, of steps that are so far apart and so long without it."""
    known = [(one.detach(), given) for one in group["params"] if (given := gradients.get(one)) is not None]
    size = _norm([gradient for _, gradient in known])
    if not size:
        return apart
    return min(apart, free * float(group.get("weight_decay", 0.0)) * _norm([one for one, _ in known]) / size)


def _norm(tensors: list[Tensor]) -> float:
    return hypot(*(float(torch.linalg.vector_norm(one)) for one in tensors))
