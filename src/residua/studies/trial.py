"""One arm at one seed, and what is measured on it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import final

from torch import nn

from residua.diagnostics.case import Case
from residua.training.record import Record


@final
@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What a measure found on a trial; JSON can hold it."""

    numbers: Mapping[str, float] = field(default_factory=dict)
    """Quantities by name, such as ``train_loss``; a prediction is a quantity, too."""
    series: Mapping[str, tuple[tuple[float, float], ...]] = field(default_factory=dict)
    """Points (x, y) by name, for figures of kind ``course``."""


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Trial:
    """A finished trial as a measure sees it; what costs is made when asked for."""

    arm: str
    seed: int
    network: Callable[[], nn.Module]
    """Makes the network: trained as chosen by the run, or as drawn by the seed where nothing was trained."""
    case: Callable[[int], Case]
    """Makes a case of the network with so many training images, and as many held-out ones where there are."""
    run: Record | None
    """None where nothing was trained."""
    beginning: Callable[[], nn.Module] | None = None
    """Makes the network as it was before its first step: drawn by the seed, or deepened from another trial's."""
    begins: "Trial | None" = None
    """The trial that it started from."""


@final
@dataclass(frozen=True)
class Measure:
    """Something that is measured on every trial of a study."""

    name: str
    function: Callable[[Trial], Measurement]
    version: int = 1
    """Raised when its numbers change their meaning, so that kept ones are measured anew."""
    diverged: Mapping[str, float] = field(default_factory=dict)
    """Its numbers of a trial whose loss stopped being one, such as ``train_loss`` = ∞; those that are missing here
    nobody knows then."""
