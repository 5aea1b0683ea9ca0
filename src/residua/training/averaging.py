"""Averages of the weights over the steps of a run: a moving average beside them, or lookahead, which steps back to it.

Notation: w are the weights, running statistics included, v their average, T the steps of the run.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, final

import torch
from torch import Tensor, nn

from residua.configuration import check, check_choices

Weights = dict[str, Tensor]

_USUAL = {"none": (0.999, 1), "ema": (0.999, 1), "lookahead": (0.774, 5)}
"""Decay and steps between two updates where none are given."""


@final
@dataclass(frozen=True, kw_only=True)
class Averaging:
    """Says what is averaged, and how often."""

    kind: Literal["none", "ema", "lookahead"] = "none"
    """``ema``: v is evaluated and kept, w learns on without it; ``lookahead``: w becomes v whenever v is updated
    (Zhang et al. 2019), v holding on to its past the more the nearer the end (Jordan 2024, §3.5), and is what is
    evaluated and kept: steps after the last update count, and a run too short for one is trained all the same."""
    decay: float | None = None
    """What v keeps of itself in an update: min(decay, (1 + t)/(10 + t)) in the t-th one of ``ema``, None being 0.999;
    for ``lookahead`` at step t decay · (t/T)³, None being 0.774 (Jordan 2024)."""
    every: int | None = None
    """Steps between two updates; None is 1 for ``ema``, 5 for ``lookahead`` (Jordan 2024)."""

    def __post_init__(self) -> None:
        check_choices(self)
        decay, every = self.decay, self.every
        check(decay is None or 0 <= decay < 1, "averaging.decay", decay, "0 up to but not 1, or none")
        check(every is None or every >= 1, "averaging.every", every, "1 step or above, or none")

    @property
    def steps_between(self) -> int:
        """Returns the steps from one update to the next."""
        return self.every or _USUAL[self.kind][1]

    def stands_in(self, steps: int) -> bool:
        """Says whether v is what is evaluated and kept in place of w after so many steps, the first update done."""
        return self.kind == "ema" and steps >= self.steps_between

    def kept(self, step: int, steps: int) -> float:
        """Returns what v keeps of itself after ``step`` of ``steps`` steps."""
        decay = _USUAL[self.kind][0] if self.decay is None else self.decay
        if self.kind == "lookahead":
            return decay * (step / steps) ** 3
        update = step // self.steps_between
        return min(decay, (1 + update) / (10 + update))


def begun(network: nn.Module, spec: Averaging) -> Weights | None:
    """Returns the average before the first step: a copy of the weights; None where nothing is averaged."""
    if spec.kind == "none":
        return None
    return {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}


@torch.no_grad()
def update(average: Weights, network: nn.Module, spec: Averaging, *, step: int, steps: int) -> None:
    """Takes the weights after ``step`` (from 1) of ``steps`` into the average, where it is time to."""
    if step % spec.steps_between:
        return
    weights, kept = network.state_dict(), spec.kept(step, steps)
    real = [name for name, tensor in weights.items() if tensor.is_floating_point()]
    for name in real:
        average[name].lerp_(weights[name], 1 - kept)
        if spec.kind == "lookahead":
            weights[name].copy_(average[name])
    for name in weights.keys() - set(real):
        average[name].copy_(weights[name])


@contextmanager
def averaged(network: nn.Module, average: Weights | None) -> Iterator[None]:
    """Puts the average into the network, and the network's own weights back; changes nothing without an average."""
    if average is None:
        yield
        return
    own = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
    network.load_state_dict(average)
    try:
        yield
    finally:
        network.load_state_dict(own)
