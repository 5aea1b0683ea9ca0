"""Builds torch's optimizers from a recipe; which tensors decay is decided here."""

import torch
from torch import nn

from residua.training.recipe import Optimizer


def optimizer_for(network: nn.Module, spec: Optimizer) -> torch.optim.Optimizer:
    """Returns the optimizer over all parameters that learn, in two groups: decayed and not.

    Tensors of one dimension (biases, norms' scale and shift, PReLU's slope) are decayed only where the
    recipe says so.
    """
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    decays = {id(p): spec.decay_norm_and_bias or p.ndim > 1 for p in parameters}
    groups = [
        {"params": [p for p in parameters if decays[id(p)]], "weight_decay": spec.weight_decay},
        {"params": [p for p in parameters if not decays[id(p)]], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    rate, betas = spec.learning_rate, (spec.momentum, spec.second_moment_decay)
    if spec.kind == "sgd":
        return torch.optim.SGD(groups, lr=rate, momentum=spec.momentum, nesterov=spec.nesterov, fused=True)
    if spec.kind == "adam":
        return torch.optim.Adam(groups, lr=rate, betas=betas)
    if spec.kind == "adamw":
        return torch.optim.AdamW(groups, lr=rate, betas=betas)
    return torch.optim.RMSprop(groups, lr=rate, alpha=spec.second_moment_decay, momentum=spec.momentum)
