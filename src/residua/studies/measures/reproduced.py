"""How far a network's test error lies from the one that its paper printed."""

from residua.studies.trial import Measure, Measurement, Trial

PUBLISHED = {20: 0.0875, 32: 0.0751, 44: 0.0717, 56: 0.0697, 110: 0.0643}
"""CIFAR-10 test error by depth (He et al. 2015, Table 6, option A): one run each, and of 110 layers the best of five
(6.61 ± 0.16 % over them)."""
NAMED = {f"resnet{depth}": error for depth, error in PUBLISHED.items()}
"""By the arm that is the paper's network."""


def reproduced(trial: Trial) -> Measurement:
    """Compares the test error with the printed one.

    Numbers: ``over_published``, test error − printed error, for arms named after the paper's networks; none for others.

    Raises:
        ValueError: If nothing was trained.
    """
    if trial.run is None:
        raise ValueError("a published error is of a network that was trained")
    if trial.arm not in NAMED:
        return Measurement()
    error = 1 - trial.run.read("result")["parts"]["test"]["accuracy"]
    return Measurement(numbers={"over_published": error - NAMED[trial.arm]})


REPRODUCED = Measure("reproduced", reproduced)
