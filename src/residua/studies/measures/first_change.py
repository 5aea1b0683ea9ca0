"""How far one small step moves what a network answers, before it has learned anything.

Notation: z are the logits of the images in training mode, θ the parameters, g = ∂L/∂θ, η the learning rate.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from residua.diagnostics.case import answer, run, undisturbed
from residua.studies.trial import Measure, Measurement, Trial

_IMAGES = 64


def first_change(trial: Trial) -> Measurement:
    """Measures the change of the function in one step of gradient descent, in the limit of a small rate.

    Zhang et al. 2019 (Fixup), §3, ask that it be of the order of η, whatever the depth: ‖z(θ − ηg) − z(θ)‖ / η → ‖J g‖
    with J = ∂z/∂θ. The limit is taken exactly, so no η is chosen. Numbers: ``first_change``, the root mean square of
    J g over 64 training images and all logits.
    """
    case = trial.case(_IMAGES)
    with undisturbed(case.module) as module, torch.enable_grad():
        module.train()
        parameters = [one for one in module.parameters() if one.requires_grad]
        logits = answer(run(module, case.examples))
        gradient = torch.autograd.grad(case.loss(logits, case.examples.labels), parameters, retain_graph=True)
        change = _along(logits, parameters, gradient)
    return Measurement(numbers={"first_change": float(change.square().mean().sqrt())})


FIRST_CHANGE = Measure("first_change", first_change)


def _along(outputs: Tensor, parameters: Sequence[Tensor], direction: Sequence[Tensor]) -> Tensor:
    """Returns J v as the derivative of v · Jᵀu by u, which is linear in u, so that any u will do."""
    u = torch.zeros_like(outputs, requires_grad=True)
    pulled = torch.autograd.grad(outputs, parameters, u, create_graph=True)
    product = torch.stack([(one * v).sum() for one, v in zip(pulled, direction, strict=True)]).sum()
    return torch.autograd.grad(product, u)[0]
