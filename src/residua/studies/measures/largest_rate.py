"""The largest learning rate at which a freshly drawn network learns a batch; nothing else is chosen for it."""

import copy
from collections.abc import Callable
from math import inf, isfinite

import torch
from torch import Tensor

from residua.diagnostics.case import Case, undisturbed
from residua.studies.trial import Measure, Measurement, Trial

_IMAGES = 64
STEPS = 10
"""Of gradient descent on one batch, without momentum."""
HIGHEST, LOWEST = 4.0, -20.0
"""Exponents of two between which a rate is looked for: 16 and 1e-6."""
_COARSE, _FINE = 2.0, 0.5
"""Steps of the exponent: a factor of four down from the top, then to a factor of √2."""


def largest_rate(trial: Trial) -> Measurement:
    """Measures the largest stable rate.

    A rate is stable where 10 steps of gradient descent on the same 64 training images, in training mode, end with a
    finite loss below that of the start and below that of a constant answer, the entropy of the labels: a network whose
    units all died in the first step would pass the first alone, if its loss was large. Rates are tried from 16 down by
    factors of four until one is stable, and then between that and the next larger one to a factor of √2. Rates far
    below the largest stable one are too small to get anywhere in 10 steps, so halving from the bottom would mislead.

    Numbers: ``largest_rate``; where none down to 1e-6 is stable that one, which is then an upper bound.
    """
    case = trial.case(_IMAGES)
    return Measurement(numbers={"largest_rate": largest_stable(lambda rate: is_stable(case, rate))})


LARGEST_RATE = Measure("largest_rate", largest_rate)


def largest_stable(stable: Callable[[float], bool]) -> float:
    """Returns the largest rate of the grid for which ``stable`` holds, to a factor of √2; the smallest for none."""
    exponent = HIGHEST
    while exponent > LOWEST and not stable(2.0**exponent):
        exponent -= _COARSE
    step = _COARSE / 2
    while step >= _FINE and LOWEST < exponent < HIGHEST:
        exponent += step if stable(2.0 ** (exponent + step)) else 0.0
        step /= 2
    return 2.0**exponent


def is_stable(case: Case, rate: float) -> bool:
    """Says whether a copy of the network learns the case's images by gradient descent at a rate."""
    with undisturbed(case.module), torch.enable_grad():
        network = copy.deepcopy(case.module).train()
        step = torch.optim.SGD(network.parameters(), lr=rate)
        first = loss = inf
        for taken in range(STEPS + 1):
            found = case.loss(network(*case.examples.args), case.examples.labels)
            loss = float(found.detach())
            first = loss if taken == 0 else first
            if not isfinite(loss):
                return False
            step.zero_grad()
            found.backward()
            step.step()
    return loss < min(first, _entropy(case.examples.labels))


def _entropy(labels: Tensor) -> float:
    """Returns −Σ p ln p of the labels' frequencies."""
    p = labels.unique(return_counts=True)[1].double() / len(labels)
    return float(-(p * p.log()).sum())
