"""One batch forward and back: the norms of the gradient at every weighted layer and every addition of blocks."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal, final

import torch
from torch import Tensor, nn

from residua.diagnostics.additions import Addition
from residua.diagnostics.case import Case, Examples
from residua.diagnostics.products import by_operations, terms
from residua.diagnostics.trace import Look, Trace, trace

LARGEST = torch.finfo(torch.float32).max
"""What a norm that overflows, or is no number, counts as."""


@final
@dataclass(frozen=True, kw_only=True)
class Norms:
    """What one batch has at one place; the norms are those of `residua.diagnostics.gradients.GradientPlace`."""

    index: int
    """The operation."""
    name: str
    kind: Literal["layer", "addition"]
    layers_before: int
    stream: float
    source: float | None = None
    branch: float | None = None
    shortcut: float | None = None
    shortcut_kind: Literal["identity", "free", "projection"] | None = None
    keeps_shape: bool = True
    weights: float | None = None


Key = tuple[str, str, int]
"""A place's name, its kind, and which of those it is that share both: a module may be called twice."""


def norms(case: Case, examples: Examples, *, look: Look | None = None) -> tuple[Trace, dict[Key, Norms]]:
    """Runs one batch forward and back, in the module's own mode, and returns the pass and its places in order.

    Call it within `residua.diagnostics.case.undisturbed`. Places that the gradient does not reach are left out.

    Raises:
        BadNetwork: If the forward pass fails, with what it said.
    """
    traced = trace(case.module, examples, look=look)
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
    return traced, found


def _at_layer(traced: Trace, index: int, gradient: Tensor, count: int) -> Norms:
    layer = traced.operations[index]
    return Norms(
        index=index,
        name=layer.module,
        kind="layer",
        layers_before=_depth(traced, index),
        stream=_norm(gradient, examples=count),
    )


def _at_addition(traced: Trace, addition: Addition, gradients: dict[int, Tensor], count: int) -> Norms:
    branch, shortcut = terms(traced, addition, gradients[addition.total])
    return Norms(
        index=addition.total,
        name=addition.name,
        kind="addition",
        layers_before=_depth(traced, addition.total),
        stream=_norm(gradients[addition.total], examples=count),
        source=_norm(gradients[addition.source], examples=count) if addition.source in gradients else None,
        branch=_norm(branch, examples=count),
        shortcut=_norm(shortcut, examples=count),
        shortcut_kind=addition.kind,
        keeps_shape=traced.operations[addition.source].shape == traced.operations[addition.total].shape,
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
            ratios[path] = within(_norm(*(by_id[id(one)] for one in several)) / size)
    return ratios


def _norm(*tensors: Tensor | None, examples: int = 1) -> float:
    """Returns the Euclidean norm of all numbers of a mean loss's gradient, as of an example's loss: × √examples.

    The gradient of one example's loss is ``examples`` times its part of the mean's; of these norms it is the root
    mean square, √(Σᵢ ‖n gᵢ‖² / n) = √n ‖g‖.
    """
    there = [one.detach().double() for one in tensors if one is not None]
    return within((examples * sum(float(one.square().sum()) for one in there)) ** 0.5)


def within(value: float) -> float:
    """Returns a norm, or the largest number where it is none or too large."""
    return value if value <= LARGEST else LARGEST
