"""How far the gradient's norm changes through the units of a dense network, and what theory says of it.

Notation: x_l is what unit l gives, x_0 the input; g ~ N(0, 1) stands for ∂L/∂x_L, another for every example.
"""

import torch
from torch import Tensor

from residua.diagnostics import predictions
from residua.diagnostics.case import undisturbed
from residua.studies.dense import Dense, DenseNetwork, inputs, require_dense
from residua.studies.trial import Measure, Measurement, Trial

GRADIENTS_FROM = 3 * 2**30
"""Added to the seed for g, as `residua.studies.dense.INPUTS_FROM` is for the inputs."""


def growth(trial: Trial) -> Measurement:
    """Measures one pass of normal inputs, as many as the network is wide, in training mode.

    Numbers: ``gradient_ratio``, ‖∂L/∂x_0‖ / ‖∂L/∂x_L‖; ``predicted_gradient_ratio`` where theory has one (ReLU with
    He's weights; a plain network's without norm is that of its scales alone). Series: ``gradient``,
    ‖∂L/∂x_l‖ / ‖∂L/∂x_L‖ over l, and ``predicted_gradient`` likewise.

    Raises:
        BadNetwork: If the network is no `Dense`.
    """
    network = require_dense(trial)
    norms = _norms(network, inputs(trial, network.spec, network.spec.width), seed=trial.seed)
    depth, numbers = network.spec.depth, {"gradient_ratio": norms[0]}
    series = {"gradient": tuple((float(place), norm) for place, norm in enumerate(norms))}
    if (whole := predicted(network.spec, depth)) is not None:
        numbers["predicted_gradient_ratio"] = whole
        behind = [whole / (predicted(network.spec, place) or 1.0) for place in range(depth + 1)]
        series["predicted_gradient"] = tuple((float(place), ratio) for place, ratio in enumerate(behind))
    return Measurement(numbers=numbers, series=series)


def predicted(spec: Dense, units: int) -> float | None:
    """Returns ‖∂L/∂x_0‖ / ‖∂L/∂x_l‖ of the first l units (``docs/predictions.md``); None where nothing is known.

    A plain network with norm begins at a variance of 1, not of c: c^(−(l−1)/2).
    """
    if spec.activation != "relu" or spec.gain is not None:
        return None
    if not spec.norm:
        return predictions.residual_without_norm(units, scale=spec.scale) if spec.shortcuts else spec.scale**units
    if spec.scale != 1:
        return None
    if not spec.shortcuts:
        return predictions.plain_with_norm(max(0, units * spec.layers - 1))
    return predictions.residual_with_norm(units, branch_layers=spec.layers)


def _norms(network: DenseNetwork, x: Tensor, *, seed: int) -> list[float]:
    """Returns ‖∂L/∂x_l‖ / ‖∂L/∂x_L‖, l from 0 to L; in float64, for a square of what vanishes is no float32."""
    with undisturbed(network), torch.enable_grad():
        network.train().requires_grad_(False)
        stream = [x.requires_grad_()]
        for unit in network.units:
            stream.append(unit(stream[-1]))
        generator = torch.Generator().manual_seed(GRADIENTS_FROM + seed)
        gradient = torch.randn(x.shape, generator=generator)
        found = torch.autograd.grad(stream[-1], stream, gradient)
    last = float(gradient.double().norm())
    return [float(one.double().norm()) / last for one in found]


GROWTH = Measure("growth", growth)
