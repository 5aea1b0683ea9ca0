"""Builds torch's optimizers from a recipe; which tensors decay is decided here."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from residua.networks.blocks import StochasticDepth
from residua.networks.network import ResidualNetwork
from residua.training.recipe import Optimizer


def optimizer_for(network: nn.Module, spec: Optimizer, *, stage_decay: float = 1.0) -> torch.optim.Optimizer:
    """Returns the optimizer over all parameters that learn, in groups: decayed and not, for each rate.

    Tensors of one dimension (biases, norms' scale and shift, PReLU's slope) are decayed only where the
    recipe says so. A group's ``rate_scale`` is what its learning rate is multiplied by.

    Args:
        network: What learns.
        spec: How.
        stage_decay: Rate of a `ResidualNetwork`'s part over that of the part behind it.
    """
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for scale, parameter in _scaled(network, stage_decay):
        decays = spec.decay_norm_and_bias or parameter.ndim > 1
        groups.setdefault((scale, not decays), []).append(parameter)
    return _optimizer(
        [
            {"params": members, "weight_decay": 0.0 if spared else spec.weight_decay, "rate_scale": scale}
            for (scale, spared), members in sorted(groups.items(), key=lambda item: item[0])
        ],
        spec,
        fused=not any(isinstance(module, StochasticDepth) for module in network.modules()),
    )


def _scaled(network: nn.Module, stage_decay: float) -> Iterator[tuple[float, nn.Parameter]]:
    """Yields every parameter that learns with what its learning rate is multiplied by."""
    parts = [network]
    if isinstance(network, ResidualNetwork) and stage_decay != 1:
        parts = [network.stem, *network.stages, network.tail, network.head]
        parts = [part for part in parts if any(True for _ in part.parameters())]
    for distance, part in enumerate(reversed(parts)):
        yield from ((stage_decay**distance, parameter) for parameter in part.parameters() if parameter.requires_grad)


def _optimizer(groups: list[dict[str, Any]], spec: Optimizer, *, fused: bool) -> torch.optim.Optimizer:
    """Builds it; torch's fused SGD fails where a parameter has no gradient in some steps, as in a dropped block."""
    rate, betas = spec.learning_rate, (spec.momentum, spec.second_moment_decay)
    if spec.kind == "sgd":
        return torch.optim.SGD(groups, lr=rate, momentum=spec.momentum, nesterov=spec.nesterov, fused=fused)
    if spec.kind == "adam":
        return torch.optim.Adam(groups, lr=rate, betas=betas)
    if spec.kind == "adamw":
        return torch.optim.AdamW(groups, lr=rate, betas=betas)
    return torch.optim.RMSprop(groups, lr=rate, alpha=spec.second_moment_decay, momentum=spec.momentum)
