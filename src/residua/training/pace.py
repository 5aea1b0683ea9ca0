"""How long a step takes here: measured on a copy, so that the run it is for learns the same."""

import copy
import time
from collections.abc import Iterator
from dataclasses import replace
from math import inf
from statistics import median

import torch

from residua.evaluation import LOOKS
from residua.training.loop import Course, forward_of, take_steps
from residua.training.optimizers import optimizer_for
from residua.training.state import State, scaler_for

_WARM_STEPS, _WARM_SECONDS = 2, 0.5
_FEWEST_STEPS, _MOST_STEPS, _MEASURED_SECONDS = 6, 40, 1.0
_MEASURED_SHARE = 1 / 50
"""Of the run's steps, where that is between the fewest and the most."""
_EVALUATION_SHARE = 1 / 3
"""A forward pass is a third of a training step."""
_FLOAT32_OVER_BFLOAT16 = 2
"""Time of a forward pass in float32 over the same in bfloat16 (measured 1.7 to 2.2)."""


def trial(course: Course, state: State) -> tuple[Course, State]:
    """Returns the same run from its first step on copies: what it learns is thrown away."""
    network = copy.deepcopy(state.network)
    optimizer = optimizer_for(network, course.recipe.optimizer, stage_decay=course.recipe.stage_decay)
    return replace(course, forward=forward_of(network, course.recipe, course.team)), State(
        network=network, optimizer=optimizer, scaler=scaler_for(course.precision, course.device)
    )


def endless_steps(course: Course, state: State) -> Iterator[int]:
    """Takes steps epoch after epoch, and yields each one's images."""
    while True:
        yield from take_steps(course, state)
        state.begin_next_epoch()


def seconds_per_step(course: Course, state: State) -> float:
    """Measures a few steps on a copy of the network, within about a second, or one step where that takes longer."""
    walk = endless_steps(*trial(course, state))
    alone = course.team.ranks == 1  # several must take as many steps, however long they are
    _timed(walk, course.device, steps=_WARM_STEPS, seconds=_WARM_SECONDS if alone else inf)
    steps = min(_MOST_STEPS, max(_FEWEST_STEPS, round(_MEASURED_SHARE * course.steps)))
    return _timed(walk, course.device, steps=steps, seconds=_MEASURED_SECONDS if alone else inf)


def seconds_per_epoch(course: Course, per_step: float) -> float:
    """Returns an epoch's time, its validation included."""
    held_out = len(course.dataset.validation) if course.dataset.validation else 0
    looked = held_out + _recalibrating(course) if held_out else 0
    return per_step * (course.steps_per_epoch + _EVALUATION_SHARE * looked / course.batch_size)


def seconds_at_end(course: Course, per_step: float) -> float:
    """Returns the time of the last evaluation: one view in float32, and the recipe's views in the run's precision.

    Before it pass the images that batch norms' statistics are taken from.
    """
    parts = (course.dataset.validation, course.dataset.test)
    held_out = sum(len(part) for part in parts if part is not None)
    one = 1 if course.precision == "float32" else _FLOAT32_OVER_BFLOAT16
    again = course.recipe.views != "one" and course.augment.flip != "none"
    more = LOOKS[course.recipe.views] if again else 0
    looks = (one + more) * held_out + _recalibrating(course)
    return per_step * _EVALUATION_SHARE * looks / course.batch_size


def _recalibrating(course: Course) -> int:
    """Returns how many training images pass before an evaluation, for batch norms' statistics."""
    most = course.recipe.recalibration_images
    return course.dataset.drawable(course.dataset.train, most) if most else 0


def _timed(walk: Iterator[int], device: torch.device, *, steps: int, seconds: float) -> float:
    """Takes steps until so many are done or so much time has passed, and returns the median time of one.

    Not the mean: beside other work a single step may take fifty times as long as the rest.
    """
    _wait(device)
    times: list[float] = []
    while not times or (len(times) < steps and sum(times) < seconds):
        began = time.perf_counter()
        next(walk)
        _wait(device)
        times.append(time.perf_counter() - began)
    return median(times)


def _wait(device: torch.device) -> None:
    """Waits until a GPU has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def affordable_epochs(minutes: float, seconds_per_epoch: float, seconds_at_end: float) -> int:
    """Returns how many epochs fit into ``minutes`` of the whole command: at least one.

    Beside the last evaluation a twentieth and five seconds are kept, for the baselines and the report.
    """
    return max(1, int((0.95 * 60 * minutes - 5 - seconds_at_end) / seconds_per_epoch))
