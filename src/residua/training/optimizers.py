"""Builds torch's optimizers from a recipe; which tensors decay is decided here."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from residua.networks.blocks import StochasticDepth
from residua.networks.network import ResidualNetwork
from residua.training.muon import Muon
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
    groups: dict[tuple[float, float, bool], list[nn.Parameter]] = {}
    shifts, filters = _shifts(network), _filters(network)
    for scale, parameter in _scaled(network, stage_decay):
        is_filter = parameter in filters
        faster = spec.norm_bias_scale if parameter in shifts else spec.filter_scale if is_filter else 1.0
        decays = spec.decay_norm_and_bias or parameter.ndim > 1
        key = (scale * faster, spec.weight_decay / faster if decays else 0.0, is_filter and spec.kind == "muon")
        groups.setdefault(key, []).append(parameter)
    return _optimizer(
        [
            {"params": members, "weight_decay": decay, "rate_scale": scale, "orthogonal": orthogonal}
            for (scale, decay, orthogonal), members in sorted(
                groups.items(), key=lambda each: (each[0][0], -each[0][1])
            )
        ],
        spec,
        fused=not any(isinstance(module, StochasticDepth) for module in network.modules()),
    )


def _shifts(network: nn.Module) -> set[nn.Parameter]:
    """Returns the biases of the norms, and of a whitening stem."""
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d | nn.GroupNorm)]
    found = {parameter for norm in norms for name, parameter in norm.named_parameters() if name == "bias"}
    if isinstance(network, ResidualNetwork) and network.spec.stem.whitening:
        found.add(network.stem.get_parameter("convolution.bias"))
    return found


def _filters(network: nn.Module) -> set[nn.Parameter]:
    """Returns the weights of all convolutions but the first, which reads the image."""
    layers = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    return {parameter for layer in layers[1:] for parameter in layer.parameters() if parameter.ndim > 1}


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
    if spec.kind == "muon":
        for group in groups:
            group["momentum"] = spec.filter_momentum if group["orthogonal"] else spec.momentum
        return Muon(groups, lr=spec.learning_rate)
    rate, betas = spec.learning_rate, (spec.momentum, spec.second_moment_decay)
    if spec.kind == "sgd":
        return torch.optim.SGD(groups, lr=rate, momentum=spec.momentum, nesterov=spec.nesterov, fused=fused)
    if spec.kind == "adam":
        return torch.optim.Adam(groups, lr=rate, betas=betas)
    if spec.kind == "adamw":
        return torch.optim.AdamW(groups, lr=rate, betas=betas)
    return torch.optim.RMSprop(groups, lr=rate, alpha=spec.second_moment_decay, momentum=spec.momentum)
