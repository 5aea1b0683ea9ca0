"""How the gradient changes on its way from the loss back to the input."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from math import exp, log
from typing import Literal, final

import torch
from scipy.stats import theilslopes
from torch import Tensor, nn

from residua.diagnostics.additions import Addition
from residua.diagnostics.case import Case, Examples, undisturbed
from residua.diagnostics.measured import Measured
from residua.diagnostics.predictions import Prediction
from residua.diagnostics.products import by_operations, terms
from residua.diagnostics.trace import Trace, trace
from residua.errors import BadNetwork

HEALTHY = (1e-3, 1e3)
"""Between which ratios of gradient norms, over the whole depth, a network is called healthy: the two ends' gradients
then differ less than a thousandfold, which one learning rate still serves. At initialisation residual networks with
batch norm keep within 1e2 over a hundred layers; a plain one is outside from its 37th layer on, where theory says
e^(0.19 L)."""
_FEWEST_ADDITIONS = 3
_SMALLEST, _LARGEST = torch.finfo(torch.float32).tiny, torch.finfo(torch.float32).max


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


def gradient_flow(case: Case, *, size: int = 64, batches: int = 3) -> GradientFlow:
    """Measures the gradient's norm at every weighted layer and every addition, and how it changes along the depth.

    Passes are in training mode, as the module learns: batch norms normalise by the batch. Parts that no gradient
    passes have no place. Places are those of the first batch's pass; one that another pass leaves out (stochastic
    depth) has no number from that. In the fit and the ratio a gradient of exactly 0 counts as 1.2e-38, the smallest
    normal number, and one that overflows as 3.4e38, so that both are finite; with a 0 among the places of the fit a
    network is not healthy. The module comes back as it was.

    Args:
        case: What is diagnosed.
        size: Examples in a batch.
        batches: At most so many; each gives a number of its own.

    Raises:
        BadNetwork: If the loss's gradient arrives nowhere, or a forward pass fails.
    """
    with undisturbed(case.module) as module:
        module.train()
        passes = [_measured(case, examples) for examples in case.examples.batches(size, batches)]
    if not passes[0]:
        raise BadNetwork(
            f"no gradient of the loss arrives at any layer of {case.name}; give a loss that depends on what the "
            "network gives, and layers that do not run under torch.no_grad()"
        )
    places = tuple(_place([one[key] for one in passes if key in one]) for key in passes[0])
    return _flow(places, examples=min(size, len(case.examples)))


def _flow(places: tuple[GradientPlace, ...], *, examples: int) -> GradientFlow:
    """Fits the places' norms against their depth."""
    additions = [place for place in places if place.kind == "addition"]
    layers = [place for place in places if place.kind == "layer"]
    enough = len(additions) >= _FEWEST_ADDITIONS or not layers
    fitted = additions if enough else layers[:-1] or layers
    first, last = fitted[0], fitted[-1]
    slope, low, high = _slope([(one.layers_before, _logarithm(one.stream.median)) for one in fitted])
    pairs = zip(first.stream.values, last.stream.values, strict=False)
    ratio = Measured(tuple(_within(exp(_logarithm(a) - _logarithm(b))) for a, b in pairs))
    alive = all(one.stream.low > 0 for one in fitted)
    return GradientFlow(
        places=places,
        along="additions" if enough else "layers",
        per_layer=exp(-slope),
        per_layer_interval=(exp(-high), exp(-low)),
        layers=last.layers_before - first.layers_before,
        ratio=ratio,
        prediction=None,
        no_prediction="not asked yet",
        as_theory=None,
        is_healthy=alive and HEALTHY[0] <= ratio.median <= HEALTHY[1],
        examples=examples,
    )


def _slope(points: list[tuple[int, float]]) -> tuple[float, float, float]:
    """Returns the Theil–Sen slope with its 95 % interval; 0 where all points have one depth."""
    depths, values = zip(*points, strict=True)
    if len(set(depths)) < 2:
        return 0.0, 0.0, 0.0
    found = theilslopes(values, depths, alpha=0.95)
    return float(found[0]), float(found[2]), float(found[3])


@dataclass(frozen=True, kw_only=True)
class _Norms:
    """What one batch has at one place; the fields are those of `GradientPlace`."""

    name: str
    kind: Literal["layer", "addition"]
    layers_before: int
    stream: float
    source: float | None = None
    branch: float | None = None
    shortcut: float | None = None
    weights: float | None = None


