"""The written rule for what a user leaves open: network and epochs, from image size, number and processor.

1. Images under 64 pixels take a network that keeps their size in its stem, others one for photographs.
   Each kind has a ladder of networks, the most accurate first. Under 16 pixels shortcuts are padded, not
   pooled: on the digits at learning rate 0.1 pooled ones ended at 97.2, 98.3 and 99.4 % over three seeds,
   padded ones at 98.6 % three times.
2. A budget of time (4 minutes, or ``--minutes``) times the rate of this kind of processor says how many
   multiply-adds may be spent. The first network on the ladder that can see every image `fewest` times
   within it is taken, or else the last one.
3. Epochs are what the budget then holds, between 1 and `most`.
4. Networks that have learned something take 4 to 20 epochs, so that a deeper one fits: a ladder of its own.
5. A step takes 256 small images or 32 photographs, and fewer where an epoch would have fewer than 20 steps.

The rates are nominal, so that the same command chooses the same on every machine of a kind; with
``--minutes`` the epochs come from a measured step instead.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, final

TINY_SIDE, PHOTOGRAPH_SIDE = 16, 64
DEFAULT_MINUTES = 4.0
_FEWEST_STEPS, _SMALLEST_BATCH = 20, 16
Processor = Literal["gpu", "bfloat16", "float32"]

# Multiply-adds of forward passes trained a second: on a processor, for each core; measured with resnet20
# at 32×32 and resnet18 at 224×224, rounded down. "gpu" is an estimate that no GPU has confirmed yet.
RATES: dict[Processor, float] = {"bfloat16": 30e9, "float32": 15e9, "gpu": 4e12}


@final
@dataclass(frozen=True, kw_only=True)
class Ladder:
    """The networks for one kind of images."""

    networks: tuple[str, ...]
    """Catalogue names, the most accurate first."""
    fewest: int
    """Epochs below which a smaller network learns more in the same time."""
    most: int
    """Epochs above which more bring little."""
    batch_size: int
    """Examples per step where there are enough for 20 steps an epoch."""


TINY = Ladder(networks=("resnet20", "resnet14", "resnet8"), fewest=12, most=40, batch_size=256)
SMALL = Ladder(
    networks=("resnet20-average-pooled", "resnet14-average-pooled", "resnet8-average-pooled"),
    fewest=12,
    most=40,
    batch_size=256,
)
FAST = Ladder(networks=("fast-resnet8", "fast-resnet8-narrow"), fewest=4, most=16, batch_size=1000)
PHOTOGRAPHS = Ladder(networks=("resnet50", "resnet34", "resnet18"), fewest=30, most=60, batch_size=32)


@final
@dataclass(frozen=True, kw_only=True)
class Choice:
    """What the rule chose, and why."""

    network: str
    epochs: int
    batch_size: int
    reason: str
    fills_budget: bool
    """Whether more epochs would not fit; else they are as many as bring something, and end sooner."""


def ladder(side: int) -> Ladder:
    """Returns the ladder for images whose shorter side is ``side`` pixels."""
    if side < TINY_SIDE:
        return TINY
    return SMALL if side < PHOTOGRAPH_SIDE else PHOTOGRAPHS


def fine_tuned(side: int) -> Ladder:
    """Returns the ladder for networks that have learned something already."""
    return replace(ladder(side), networks=("resnet50", "resnet34", "resnet18"), fewest=4, most=20)


def choose(
    side: int,
    images: int,
    *,
    processor: Processor,
    cores: int,
    minutes: float | None,
    network: str | None,
    steps: Ladder | None = None,
    multiply_adds: Callable[[str], int],
) -> Choice:
    """Returns network and epochs by the rule; a network that is given is kept.

    Args:
        side: Shorter side of the images, in pixels.
        images: Number of training images.
        processor: What computes.
        cores: Cores of a processor; ignored for a GPU.
        minutes: Time for the training steps; None takes the default.
        network: The user's choice, or None.
        steps: The ladder to choose from; None takes the one for images of this size.
        multiply_adds: Gives one forward pass's multiply-adds for a network's name.
    """
    steps = steps or ladder(side)
    names = (network,) if network else steps.networks
    rate = RATES[processor] * (1 if processor == "gpu" else cores)
    affordable = 60 * (minutes or DEFAULT_MINUTES) * rate / images

    def epochs(name: str) -> int:
        return max(1, min(steps.most, int(affordable / multiply_adds(name))))

    chosen = next((name for name in names if epochs(name) >= steps.fewest), names[-1])
    where = "a GPU" if processor == "gpu" else f"{cores} core{'s' * (cores != 1)} ({processor})"
    reason = f"for {images:,} images of {side} pixels on {where}"
    batch_size = steps.batch_size
    while batch_size > _SMALLEST_BATCH and images < _FEWEST_STEPS * batch_size:
        batch_size //= 2
    return Choice(
        network=chosen,
        epochs=epochs(chosen),
        batch_size=batch_size,
        reason=reason,
        fills_budget=epochs(chosen) < steps.most,
    )
