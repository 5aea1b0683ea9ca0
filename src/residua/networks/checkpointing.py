"""Activation checkpointing: less memory for a training step, the same gradients, one more forward pass in part.

Chen et al. 2016, arXiv:1604.06174: a stretch of blocks keeps its input alone, and computes the rest again when the
backward pass arrives.
"""

import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from math import isqrt

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from residua.networks.network import ResidualNetwork

_Context = contextlib.AbstractContextManager[None]


def checkpointed(network: ResidualNetwork, *, share: float = 2 / 3) -> Callable[[Tensor], Tensor]:
    """Returns a forward pass of the network that keeps few activations for the backward pass.

    Gradients, running statistics and their counters are those of the ordinary step; a random layer draws the same
    numbers again. Without gradients it is the network's own forward pass.

    Args:
        network: Is not changed; its parameters are the ones that learn.
        share: Of the blocks that are computed twice, the first ones, whose maps are the largest: memory falls and time
            grows with it.
    """
    blocks = [block for stage in network.stages for block in stage.children()]
    twice = round(share * len(blocks))
    length = max(1, isqrt(twice))
    firsts = range(0, twice, length)
    stretches = [nn.Sequential(*blocks[first : min(first + length, twice)]) for first in firsts]
    rest = nn.Sequential(*blocks[twice:])

    def forward(images: Tensor) -> Tensor:
        if not torch.is_grad_enabled():
            return network(images)
        x = network.stem(images)
        for stretch in stretches:
            x = checkpoint(stretch, x, use_reentrant=False, context_fn=partial(_contexts, stretch))
        return network.head(network.pool(network.tail(rest(x))).flatten(1))

    return forward


def _contexts(stretch: nn.Module) -> tuple[_Context, _Context]:
    """Returns what surrounds the first computation, and the second."""
    return contextlib.nullcontext(), _statistics_at_rest(stretch)


@contextlib.contextmanager
def _statistics_at_rest(stretch: nn.Module) -> Iterator[None]:
    """Lets the second computation count its batch into copies of the running statistics, which are thrown away."""
    norms = [norm for norm in stretch.modules() if isinstance(norm, _BatchNorm) and norm.training]
    kept = [dict(norm.named_buffers(recurse=False)) for norm in norms]
    for norm, buffers in zip(norms, kept, strict=True):
        for name, buffer in buffers.items():
            setattr(norm, name, buffer.clone())
    try:
        yield
    finally:
        for norm, buffers in zip(norms, kept, strict=True):
            for name, buffer in buffers.items():
                setattr(norm, name, buffer)
