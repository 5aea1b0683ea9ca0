"""Batch norms' statistics for the weights that a run evaluates and keeps.

Running averages are of the last steps' weights, and lookahead holds them back as it does weights, whose steps end
small: statistics taken anew are of the very weights that they stand beside.
"""

import contextlib
from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor, nn

from residua import evaluation, machine
from residua.networks.recalibration import batch_norms, recalibrated
from residua.training.loop import Course


@contextlib.contextmanager
def settled(network: nn.Module, course: Course) -> Iterator[None]:
    """Gives the batch norms statistics of the weights that are there, where the recipe asks for them, until the end.

    They are of training images that are drawn by the run's seed and seen as when the network is used: neither cropped
    nor mirrored, in its evaluation mode. So they are a function of weights, images and seed alone, and the same on
    every process and after a resumption. Norms that do not learn keep theirs.
    """
    was_training = network.training
    norms = [norm for norm in batch_norms(network.train()) if norm.training]
    network.train(was_training)
    if not course.recipe.recalibration_images or not norms:
        yield
        return
    images, _ = course.dataset.drawn(course.dataset.train, course.recipe.recalibration_images, seed=course.seed)
    parts = images.tensor_split(-(-len(images) // evaluation.BATCH_SIZE))
    network.eval()
    try:
        with recalibrated(norms, [partial(_seen, network, part, course) for part in parts]):
            yield
    finally:
        network.train(was_training)


@torch.no_grad()
def _seen(network: nn.Module, images: Tensor, course: Course) -> None:
    with machine.computing_in(course.precision, course.device):
        network(images.to(course.device))
