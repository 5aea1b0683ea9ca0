"""Whether the gradient of every block is the sum of its shortcut's and its branch's (He et al. 2016, Eq. 5).

Notation: y = F(x) + s(x) before any later activation; g is a gradient by y. Both terms are products of their own, so
that an addition with a wrong backward shows in their sum; a branch with a wrong backward, which would be wrong alike in
both, shows beside the slope of its values (`residua.diagnostics.slopes`).
"""

import copy
from dataclasses import dataclass, replace
from typing import Literal, final

import torch
from torch import Tensor

from residua.diagnostics.additions import Addition
from residua.diagnostics.case import Case
from residua.diagnostics.products import by_operations, product, terms
from residua.diagnostics.slopes import as_it_learns, directions, slopes
from residua.diagnostics.trace import trace


@final
@dataclass(frozen=True, kw_only=True)
class AdditiveBlock:
    """One block's check; all norms are of vectors at the block's input x."""

    name: str
    kind: Literal["identity", "free", "projection"]
    total: float
    """‖∂⟨g, y⟩/∂x‖ of y = F(x) + s(x), g being the loss's gradient by y; normal numbers where that is 0, as under
    a head of zeros."""
    shortcut: float
    """‖J_sᵀ g‖, by a product with the branch detached."""
    branch: float
    """‖J_Fᵀ g‖, by a product with the shortcut detached."""
    error: float
    """‖total − shortcut − branch‖ / ‖total‖; over the larger term where the total is 0."""
    slope_error: float | None
    """How far ⟨J_Fᵀ g, v⟩ lies from the central difference of ⟨g, F(x + εv)⟩, v ~ N(0, 1), relative to the largest of
    both, ‖J_Fᵀ g‖, the usual size of such a slope, and a hundredth of the total, below which rounding is seen: what a
    wrong backward of a layer shows in. None where x is made by what Python does not call, and cannot be moved."""


@final
@dataclass(frozen=True, kw_only=True)
class AdditiveCheck:
    """The check of all blocks."""

    blocks: tuple[AdditiveBlock, ...]
    precision: Literal["float64", "float32"]
    tolerance: float
    """On ``error``."""
    slope_tolerance: float

    @property
    def failed(self) -> tuple[AdditiveBlock, ...]:
        """Returns the blocks that fail either test."""
        return tuple(
            one for one in self.blocks if one.error > self.tolerance or (one.slope_error or 0.0) > self.slope_tolerance
        )


def additive_check(case: Case, *, examples: int = 8) -> AdditiveCheck:
    """Checks every block's gradient in training mode, in float64 on a copy of the module.

    Every pass begins with one random state, so that all see the same dropout masks. A module that cannot be copied, not
    run in float64, or computes some of it in fewer digits even so, is checked itself in its own precision, with looser
    tolerances; it comes back as it was.

    Args:
        case: What is diagnosed.
        examples: So many of the case's are run.

    Raises:
        BadNetwork: If a forward pass fails.
    """
    single = replace(case, examples=case.examples.take(slice(0, examples)))
    try:
        examples64 = single.examples.to(case.device, torch.float64)
        doubled = replace(single, module=copy.deepcopy(case.module).double(), examples=examples64)
        if _computes_in_float64(doubled):
            return _check(doubled, _FLOAT64)
    except Exception:  # what a foreign module, its loss or its device cannot do in float64 is nowhere listed
        return _check(single, _FLOAT32)
    return _check(single, _FLOAT32)


def _computes_in_float64(case: Case) -> bool:
    """Says whether no operation rounds to fewer digits, as a norm does that computes in float32 whatever it reads."""
    seen: set[torch.dtype] = set()
    with as_it_learns(case):
        trace(case.module, case.examples, look=lambda _made, _args, _kwargs, output: seen.add(output.dtype))
    return seen <= {torch.float64}


_SEED = 0


@dataclass(frozen=True, kw_only=True)
class _Precision:
    """How exact the check can be."""

    name: Literal["float64", "float32"]
    tolerance: float
    slope_tolerance: float
    step: float
    """ε over the root mean square of x: so small that hardly a unit crosses the kink of a ReLU, where one of N moves
    the slope by 1/√N, and large enough for the difference of two sums."""


_FLOAT64 = _Precision(name="float64", tolerance=1e-9, slope_tolerance=1e-3, step=1e-9)
_FLOAT32 = _Precision(name="float32", tolerance=1e-3, slope_tolerance=0.1, step=1e-3)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Products:
    """The vectors of one block."""

    gradient: Tensor
    total: Tensor
    shortcut: Tensor
    branch: Tensor


def _check(case: Case, precision: _Precision) -> AdditiveCheck:
    products = _products(case)
    moved = directions(case, list(products))
    gradients = {addition: one.gradient for addition, one in products.items()}
    differences = slopes(case, moved, gradients, step=precision.step)
    blocks = []
    for addition, one in products.items():
        direction = moved.get(addition.source)
        slope = None if direction is None else float((one.branch * direction.vector).sum())
        blocks.append(_block(addition, one, slope, differences.get(addition)))
    return AdditiveCheck(
        blocks=tuple(blocks),
        precision=precision.name,
        tolerance=precision.tolerance,
        slope_tolerance=precision.slope_tolerance,
    )


def _products(case: Case) -> dict[Addition, _Products]:
    """Returns the vectors of the blocks that a gradient passes."""
    found, generator = {}, torch.Generator().manual_seed(_SEED)
    with as_it_learns(case):
        traced = trace(case.module, case.examples)
        with torch.enable_grad():
            loss = case.loss(traced.output, case.examples.labels)
        gradients = by_operations(loss, traced, [one.total for one in traced.additions])
        for addition in traced.additions:
            end, start = traced.operations[addition.total], traced.operations[addition.source]
            if end.edge is None or start.edge is None:
                continue
            gradient = gradients.get(addition.total)
            if gradient is None or not gradient.any():
                gradient = torch.randn(end.shape, generator=generator).to(traced.answer)
            branch, shortcut = terms(traced, addition, gradient)
            total = product(traced, addition.total, addition.source, gradient)
            found[addition] = _Products(gradient=gradient, total=total, shortcut=shortcut, branch=branch)
    return found


def _block(addition: Addition, found: _Products, slope: float | None, difference: float | None) -> AdditiveBlock:
    total, shortcut, branch = (float(one.norm()) for one in (found.total, found.shortcut, found.branch))
    apart = float((found.total - found.shortcut - found.branch).norm())
    slope_error = None
    if slope is not None and difference is not None:
        slope_error = _ratio(abs(slope - difference), max(abs(slope), abs(difference), branch, 0.01 * total))
    return AdditiveBlock(
        name=addition.name,
        kind=addition.kind,
        total=total,
        shortcut=shortcut,
        branch=branch,
        error=_ratio(apart, total or max(shortcut, branch)),
        slope_error=slope_error,
    )


def _ratio(part: float, whole: float) -> float:
    """Returns part / whole; 0 where both are 0."""
    return part / whole if whole > 0 else 0.0
