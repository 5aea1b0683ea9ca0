"""The network itself, at the centre of a surface: its loss, its gradient, and whether it is at a minimum.

Notation: θ [p] the weights, g = ∇L(θ) on the images that the surface is of, under its policy for norms.
"""

from dataclasses import dataclass, replace
from math import isfinite
from typing import final

import torch
from torch import Tensor, nn

from residua.diagnostics.case import as_passes
from residua.diagnostics.landscape.directions import Direction
from residua.diagnostics.landscape.evaluating import Question
from residua.diagnostics.landscape.moving import Moving
from residua.diagnostics.landscape.surface import Centre

_LENGTHS = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
"""Of the steps against the gradient, as shares of ‖θ‖."""
_GAIN = 0.02
"""Of the loss: what a step may gain at a minimum."""
_SMALL = 0.01
"""Nats of cross-entropy that a step may gain at a minimum, however small the loss is."""


def centres(question: Question, moved: Moving) -> tuple[Centre, ...]:
    """Returns what is known of the network itself, a centre for each part, in float32 (float64 where it computes so).

    It is near a minimum where no step of a length from 1e-4 to 1e-1 of ‖θ‖ against g lowers the loss by more than
    2 % of it, and, of a cross-entropy, by more than 0.01. That is a statement about the picture's scale, and about
    one direction: a gradient of exactly 0 is not asked for. Statistics that are taken anew are constants of g; those
    of each batch are not.

    Raises:
        BadNetwork: If the forward pass fails, with what it said.
    """
    exact, start = replace(question, precision="float32"), [0.0] * moved.axes
    found = []
    for place in range(len(question.parts)):
        moved.to(start)
        with as_passes(moved.module):
            (loss, error), gradient = exact.measure(moved.module)[place], _gradient(exact, moved, place)
        searched = _Search(loss=loss, best=loss, length=0.0)
        if gradient is not None and isfinite(loss) and isfinite(float(gradient.norm())):
            searched = _searched(exact, moved, gradient, loss, place=place)
        moved.to(start)
        norm = float("nan") if gradient is None else float(gradient.norm())
        says, is_minimum = _verdict(searched, norm, is_nats=question.case.is_cross_entropy)
        found.append(Centre(loss=loss, error=error, gradient_norm=norm, says=says, is_minimum=is_minimum))
    return tuple(found)


@final
@dataclass(frozen=True, kw_only=True)
class _Search:
    """The lowest loss that was found against the gradient."""

    loss: float
    """At the centre."""
    best: float
    length: float
    """Of the step that led there, as a share of ‖θ‖."""


def _gradient(question: Question, moved: Moving, place: int) -> Tensor | None:
    """Returns g [p], zero for parameters that need none unless none does; None where no gradient passes the module."""
    module, part = moved.module, question.parts[place]
    held = [one for one in module.parameters() if one.is_floating_point()]
    needing = [one for one in held if one.requires_grad] or [one.requires_grad_() for one in held]
    sums = {id(one): torch.zeros_like(one) for one in needing}
    images = max(sum(map(question.weight, part.batches)), 1)
    with torch.enable_grad(), question.ready(module):
        for batch in part.batches:
            loss, _ = question.loss_of(module, batch)
            if not loss.requires_grad:
                return None
            weight = question.weight(batch) / images
            for one, gradient in zip(needing, torch.autograd.grad(loss, needing, allow_unused=True), strict=True):
                if gradient is not None and weight:
                    sums[id(one)] += weight * gradient
    return torch.cat([sums.get(id(one), torch.zeros_like(one)).reshape(-1) for one in module.parameters()])


def _searched(question: Question, moved: Moving, gradient: Tensor, loss: float, *, place: int) -> _Search:
    along = Moving(moved.module, [_against(gradient, moved.module)], is_copy=moved.is_copy)
    best = _Search(loss=loss, best=loss, length=0.0)
    for length in _LENGTHS:
        along.to([length])
        reached = question.measure(moved.module)[place][0]
        if reached < best.best:
            best = _Search(loss=loss, best=reached, length=length)
    along.to([0.0])
    return best


def _against(gradient: Tensor, module: nn.Module) -> Direction:
    """Returns −g ‖θ‖/‖g‖: a coordinate is the step's length as a share of ‖θ‖."""
    weights = torch.stack([one.detach().double().norm() for one in module.parameters()]).norm()
    size = gradient.norm()
    unit = gradient / size if size > 0 else gradient
    return Direction(kind="between", says="against the gradient", vector=-unit * weights.to(unit))


def _verdict(found: _Search, norm: float, *, is_nats: bool) -> tuple[str, bool]:
    """Returns the sentence and whether it says that this is a minimum."""
    if not isfinite(found.loss):
        return "no minimum: the loss is no number", False
    if not isfinite(norm):
        return "not known to be a minimum: no gradient passes the module, or it is no number", False
    gain = found.loss - found.best
    allowed = max(_GAIN * abs(found.loss), _SMALL if is_nats else 0.0)
    if gain <= allowed:
        return f"near a minimum: the gradient's norm is {norm:.3g}, and no step against it gains {allowed:.3g}", True
    return (
        f"no minimum: the gradient's norm is {norm:.3g}, and a step against it of {100 * found.length:.2g} % of the "
        f"weights' norm lowers the loss from {found.loss:.4g} to {found.best:.4g}",
        False,
    )
