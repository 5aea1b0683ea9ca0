"""The loss around a trained network: a plane through its weights, under two policies for its norms (Li et al. 2018)."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import inf, isfinite

from residua.diagnostics.case import Case
from residua.diagnostics.landscape.convexity import plane_of
from residua.diagnostics.landscape.directions import random_pair
from residua.diagnostics.landscape.grid import Grid, spaced
from residua.diagnostics.landscape.numbers import numbers_of
from residua.diagnostics.landscape.surface import Surface
from residua.diagnostics.landscape.survey import survey
from residua.studies.trial import Measure, Measurement, Trial

_IMAGES, _IMAGES_OF_A_PRODUCT = 128, 32
_CELLS, _EVERY = 9, 4
"""Along each axis, and from one cell where the plane's Hessian is taken to the next."""
_POLICIES = ("frozen", "recalibrated")
Rows = Mapping[str, tuple[tuple[float, float], ...]]


def landscape(trial: Trial) -> Measurement:
    """Measures the loss on 9 × 9 points of a plane through the weights, −1 to 1 along both axes, in float32.

    Both directions are Gaussian and normalised by filter; biases and norms stay. They are of the trial's seed, as are
    the 128 training images. Numbers, each for batch norms that are ``frozen`` and ``recalibrated``: ``near_POLICY``,
    the share of the points whose loss is within 1 nat of the centre's; ``roughness_POLICY``, as
    `residua.diagnostics.landscape.numbers.roughness` has it; ``median_POLICY``, of the loss. ``non_convex``, the share
    of 3 × 3 points at which the loss bends down along some direction of the plane, norms frozen, on 32 of the images;
    ``centre_loss``. Series: the surfaces, ``frozen`` and ``recalibrated``, as `as_series` has them.
    """
    whole = trial.case(_IMAGES)
    case = replace(whole, held_out=None)
    grid = Grid(axes=tuple(spaced(one, -1.0, 1.0, steps=_CELLS) for one in random_pair(case.module, seed=trial.seed)))
    few = replace(case, examples=case.examples.take(slice(0, _IMAGES_OF_A_PRODUCT)))
    plane = plane_of(few, grid, every=_EVERY)
    numbers, series = {}, {}
    for policy in _POLICIES:
        surface = replace(_surface(case, grid, policy), plane=plane)
        found, cells = numbers_of(surface), surface.cells[0]
        numbers[f"near_{policy}"] = found.near
        numbers[f"roughness_{policy}"] = found.roughness
        numbers[f"median_{policy}"] = found.median
        if policy == "frozen":
            numbers["centre_loss"] = cells.centre.loss
            if found.non_convex is not None:
                numbers["non_convex"] = found.non_convex
        x, y = (axis.values for axis in grid.axes)
        series |= as_series(policy, x, y, cells.loss.tolist())
    return Measurement(numbers=numbers, series=series)


LANDSCAPE = Measure("landscape", landscape, diverged={"centre_loss": inf})


def as_series(name: str, alphas: Sequence[float], betas: Sequence[float], losses: Sequence[Sequence[float]]) -> Rows:
    """Returns a surface as series that a figure of kind ``surface`` draws: ``NAME β`` holds the points (α, loss) there.

    Points whose loss is not finite are left out.
    """
    return {
        f"{name} {float(beta)!r}": tuple(
            (float(alpha), loss) for alpha, loss in zip(alphas, row, strict=True) if isfinite(loss)
        )
        for beta, row in zip(betas, losses, strict=True)
    }


def _surface(case: Case, grid: Grid, policy: str) -> Surface:
    return survey(case, grid, policy=policy, images=None, parts=("train",), precision="float32")
