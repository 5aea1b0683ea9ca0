"""Batch norms' running statistics, taken anew for a module that is measured."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import partial

from torch import nn

from residua.diagnostics.case import Examples, run, undisturbed
from residua.networks import recalibration


@contextlib.contextmanager
def recalibrated(
    module: nn.Module, batches: Sequence[Examples], within: Callable[[], AbstractContextManager[None]]
) -> Iterator[None]:
    """Takes batch norms' statistics anew, every batch counting alike, and puts the old ones back afterwards.

    Args:
        module: In evaluation mode; its batch norms alone go to training mode for these passes.
        batches: As `residua.networks.recalibration.recalibrated` averages over its passes.
        within: Makes what each pass runs in: what the statistics are to be those of.
    """

    def passed(batch: Examples) -> None:
        with within():
            run(module, batch)

    passes = [partial(passed, batch) for batch in batches]
    with undisturbed(module), recalibration.recalibrated(recalibration.batch_norms(module), passes):
        yield
