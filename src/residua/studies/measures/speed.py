"""What a network costs: parameters, multiply-adds, and seconds beside a yardstick that is timed in turn with it.

Notation: t is the shortest of several times, for whatever else a machine does only adds to them; t_y the yardstick's.
"""

import time
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional

from residua.diagnostics.case import Examples, answer, run
from residua.networks.catalogue import specification
from residua.networks.network import build
from residua.studies.trial import Measure, Measurement, Trial

_BATCH = 64
_ROUNDS = 5


def cost(trial: Trial) -> Measurement:
    """Returns what a trained network costs on paper.

    Numbers: ``parameters``; ``multiply_adds``, of the forward pass of one image.

    Raises:
        ValueError: If nothing was trained.
    """
    if trial.run is None:
        raise ValueError("a cost is of a trial that was trained")
    kept = trial.run.read("network")
    return Measurement(numbers={"parameters": float(kept["parameters"]), "multiply_adds": float(kept["multiply_adds"])})


def speed(trial: Trial) -> Measurement:
    """Times a network in turn with a resnet20 for the same images, in float32, batches of 64.

    Numbers: ``forward_seconds`` and ``step_seconds``, t over the batch: seconds an image of a forward pass in
    evaluation mode, and of a training step (forward, cross-entropy, backward, SGD with momentum);
    ``forward_ratio`` and ``step_ratio``, t/t_y. Two arms are compared by their ratios: what slows the machine while one
    of them is timed slows its yardstick, too.
    """
    case = trial.case(_BATCH)
    examples = case.examples
    pair = (case.module, _yardstick(examples))
    on_gpu = examples.args[0].is_cuda
    numbers = {}
    for name, work in (("forward", _forward), ("step", _step)):
        own, other = fastest(tuple(work(module, examples) for module in pair), on_gpu=on_gpu)
        numbers |= {f"{name}_seconds": own / len(examples), f"{name}_ratio": own / other}
    return Measurement(numbers=numbers)


def fastest(works: tuple[Callable[[], None], ...], *, on_gpu: bool = False) -> tuple[float, ...]:
    """Returns the shortest time of each in seconds; all are done in turn, and the first round, which warms up, is not
    counted."""
    rounds = [tuple(_timed(work, on_gpu=on_gpu) for work in works) for _ in range(1 + _ROUNDS)]
    return tuple(min(times) for times in zip(*rounds[1:], strict=True))


def _timed(work: Callable[[], None], *, on_gpu: bool) -> float:
    if on_gpu:
        torch.cuda.synchronize()
    began = time.perf_counter()
    work()
    if on_gpu:
        torch.cuda.synchronize()
    return time.perf_counter() - began


def _yardstick(examples: Examples) -> nn.Module:
    images, classes = examples.args[0], int(examples.labels.max()) + 1
    return build(specification("resnet20", classes=classes, in_channels=images.shape[1]), seed=0).to(images.device)


def _forward(module: nn.Module, examples: Examples) -> Callable[[], None]:
    def work() -> None:
        with torch.no_grad():
            run(module.eval(), examples)

    return work


def _step(module: nn.Module, examples: Examples) -> Callable[[], None]:
    optimizer = torch.optim.SGD(module.parameters(), lr=1e-3, momentum=0.9)

    def work() -> None:
        loss = functional.cross_entropy(answer(run(module.train(), examples)), examples.labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return work


COST = Measure("cost", cost)
SPEED = Measure("speed", speed)
