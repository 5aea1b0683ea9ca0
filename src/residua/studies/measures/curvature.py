"""How sharply the loss bends at a trained network's weights: the Hessian's largest eigenvalue and its trace."""

from math import inf
from statistics import fmean

from residua.diagnostics.curvature.curvature import curvature as hessian
from residua.studies.trial import Measure, Measurement, Trial

_IMAGES, _DRAWS = 64, 2


def curvature(trial: Trial) -> Measurement:
    """Measures the Hessian of the mean cross-entropy at the weights, on two draws of 64 training images.

    Norms are frozen: the function is the one that the network computes when it is used. Numbers: ``top_eigenvalue``,
    ``trace`` and ``lowest_eigenvalue``, each the mean over the draws, which have no image in common;
    ``draws_apart``, the ratio of the larger top eigenvalue to the smaller; ``negative``, the most negative eigenvalue's
    size as a share of the largest one; ``residual``, ‖Hv − λv‖ / |λ| of the top eigenvalue, the worse of the draws;
    ``gradient_norm`` and ``loss`` on the same images, means over the draws. No measure here is of a minimum unless the
    gradient's norm is small beside the curvature.
    """
    found = hessian(trial.case(_IMAGES * _DRAWS), top=1, images=_IMAGES, draws=_DRAWS, seed=trial.seed)
    (top,) = found.top
    numbers = {
        "top_eigenvalue": fmean(top.values),
        "trace": fmean(found.trace.values),
        "lowest_eigenvalue": fmean(found.lowest.values),
        "gradient_norm": fmean(found.gradient_norm.values),
        "loss": fmean(found.loss.values),
    }
    if top.low > 0:
        numbers["draws_apart"] = top.high / top.low
        numbers["negative"] = max(0.0, -numbers["lowest_eigenvalue"]) / numbers["top_eigenvalue"]
    if found.residual is not None:
        numbers["residual"] = found.residual.high
    return Measurement(numbers=numbers)


CURVATURE = Measure("curvature", curvature, diverged={"loss": inf})
