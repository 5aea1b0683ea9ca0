"""How long a step takes here: measured on a copy, so that the run it is for learns the same."""

import copy
import time
from dataclasses import replace

import torch

from residua.training.loop import Course, forward_of, take_steps
from residua.training.optimizers import optimizer_for
from residua.training.state import State

_WARM_STEPS = 2
_MEASURED_STEPS = 6
_EVALUATION_SHARE = 1 / 3
"""A forward pass is a third of a training step."""


def seconds_per_epoch(course: Course, state: State) -> float:
    """Measures a few steps on a copy of the network and returns an epoch's time, its validation included."""
    network = copy.deepcopy(state.network)
    trial = State(
        network=network,
        optimizer=optimizer_for(network, course.recipe.optimizer, stage_decay=course.recipe.stage_decay),
    )
    walk = take_steps(replace(course, forward=forward_of(network, course.recipe, course.team)), trial)
    for _ in range(_WARM_STEPS):
        next(walk, None)
    _wait(course.device)
    began, taken = time.perf_counter(), 0
    for _ in range(_MEASURED_STEPS):
        taken += next(walk, None) is not None
    _wait(course.device)
    per_step = (time.perf_counter() - began) / max(1, taken)
    held_out = len(course.dataset.validation) if course.dataset.validation else 0
    return per_step * (course.steps_per_epoch + _EVALUATION_SHARE * held_out / course.batch_size)


def _wait(device: torch.device) -> None:
    """Waits until a GPU has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def affordable_epochs(minutes: float, seconds_per_epoch: float) -> int:
    """Returns how many epochs fit into ``minutes`` of the whole command: at least one.

    A tenth and five seconds are kept for reading the data, the last evaluation, the baselines and the report.
    """
    return max(1, int((0.9 * 60 * minutes - 5) / seconds_per_epoch))
