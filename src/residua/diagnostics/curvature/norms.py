"""Batch norms as a second derivative needs them."""

from inspect import signature
from typing import Any, final

import torch
from torch import nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm
from torch.overrides import TorchFunctionMode

_BATCH_NORM = signature(functional.batch_norm)


def use_the_batch(module: nn.Module) -> None:
    """Has batch norms normalise by what they are given and keep nothing of it, within `case.undisturbed`."""
    for norm in module.modules():
        if isinstance(norm, _BatchNorm):
            norm.train()
            norm._buffers.update(running_mean=None, running_var=None, num_batches_tracked=None)


@final
class NormsByHand(TorchFunctionMode):
    """Writes batch norms that use running statistics as a formula, γ (x − μ) / √(σ² + ε) + β.

    torch's own knows no derivative by μ and σ², and takes it for zero; on a surface between two networks both move.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is not functional.batch_norm:
            return func(*args, **kwargs)
        called = _BATCH_NORM.bind(*args, **kwargs)
        called.apply_defaults()
        given = called.arguments
        if given["training"] or given["running_mean"] is None:
            return func(*args, **kwargs)
        x, shape = given["input"], (-1, *(1 for _ in given["input"].shape[2:]))
        scale = torch.rsqrt(given["running_var"] + given["eps"])
        scale = scale if given["weight"] is None else scale * given["weight"]
        centred = (x - given["running_mean"].view(shape)) * scale.view(shape)
        return centred if given["bias"] is None else centred + given["bias"].view(shape)
