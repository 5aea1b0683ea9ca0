"""Through paths of which length the gradient comes (Veit et al. 2016, arXiv:1605.06431, §4.3 and Fig. 6).

A path takes the branch of k of the n blocks and the shortcut of the others (`residua.diagnostics.chain`).
"""

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import final

import torch
from torch import Tensor

from residua.diagnostics.case import Case, reseed, undisturbed
from residua.diagnostics.chain import Chain, Path
from residua.diagnostics.trace import trace

_SEED = 0
_MOST_PRODUCTS = 2000
_FEWEST_PATHS = 2


@final
@dataclass(frozen=True, kw_only=True)
class PathLengths:
    """The gradient by the input, by how many branches it came through."""

    blocks: int
    lengths: tuple[int, ...]
    """0 to the number of blocks."""
    norms: tuple[float, ...]
    """Mean norm of the gradient that comes through one path of that length: of an example's loss, by the first block's
    input, root mean square over the examples, mean over the paths."""
    shares: tuple[float, ...]
    """Norm of a path times the number of such paths, over the sum of these."""
    mean_length: float
    """By these shares."""
    binomial_mean: float
    """Half of the blocks: what it would be if all paths counted alike."""
    sampled: tuple[int, ...] = ()
    """How many paths of each length were followed; all that there are, where they are as few."""


def path_lengths(case: Case, *, examples: int = 8, paths: int = 10) -> PathLengths:
    """Measures the gradient through sampled paths of every length from 0 to the number of blocks.

    One pass in training mode, as the gradient is when it learns; the module is left as it was.

    Args:
        case: What is looked at.
        examples: How many.
        paths: Of each length, at most. A path of k blocks costs k products with a branch's Jacobian; where n blocks
            would cost more than 2000 there are fewer paths, and 2 at least.

    Raises:
        BadNetwork: If the blocks form no chain, or the gradient at the last addition is zero or not finite.
    """
    with undisturbed(case.module) as module:
        reseed(case.device, _SEED)  # of dropout
        if not module.training:
            module.train()
        module.requires_grad_(True)
        chosen = case.examples.take(slice(0, examples))
        found = trace(module, chosen)
        chain, loss = Chain.of(found), case.loss(found.output, chosen.labels)
        count = len(chain.blocks)
        drawn = sampled_paths(count, max(_FEWEST_PATHS, min(paths, 2 * _MOST_PRODUCTS // (count * (count + 1)))))
        logs = {path: log for path, log, _ in chain.follow(chain.at_the_end(loss), drawn)}
    # An example's gradient is n times its part of the mean loss's: in the root mean square √n is left of that.
    return _summed_up(count, logs, scale=math.sqrt(len(chosen)))


def sampled_paths(blocks: int, most: int) -> tuple[Path, ...]:
    """Draws paths of each length without repetition; all of a length where there are no more than that.

    Args:
        blocks: How many a path may take.
        most: Of each length.
    """
    generator = random.Random(_SEED)
    drawn: list[Path] = []
    for length in range(blocks + 1):
        if math.comb(blocks, length) <= most:
            drawn.extend(map(frozenset, combinations(range(blocks), length)))
            continue
        some: dict[Path, None] = {}
        while len(some) < most:
            some[frozenset(generator.sample(range(blocks), length))] = None
        drawn.extend(some)
    return tuple(drawn)


def _summed_up(blocks: int, logs: Mapping[Path, float], *, scale: float) -> PathLengths:
    by_length = [[log for path, log in logs.items() if len(path) == length] for length in range(blocks + 1)]
    means = torch.stack([_log_mean(torch.tensor(some, dtype=torch.float64)) for some in by_length])
    log_counts = [math.log(math.comb(blocks, length)) for length in range(blocks + 1)]
    shares = (means + torch.tensor(log_counts, dtype=torch.float64)).softmax(0)
    return PathLengths(
        blocks=blocks,
        lengths=tuple(range(blocks + 1)),
        norms=tuple((means.exp() * scale).tolist()),
        shares=tuple(shares.tolist()),
        mean_length=float((shares * torch.arange(blocks + 1)).sum()),
        binomial_mean=blocks / 2,
        sampled=tuple(map(len, by_length)),
    )


def _log_mean(logs: Tensor) -> Tensor:
    return logs.logsumexp(0) - math.log(len(logs))
