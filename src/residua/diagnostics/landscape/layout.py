"""A module's parameters as one vector.

Notation: p parameters in all; θ [p], in the order of ``named_parameters``, each tensor once.
"""

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn


@final
@dataclass(frozen=True, kw_only=True)
class Slot:
    """Where one tensor stands in the vector."""

    name: str
    shape: tuple[int, ...]
    start: int
    stop: int


@final
@dataclass(frozen=True, kw_only=True)
class Layout:
    """Where every parameter stands in the vector."""

    slots: tuple[Slot, ...]

    def __len__(self) -> int:
        return self.slots[-1].stop if self.slots else 0

    def parts(self, vector: Tensor) -> dict[str, Tensor]:
        """Returns views of a vector [p] in the tensors' shapes, by name."""
        return {slot.name: vector[slot.start : slot.stop].view(slot.shape) for slot in self.slots}


def layout_of(module: nn.Module) -> Layout:
    """Returns the layout of a module's parameters; one that stands in several places is counted once."""
    slots, start = [], 0
    for name, one in module.named_parameters():
        slots.append(Slot(name=name, shape=tuple(one.shape), start=start, stop=start + one.numel()))
        start += one.numel()
    return Layout(slots=tuple(slots))


def flat(module: nn.Module) -> Tensor:
    """Returns a copy of a module's parameters as one vector [p], on their device."""
    return torch.cat([one.detach().reshape(-1) for one in module.parameters()])