_Key = tuple[str, str, int]
"""A place's name, its kind, and which of those it is that share both: a module may be called twice."""


def _place(norms: list[_Norms]) -> GradientPlace:
    """Joins what the batches have at one place."""
    quantities = [one.name for one in fields(_Norms)][3:]
    columns = {name: tuple(getattr(one, name) for one in norms) for name in quantities}
    measured = {name: Measured(values) for name, values in columns.items() if None not in values}
    first = norms[0]
    return GradientPlace(name=first.name, kind=first.kind, layers_before=first.layers_before, **measured)


def _measured(case: Case, examples: Examples) -> dict[_Key, _Norms]:
    """Runs one batch forward and back."""
    traced = trace(case.module, examples)
    with torch.enable_grad():
        loss = case.loss(traced.output, examples.labels)
    additions = {one.total: one for one in traced.additions}
    places = sorted({one.index for one in traced.layers} | set(additions))
    gradients = by_operations(loss, traced, [*places, *(one.source for one in traced.additions)])
    arrived = [index for index in places if index in gradients]
    weights = _weight_ratios(loss, case.module, [traced.operations[index].module for index in arrived])
    found, seen = {}, Counter()
    for index in arrived:
        if index in additions:
            made = _at_addition(traced, additions[index], gradients, len(examples))
        else:
            made = _at_layer(traced, index, gradients[index], len(examples))
            made = replace(made, weights=weights.get(made.name))
        found[made.name, made.kind, seen[made.name, made.kind]] = made
        seen[made.name, made.kind] += 1
    return found


def _at_layer(traced: Trace, index: int, gradient: Tensor, count: int) -> _Norms:
    layer = traced.operations[index]
    return _Norms(
        name=layer.module, kind="layer", layers_before=_depth(traced, index), stream=_norm(gradient, examples=count)
    )


def _at_addition(traced: Trace, addition: Addition, gradients: dict[int, Tensor], count: int) -> _Norms:
    branch, shortcut = terms(traced, addition, gradients[addition.total])
    return _Norms(
        name=addition.name,
        kind="addition",
        layers_before=_depth(traced, addition.total),
        stream=_norm(gradients[addition.total], examples=count),
        source=_norm(gradients[addition.source], examples=count) if addition.source in gradients else None,
        branch=_norm(branch, examples=count),
        shortcut=_norm(shortcut, examples=count),
    )


def _depth(traced: Trace, index: int) -> int:
    """Counts the weighted layers that an operation depends on, itself included."""
    operation = traced.operations[index]
    return sum(one is operation or operation.comes_from(one.index) for one in traced.layers)


def _weight_ratios(loss: Tensor, module: nn.Module, paths: Iterable[str]) -> dict[str, float]:
    """Returns ‖∂L/∂w‖ / ‖w‖ of the modules' own parameters w, by path."""
    owned = {
        path: [one for one in module.get_submodule(path).parameters(recurse=False) if one.requires_grad]
        for path in dict.fromkeys(paths)
    }
    parameters = list({id(one): one for several in owned.values() for one in several}.values())
    if not parameters or not loss.requires_grad:
        return {}
    found = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
    by_id = dict(zip(map(id, parameters), found, strict=True))
    ratios = {}
    for path, several in owned.items():
        size = _norm(*several)
        if size > 0:
            ratios[path] = _within(_norm(*(by_id[id(one)] for one in several)) / size)
    return ratios


def _norm(*tensors: Tensor | None, examples: int = 1) -> float:
    """Returns the Euclidean norm of all numbers of a mean loss's gradient, as of an example's loss: × √examples.

    The gradient of one example's loss is ``examples`` times its part of the mean's; of these norms it is the root
    mean square, √(Σᵢ ‖n gᵢ‖² / n) = √n ‖g‖.
    """
    there = [one.detach().double() for one in tensors if one is not None]
    return _within((examples * sum(float(one.square().sum()) for one in there)) ** 0.5)


def _within(value: float) -> float:
    """Returns a norm, or the largest number where it is none or too large."""
    return value if value <= _LARGEST else _LARGEST


def _logarithm(value: float) -> float:
    return log(max(value, _SMALLEST))
