"""How the gradient changes on its way from the loss back to the input."""

from dataclasses import dataclass
from math import exp, log
from typing import Any, Literal, final

import torch
from scipy.stats import theilslopes

from residua.diagnostics.backward import LARGEST, Key, Norms, norms
from residua.diagnostics.case import Case, Examples, reseed, undisturbed
from residua.diagnostics.conditions import Moments, predicted_ratio
from residua.diagnostics.measured import Measured
from residua.diagnostics.predictions import Prediction
from residua.errors import BadNetwork

HEALTHY = 1e3
"""How far the gradient's norm may change over the depth of a healthy network, up or down, or L^(3/2) where that is
more: one rate then serves both ends. Residual networks with batch norm grow as a power of the depth below that (930
over the 161 layers of resnet164-preactivation, 31 over the 106 of resnet110, as built); a plain one, growing by
e^(0.19 L), is outside from its 37th layer on (1.1e4 for plain56)."""
TOLERANCE = 0.1
"""On ln(ratio), relative, for "as theory says" of one network: the median of five keeps half of it."""
_FEWEST_ADDITIONS = 3
_SMALLEST = torch.finfo(torch.float32).tiny
_NORMS = ("stream", "source", "branch", "shortcut", "weights")


@final
@dataclass(frozen=True, kw_only=True)
class GradientPlace:
    """The gradient at one place of the forward pass."""

    name: str
    """Of the addition, or the module path of the layer."""
    kind: Literal["layer", "addition"]
    layers_before: int
    """Weighted layers that the place depends on, its own included: its depth."""
    stream: Measured
    """Norm of the gradient of an example's loss by the output here (of an addition: by y = F(x) + s(x)): root mean
    square over the examples of a batch, so that it does not depend on the batch's size."""
    source: Measured | None = None
    """Of an addition: norm of the whole gradient by the block's input x."""
    branch: Measured | None = None
    """Of an addition: norm of J_Fᵀ g, what the branch brings to x of the gradient g by y."""
    shortcut: Measured | None = None
    """Of an addition: norm of J_sᵀ g, what the shortcut brings; that of g itself where it is the identity."""
    shortcut_kind: Literal["identity", "free", "projection"] | None = None
    """Of an addition: as `residua.diagnostics.additions.Addition` has it."""
    keeps_shape: bool = True
    """Of an addition: whether y has the shape of x, so that a shortcut could be the identity."""
    weights: Measured | None = None
    """Of a layer: norm of the mean loss's gradient by its own parameters over the norm of these; None where it has
    none of its own that learn, or all are 0."""


@final
@dataclass(frozen=True, kw_only=True)
class GradientFlow:
    """The gradient's norm by depth, on several batches."""

    places: tuple[GradientPlace, ...]
    """In the order of the forward pass."""
    along: Literal["additions", "layers"]
    """Which places the fit and the ratio are over: the additions where there are three or more, else the layers
    without the last, whose output is the answer itself and no feature."""
    per_layer: float
    """Factor by which the norm changes a layer on the way back (below 1: it decays towards the input), by a robust fit
    (Theil–Sen) of its logarithm over the depth."""
    per_layer_interval: tuple[float, float]
    """95 % interval of the fit's slope."""
    layers: int
    """Weighted layers from the first place of the fit to the last."""
    ratio: Measured
    """Norm at the first of these places over that at the last: ‖∂L/∂x₁‖ / ‖∂L/∂x_L‖, where x₁ is what the first
    layer gives, or the first addition."""
    prediction: Prediction | None
    """Of the ratio."""
    no_prediction: str
    """Why there is none: the first condition that fails; empty where there is one."""
    as_theory: bool | None
    """Whether ln(ratio)/L is as predicted within the stated tolerance; None where nothing is predicted."""
    is_healthy: bool
    """Whether the ratio lets all layers learn at one rate: another question than what theory says."""
    examples: int
    """In a batch."""


