"""How many examples each part of a diagnosis looks at, so that all of them take under a minute.

The unit is a pass: one example forward and back, in training mode, timed on the module itself. Each part costs so many
passes for its sizes. Parts are taken in the order of `_LEAST` with their least sizes while these fit into the time;
then their sizes are doubled in turn, up to those in full, while that fits.
"""

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import torch

from residua.diagnostics.case import Case, Examples, as_passes, undisturbed

SECONDS = 40.0
"""For all parts together; reading images and drawing the page take the rest of the minute."""
_TIMED = (4, 16, 64)
"""Examples in the timed passes: of few, a small network's time is that of Python."""
_ENOUGH_SECONDS = 0.2
_SECONDS_OF_QUESTIONS, _FEWEST_OF_QUESTIONS = 20.0, 320.0
"""The questions cut themselves down to this time, but not below so many passes."""
Sizes = dict[str, int]

FULL: dict[str, Sizes] = {
    "gradients": {"size": 128, "batches": 3},
    "additive": {"examples": 8},
    "signals": {"size": 64},
    "shattering": {"points": 256, "lags": 15},
    "paths": {"examples": 8, "paths": 10},
    "estimation": {"size": 64},
    "information": {"examples": 768},
    "lesions": {"examples": 512, "draws": 5},
    "questions": {"steps": 40, "size": 64},
    "first_step": {"size": 64},
}
_LEAST: dict[str, Sizes] = {
    "gradients": {"size": 4, "batches": 3},
    "signals": {"size": 8},
    "first_step": {"size": 4},
    "additive": {"examples": 1},
    "estimation": {"size": 4},
    "shattering": {"points": 32, "lags": 15},
    "paths": {"examples": 1, "paths": 2},
    "information": {"examples": 96},
    "questions": {"steps": 20, "size": 8},
    "lesions": {"examples": 64, "draws": 2},
}
"""Below these a part says nothing. In the order in which the parts are taken: what tells most for its time first."""


@final
@dataclass(frozen=True, kw_only=True)
class Walk:
    """What a forward pass meets."""

    layers: int
    """Weighted layers."""
    additions: int
    """Of a branch and a shortcut."""


@final
@dataclass(frozen=True, kw_only=True)
class Pace:
    """How fast the module is."""

    seconds: float
    """Of a pass: one example forward and back."""

    @classmethod
    def measured(cls, case: Case) -> "Pace":
        """Times passes on more and more examples until one takes long enough to count; the first only warms up.

        Raises:
            BadNetwork: If a pass fails, with what it said.
        """
        with undisturbed(case.module) as module, as_passes(module), torch.enable_grad():
            module.train()
            weights = [one for one in module.parameters() if one.requires_grad]
            timed = [case.examples.take(slice(0, count)) for count in (_TIMED[0], *_TIMED)]
            per_example = 0.0
            for warm, few in enumerate(timed):
                seconds = _seconds_of_pass(case, few, weights)
                per_example = seconds / len(few)
                if warm and (seconds > _ENOUGH_SECONDS or len(few) == len(case.examples)):
                    break
        return cls(seconds=per_example)


@final
@dataclass(frozen=True, kw_only=True)
class Part:
    """One part of a diagnosis with its sizes."""

    name: str
    sizes: Sizes
    seconds: float
    """That it is expected to take."""


@final
@dataclass(frozen=True, kw_only=True)
class Chosen:
    """The parts that are measured."""

    parts: tuple[Part, ...]
    says: tuple[str, ...] = ()
    """What was made smaller or left out, for the reader."""


def passes(part: str, sizes: Sizes, walk: Walk) -> float:
    """Returns how many passes a part costs: a forward alone is a third of one, and float64 takes twice the time."""
    size = sizes.get("examples", sizes.get("size", 0))
    blocks = walk.additions
    removals = 2 * blocks + 10 * sizes.get("draws", 0)
    counted = {
        "gradients": 2 * size * sizes.get("batches", 0),
        "additive": 9 * size,
        "signals": 2 * size,  # its statistics of every output cost more than the pass
        "shattering": sizes.get("points", 0),
        "paths": size * sizes.get("paths", 0) * (blocks + 1),
        "estimation": size / 3,
        "information": size / 2,
        "lesions": size * removals / 3,
        "questions": 4 * size * sizes.get("steps", 0),
        "first_step": size,
    }
    return float(counted[part])


def full(pace: Pace, walk: Walk, names: Sequence[str]) -> Chosen:
    """Returns the parts of some names in full."""
    return Chosen(parts=tuple(_part(name, FULL[name], pace, walk) for name in FULL if name in names))


def within_a_minute(pace: Pace, walk: Walk) -> Chosen:
    """Returns the parts that fit into the time, with the sizes that do."""
    taken: dict[str, Part] = {}
    for name, least in _LEAST.items():
        part = _part(name, least, pace, walk)
        if _seconds(taken) + part.seconds <= SECONDS:
            taken[name] = part
    while grown := _grown(taken, pace, walk):
        taken |= grown
    left_out = [name for name in FULL if name not in taken]
    ordered = tuple(taken[name] for name in FULL if name in taken)
    return Chosen(parts=ordered, says=_says(ordered, left_out, pace))


def _grown(taken: dict[str, Part], pace: Pace, walk: Walk) -> dict[str, Part]:
    """Returns the parts that can be doubled within the time, each in turn."""
    grown: dict[str, Part] = {}
    for name, part in taken.items():
        doubled = {key: min(2 * size, FULL[name][key]) for key, size in part.sizes.items()}
        larger = _part(name, doubled, pace, walk)
        if doubled != part.sizes and _seconds({**taken, **grown, name: larger}) <= SECONDS:
            grown[name] = larger
    return grown


def _part(name: str, sizes: Sizes, pace: Pace, walk: Walk) -> Part:
    seconds = pace.seconds * passes(name, sizes, walk)
    if name == "questions" and pace.seconds * _FEWEST_OF_QUESTIONS <= _SECONDS_OF_QUESTIONS:
        seconds = min(seconds, _SECONDS_OF_QUESTIONS)
    return Part(name=name, sizes=sizes, seconds=seconds)


def _seconds(parts: dict[str, Part]) -> float:
    return sum((part.seconds for part in parts.values()), start=0.0)


def _says(parts: Sequence[Part], left_out: Sequence[str], pace: Pace) -> tuple[str, ...]:
    smaller = [
        f"{part.name} {', '.join(f'{key} {size}' for key, size in part.sizes.items() if size < FULL[part.name][key])}"
        for part in parts
        if part.sizes != FULL[part.name]
    ]
    why = f"One example forward and back takes {pace.seconds:.2g} s here, so "
    said = [f"{why}sizes were cut to fit a minute: {'; '.join(smaller)}. `--only` measures in full."] if smaller else []
    if left_out:
        said.append(
            f"{why}{', '.join(left_out)} would not fit a minute and {'was' if len(left_out) == 1 else 'were'} left "
            f"out; `--only {','.join(left_out)}` measures them."
        )
    return tuple(said)


def _seconds_of_pass(case: Case, examples: Examples, weights: list[torch.nn.Parameter]) -> float:
    began = time.perf_counter()
    loss = case.loss_of(examples)
    if weights and loss.requires_grad:
        with contextlib.suppress(RuntimeError):  # a backward that fails is for the part that asks for it
            torch.autograd.grad(loss, weights, allow_unused=True)
    loss.item()  # a GPU is waited for
    return time.perf_counter() - began
