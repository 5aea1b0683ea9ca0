"""Through paths of which length the gradient of a trained network comes (Veit et al. 2016, §4.3 and Fig. 6)."""

from math import comb, log
from statistics import linear_regression

from residua.diagnostics.paths import PathLengths, path_lengths
from residua.studies.trial import Measure, Measurement, Trial

_IMAGES = 8
_CARRIES = 0.95
"""Of the gradient, by the lengths that count as those that carry it."""


def paths(trial: Trial) -> Measurement:
    """Measures the gradient through sampled paths of every length, in training mode on 8 training images.

    Numbers: ``path_length``, the mean number of branches by the gradient's share, and ``half_the_blocks``, what it
    would be if all paths counted alike; ``decay``, by how many nats the norm of one path's gradient falls with each
    branch (least squares); ``effective_paths``, the share of all paths that have one of the lengths which together
    carry 95 % of the gradient, the strongest lengths first. Series, by length: ``gradient_share``, ``path_share`` of
    the 2ⁿ paths, ``path_norm``.
    """
    found = path_lengths(trial.case(_IMAGES), examples=_IMAGES)
    known = [(length, log(norm)) for length, norm in zip(found.lengths, found.norms, strict=True) if norm > 0]
    slope, _ = linear_regression(*zip(*known, strict=True))
    alike = [comb(found.blocks, length) / 2**found.blocks for length in found.lengths]
    return Measurement(
        numbers={
            "path_length": found.mean_length,
            "half_the_blocks": found.binomial_mean,
            "decay": -slope,
            "effective_paths": _effective(found, alike),
        },
        series={
            "gradient_share": _by_length(found, found.shares),
            "path_share": _by_length(found, alike),
            "path_norm": _by_length(found, found.norms),
        },
    )


PATHS = Measure("paths", paths)


def _effective(found: PathLengths, alike: list[float]) -> float:
    """Returns the share of the paths whose lengths carry the gradient."""
    carried = counted = 0.0
    for share, paths_of_all in sorted(zip(found.shares, alike, strict=True), reverse=True):
        if carried >= _CARRIES:
            break
        carried += share
        counted += paths_of_all
    return counted


def _by_length(found: PathLengths, values: tuple[float, ...] | list[float]) -> tuple[tuple[float, float], ...]:
    return tuple((float(length), value) for length, value in zip(found.lengths, values, strict=True))