def gradient_flow(case: Case, *, size: int = 128, batches: int = 3) -> GradientFlow:
    """Measures the gradient's norm at every weighted layer and every addition, and how it changes along the depth.

    Passes are in training mode, as the module learns: batch norms normalise by the batch. A module that is given in
    evaluation mode is put into training mode as a whole; in one that trains, the parts in evaluation mode stay so. What
    it draws itself is the same every time. Parts that no gradient passes have no place. Places are those of the first
    batch's pass; one that another pass leaves out (stochastic depth) has no number from that. In the fit and the ratio
    a gradient of exactly 0 counts as 1.2e-38, the smallest normal number, and one that overflows as 3.4e38, so that
    both are finite; with a 0 among the places of the fit a network is not healthy. The module comes back as it was.

    Args:
        case: What is diagnosed.
        size: Examples in a batch.
        batches: At most so many; each gives a number of its own.

    Raises:
        BadNetwork: If the loss's gradient arrives nowhere, or a forward pass fails.
    """
    taken = case.examples.batches(size, batches)
    with undisturbed(case.module) as module:
        if not module.training:
            module.train()
        reseed(case.device, 0)  # of dropout
        moments = Moments()
        traced, first = norms(case, taken[0], look=moments.look)
        if not first:
            raise BadNetwork(
                f"no gradient of the loss arrives at any layer of {case.name}; give a loss that depends on what the "
                "network gives, and layers that do not run under torch.no_grad()"
            )
        fitted = _fitted(first)
        theory = predicted_ratio(module, traced, moments, [first[key].index for key in fitted])
        del traced
        passes = [first, *(_drawn(case, examples, seed) for seed, examples in enumerate(taken[1:], start=1))]
    places = {key: _place([one[key] for one in passes if key in one]) for key in first}
    return _flow(places, fitted, theory, examples=len(taken[0]))


def _drawn(case: Case, examples: Examples, seed: int) -> dict[Key, Norms]:
    """Returns the places of a pass in which the module draws from a seed."""
    reseed(case.device, seed)
    return norms(case, examples)[1]


def _fitted(first: dict[Key, Norms]) -> list[Key]:
    """Returns the places of the fit."""
    additions = [key for key, one in first.items() if one.kind == "addition"]
    layers = [key for key, one in first.items() if one.kind == "layer"]
    if len(additions) >= _FEWEST_ADDITIONS or not layers:
        return additions
    return layers[:-1] or layers


def _flow(
    places: dict[Key, GradientPlace], fitted: list[Key], theory: tuple[Prediction | None, str], *, examples: int
) -> GradientFlow:
    """Fits the places' norms against their depth, and judges."""
    along = [places[key] for key in fitted]
    first, last = along[0], along[-1]
    slope, low, high = _slope([(one.layers_before, _logarithm(one.stream.median)) for one in along])
    pairs = zip(first.stream.values, last.stream.values, strict=False)
    ratio = Measured(tuple(min(exp(_logarithm(a) - _logarithm(b)), LARGEST) for a, b in pairs))
    layers = last.layers_before - first.layers_before
    prediction, reason = theory
    return GradientFlow(
        places=tuple(places.values()),
        along="additions" if first.kind == "addition" else "layers",
        per_layer=exp(-slope),
        per_layer_interval=(exp(-high), exp(-low)),
        layers=layers,
        ratio=ratio,
        prediction=prediction,
        no_prediction=reason,
        as_theory=None if prediction is None else as_predicted(ratio.median, prediction.value),
        is_healthy=all(one.stream.low > 0 for one in along) and _is_within(ratio.median, largest_healthy(layers)),
        examples=examples,
    )


def largest_healthy(layers: int) -> float:
    """Returns the factor, up or down, by which the gradient's norm may change over so many layers, by `HEALTHY`."""
    return max(HEALTHY, layers**1.5)


def _is_within(ratio: float, most: float) -> bool:
    return 1 / most <= ratio <= most


def as_predicted(measured: float, predicted: float) -> bool:
    """Says whether ln(ratio), and so ln(ratio)/L, is within `TOLERANCE` of what theory says."""
    return abs(log(measured) - log(predicted)) <= TOLERANCE * abs(log(predicted))


def _slope(points: list[tuple[int, float]]) -> tuple[float, float, float]:
    """Returns the Theil–Sen slope with its 95 % interval; 0 where all points have one depth."""
    depths, values = zip(*points, strict=True)
    if len(set(depths)) < 2:
        return 0.0, 0.0, 0.0
    found: Any = theilslopes(values, depths, alpha=0.95)
    return float(found.slope), float(found.low_slope), float(found.high_slope)


def _place(norms: list[Norms]) -> GradientPlace:
    """Joins what the batches have at one place."""
    columns = {name: tuple(getattr(one, name) for one in norms) for name in _NORMS}
    measured = {name: Measured(values) for name, values in columns.items() if None not in values}
    first = norms[0]
    return GradientPlace(
        name=first.name,
        kind=first.kind,
        layers_before=first.layers_before,
        shortcut_kind=first.shortcut_kind,
        keeps_shape=first.keeps_shape,
        **measured,  # type: ignore[arg-type]
    )


def _logarithm(value: float) -> float:
    return log(max(value, _SMALLEST))
