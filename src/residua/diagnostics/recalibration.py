"""Batch norms' running statistics, taken anew."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from residua.diagnostics.case import Examples, run, undisturbed


def batch_norms(module: nn.Module) -> tuple[_BatchNorm, ...]:
    """Returns the batch norms that keep running statistics."""
    return tuple(one for one in module.modules() if isinstance(one, _BatchNorm) and one.running_mean is not None)


@contextlib.contextmanager
def recalibrated(
    module: nn.Module, batches: Sequence[Examples], within: Callable[[], AbstractContextManager[None]]
) -> Iterator[None]:
    """Takes batch norms' statistics anew, every batch counting alike, and puts the old ones back afterwards.

    Args:
        module: In evaluation mode; its batch norms alone go to training mode for these passes.
        batches: Each gives its own mean and its own unbiased variance, of which the plain average is kept.
        within: Makes what each pass runs in: what the statistics are to be those of.
    """
    norms = batch_norms(module)
    momenta = [norm.momentum for norm in norms]
    with undisturbed(module):
        try:
            for norm in norms:
                norm.reset_running_stats()
                norm.momentum = None  # a cumulative average, in torch's batch norm
                norm.train()
            for batch in batches:
                with within():
                    run(module, batch)
            for norm in norms:
                norm.eval()
            yield
        finally:
            for norm, momentum in zip(norms, momenta, strict=True):
                norm.momentum = momentum
