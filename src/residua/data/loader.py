"""Batches of a part: drawn in an order of the epoch's own for training, in the part's order for evaluation.

The whole part stays uint8 where it lies; a batch is gathered, augmented and normalised as it is asked for.
One core does this faster than any network on it learns, so there are no worker processes; what is stored outside
memory is read by threads while the batches before it are learned from. A batch does not depend on where its images
were: they are the same bytes, and order and augmentation follow from (seed, epoch, step).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from residua import configuration
from residua.data.augment import AugmentSpec, Moment, augment, generator_for
from residua.data.dataset import Part, Preprocessing


@final
@dataclass(frozen=True, kw_only=True)
class BatchPlan:
    """Says which batches an epoch has, and which of them are still to come."""

    batch_size: int
    """Examples per optimizer step, over all ranks."""
    seed: int
    epoch: int
    """Decides the order and the augmentation together with the seed."""
    first_step: int = 0
    """Steps of this epoch that were taken already; the batches from here on are what they would have been."""
    augment: AugmentSpec = AugmentSpec()
    drop_last: bool = True
    """Whether a last batch below the batch size is left out, unless it is the only one."""
    rank: int = 0
    """This process among those that share each batch."""
    ranks: int = 1

    def __post_init__(self) -> None:
        configuration.check(self.batch_size >= 1, "batch_size", self.batch_size, "1 or above")
        configuration.check(self.first_step >= 0, "first_step", self.first_step, "0 or above")
        configuration.check(0 <= self.rank < self.ranks, "rank", self.rank, f"0 to {self.ranks - 1}")

    def steps(self, images: int) -> int:
        """Returns the number of batches in a whole epoch over so many images."""
        whole, rest = divmod(images, self.batch_size)
        return whole if self.drop_last and whole else whole + (rest > 0)


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """What one step sees."""

    images: Float[Tensor, "b c h w"]
    """Normalised, channels-last in memory, on the device that was asked for."""
    labels: Int64[Tensor, " b"]
    indices: Int64[Tensor, " b"]
    """Positions in the part, on the processor."""
    step: int
    """Within the epoch, counts from 0."""


def batches(part: Part, *, plan: BatchPlan, device: torch.device, preprocessing: Preprocessing) -> Iterator[Batch]:
    """Yields the epoch's training batches from ``plan.first_step`` on.

    The order is a permutation drawn from (seed, epoch); with several ranks each takes every ``ranks``-th
    image of the batch, so that together they see what one process would.
    """
    order = torch.randperm(len(part), generator=generator_for("order", plan.seed, plan.epoch))
    steps = range(plan.first_step, plan.steps(len(part)))
    drawn = [order[step * plan.batch_size : (step + 1) * plan.batch_size][plan.rank :: plan.ranks] for step in steps]
    for step, indices, taken in zip(steps, drawn, part.walk(drawn), strict=True):
        at = Moment(seed=plan.seed, epoch=plan.epoch, step=step, rank=plan.rank, ranks=plan.ranks)
        images = augment(taken.to(device), indices, plan.augment, at=at)
        labels = part.labels[indices.to(part.labels.device)].to(device)
        yield Batch(images=preprocessing.normalise(images), labels=labels, indices=indices, step=step)


def evaluation_batches(
    part: Part, *, batch_size: int, device: torch.device, preprocessing: Preprocessing
) -> Iterator[Batch]:
    """Yields every image once, unaugmented, in the part's order; the last batch may be smaller."""
    runs = [slice(first, min(first + batch_size, len(part))) for first in range(0, len(part), batch_size)]
    for step, (run, taken) in enumerate(zip(runs, part.walk(runs), strict=True)):
        images = preprocessing.normalise(taken.to(device))
        indices = torch.arange(run.start, run.stop)
        yield Batch(images=images, labels=part.labels[run].to(device), indices=indices, step=step)
