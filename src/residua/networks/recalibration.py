"""Batch norms' running statistics, taken anew for the weights that are there.

A running average is of weights that have moved on since: Wu and Johnson 2021 (arXiv:2105.07576, §3, "PreciseBN").
"""

import contextlib
import copy
from collections.abc import Callable, Iterable, Iterator, Sequence

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

_COUNT = "num_batches_tracked"


def batch_norms(module: nn.Module) -> tuple[_BatchNorm, ...]:
    """Returns the batch norms that keep running statistics."""
    return tuple(one for one in module.modules() if isinstance(one, _BatchNorm) and one.running_mean is not None)


@contextlib.contextmanager
def recalibrated(norms: Sequence[_BatchNorm], passes: Iterable[Callable[[], object]]) -> Iterator[None]:
    """Takes batch norms' statistics anew, every pass counting alike, and puts the old ones back afterwards.

    Args:
        norms: Go to training mode for the passes, and to evaluation mode until the end.
        passes: Each is a forward pass that gives every norm its own mean and its own unbiased variance, of which the
            plain average is kept: what it leaves out, how much the passes' means differ, is small where each has
            hundreds of images. ``num_batches_tracked`` stays what it was: the batches that the network learned from.
    """
    before = [(norm, norm.momentum, norm.training, copy.deepcopy(dict(norm.named_buffers()))) for norm in norms]
    try:
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # a cumulative average, in torch's batch norm
            norm.train()
        for one_pass in passes:
            one_pass()
        for norm, _, _, kept in before:
            norm.eval()
            norm.get_buffer(_COUNT).copy_(kept[_COUNT])
        yield
    finally:
        for norm, momentum, training, kept in before:
            norm.momentum, norm.training = momentum, training
            for name, buffer in norm.named_buffers():
                buffer.copy_(kept[name])
