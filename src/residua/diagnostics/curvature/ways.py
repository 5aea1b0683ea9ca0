"""Which way a module's Hessian products are taken, and whether they are the Hessian's at all.

A module may hold an operation without a forward derivative (some recurrent layers), without a second derivative (many
hand-written ones), or with one that is silently wrong: a backward pass that detaches loses its part of the Hessian
without a word. So a few examples are tried first, against the definition.
"""

from typing import Any

import torch
from torch import Tensor

from residua.diagnostics.case import Case, Examples, run
from residua.diagnostics.curvature.products import Products, Way, products_of
from residua.errors import BadNetwork

_TRIED = 4
"""Examples."""
_ASYMMETRY = 1e-2
"""Of |uᵀHv − vᵀHu| / ‖Hu‖ with u, v ~ N(0, 1), which is about ‖H − Hᵀ‖ / ‖H‖; rounding leaves 1e-5 of it."""
_STEP = 1e-7
"""Of a central difference of gradients in float64, as a part of ‖θ‖."""
_APART = 1e-2
"""Of the reverse way's product and that difference."""


def way_of(case: Case, *, policy: str = "frozen") -> Way:
    """Returns how this module's products are taken, after trying it on a few examples.

    The forward way where it works, which refuses what it cannot derive; otherwise the reverse way, whose product must
    be the limit of a difference of gradients in float64 as well, for operations may lose their second derivative in it.

    Raises:
        BadNetwork: If an operation has no second derivative, the products are not symmetric, or the module reads
            weights from elsewhere than its parameters.
        BadSetting: If there is no such policy.
    """
    few = case.examples.take(slice(0, _TRIED))
    with products_of(case, few, policy=policy) as forward:
        _require_own_weights(case, few, forward)
        try:
            forward(torch.ones_like(forward.centre))
            way: Way = "forward"
        except Exception:  # what a foreign module cannot do is nowhere listed
            way = "reverse"
    with products_of(case, few, policy=policy, way=way) as found:
        _require_symmetry(case, found, way)
    return way


def _require_own_weights(case: Case, few: Examples, tried: Products) -> None:
    """Refuses modules that read copies of their parameters, which moving these would not move."""
    if tried.centre.dtype not in {one.dtype for one in case.module.parameters()}:
        return
    own = {name: one for name, one in case.module.named_parameters() if one.requires_grad}
    try:
        value = case.loss(run(case.module, few), few.labels)
        plain = torch.autograd.grad(value, list(own.values()), allow_unused=True, materialize_grads=True)
        parts = tried.layout.parts(tried.loss_and_gradient()[1])
    except RuntimeError as error:
        raise BadNetwork(f"no gradient passes through {case.name}: {_line(error)}; take away what detaches") from error
    for name, one in zip(own, plain, strict=True):
        if bool(one.any()) and not bool(parts[name].any()):
            raise BadNetwork(
                f"{case.name} reads {name} from elsewhere than its parameters (a copy that it keeps), so its loss "
                "cannot be derived by them twice; have its forward read the parameter itself"
            )


def _require_symmetry(case: Case, found: Products, way: Way) -> None:
    generator = torch.Generator().manual_seed(0)
    u, v = found.normal(generator), found.normal(generator)
    try:
        hu, hv = found(u), found(v)
    except Exception as error:
        raise BadNetwork(
            f"{case.name} has an operation without a second derivative: {_line(error)}; "
            "write it with torch's own operations, whose derivatives torch knows"
        ) from error
    asymmetry, size = abs(_dot(u, hv) - _dot(v, hu)), max(float(hu.norm()), float(hv.norm()))
    if asymmetry > _ASYMMETRY * size:
        raise BadNetwork(_lost(case, f"uᵀHv and vᵀHu differ by {asymmetry / size:.2g} of ‖Hv‖"))
    if way == "reverse" and (apart := _apart(found, v, hv)) > _APART:
        raise BadNetwork(_lost(case, f"Hv differs by {apart:.2g} of itself from how the gradient changes along v"))


def _apart(found: Products, v: Tensor, hv: Tensor) -> float:
    """Returns how far Hv is from a central difference of gradients in float64; 0 for what runs in float32 alone."""
    wide = found.in_float64()
    step = _STEP * float(wide.centre.norm() or 1.0) / float(v.norm())
    try:
        ahead, behind = (wide.loss_and_gradient(wide.centre + way * v.double())[1] for way in (step, -step))
    except Exception:  # a module may know float32 only
        return 0.0
    difference = (ahead - behind) / (2 * step)
    size = max(float(difference.norm()), float(hv.norm()))
    return float((difference - hv.double()).norm()) / size if size else 0.0


def _lost(case: Case, how: str) -> str:
    return (
        f"the second derivative of {case.name} is wrong: {how}; an operation's own backward detaches or is no "
        "derivative: write it with torch's operations"
    )


def _dot(one: Tensor, other: Tensor) -> float:
    return float(one.double() @ other.double())


def _line(error: Any) -> str:
    return next(iter(str(error).splitlines()), "") or type(error).__name__
