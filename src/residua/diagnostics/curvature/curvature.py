"""What is known of a network's Hessian at its weights: ∇²L [p, p], L the mean loss over n examples.

The largest eigenvalues and the lowest come from one Lanczos run on each draw of images, the trace from the same run and
some products more, the density from the first draw's. Eigenvalues of few images say little of those of all: from 128
images the largest varied tenfold between draws, so every number comes with its values over several draws.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from residua.diagnostics.case import Case
from residua.diagnostics.curvature.density import Density, density_of
from residua.diagnostics.curvature.draws import Plan, drawn, planned, seconds_of_an_image
from residua.diagnostics.curvature.lanczos import Apply, Krylov, lanczos
from residua.diagnostics.curvature.products import Products, products_of
from residua.diagnostics.curvature.trace import Trace, trace_of
from residua.diagnostics.curvature.ways import way_of
from residua.diagnostics.landscape.layout import layout_of
from residua.diagnostics.measured import Measured
from residua.errors import BadNetwork, BadSetting

STEPS = 80
"""Of a Lanczos run, at most."""
PROBES = 10
"""Random signs of a trace, for each run."""
_EXPECTED_STEPS = 40
_BASIS_BYTES = 2**31
_SETTLED, _SMALL = 0.02, 0.05
"""An eigenvalue is settled where its residual is below 2 % of it, or of 5 % of the largest, whichever is more; it is
then off by about the residual's square over the gap to its neighbour."""
_VARIES = 2.0
"""Ratio of the largest eigenvalue's extremes over the draws from which it is said."""
_RUNS_TIMES_PARAMETERS, _MOST_RUNS = 20_000, 10
"""The variances of density and trace fall as 1 / (p · runs): a large network needs one run, a small one several."""
_UNDECIDED = 0.1
"""Share of the density from which it is said."""
_OF_LEADING = 512
Told = Callable[[int, int], None]
Array = np.ndarray


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Curvature:
    """The Hessian's summary, over several draws of images."""

    name: str
    parameters: int
    """That need a gradient; the Hessian is over these."""
    images: int
    """Of each draw."""
    draws: int
    policy: str
    """``frozen``: batch norms use their running statistics; ``batch``: those of the images."""
    top: tuple[Measured, ...]
    """Largest eigenvalues, largest first, each with its values over the draws."""
    lowest: Measured
    """The most negative eigenvalue."""
    trace: Measured
    trace_error: float
    """Standard error of the trace's estimate within a draw, median over the draws."""
    density: Density | None
    """Of the first draw."""
    gradient_norm: Measured
    loss: Measured
    products: int
    """Hessian–vector products that were taken in all."""
    seconds: float
    remarks: tuple[str, ...] = ()
    residual: Measured | None = None
    """‖Hv − λv‖ / |λ| of the largest eigenvalue, by a product of its own."""


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class _Draw:
    """What one draw of images gave."""

    loss: float
    gradient_norm: float
    values: Array
    """Ritz values, largest first."""
    residuals: Array
    """Of each."""
    residual: float
    """Of the largest, by a product, as a part of it."""
    trace: Trace
    density: Density | None


def curvature(
    case: Case,
    *,
    top: int = 5,
    images: int | None = None,
    draws: int = 3,
    policy: str = "frozen",
    told: Told | None = None,
    seed: int = 0,
) -> Curvature:
    """Measures the largest eigenvalues of the loss's Hessian, its lowest, its trace and its density.

    The module comes back as it was.

    Args:
        case: What is looked at.
        top: How many of the largest eigenvalues.
        images: Of each draw; None takes the most of 128, 256, 512 and 1024 with which all fits into two minutes, and
            128 where none does. What is asked for is never cut; the remarks say what it took.
        draws: Of images, without an image in common where there are enough.
        policy: What batch norms do: ``frozen`` or ``batch``, as `products_of` has it.
        told: Is told the products taken, and about how many there will be.
        seed: Of the images drawn, and of the vectors.

    Raises:
        BadSetting: If a number is too small, or there is no such policy.
        BadNetwork: If the loss is not finite or has no second derivative.
    """
    _require(top=(top, 1), draws=(draws, 1), images=(2 if images is None else images, 2))
    began, way = time.perf_counter(), way_of(case, policy=policy)
    pace = seconds_of_an_image(case, policy=policy, way=way)
    plan = planned(case, images, draws, of_a_draw=_EXPECTED_STEPS + PROBES + 1, seconds_of_an_image=pace)
    count, found = _Count(told, plan.products), []
    for index, examples in enumerate(drawn(case.examples, plan, seed)):
        with products_of(case, examples, policy=policy, way=way) as products:
            found.append(_measured(products, count.of(products), top, seed=seed + index, with_density=index == 0))
    return Curvature(
        name=case.name,
        parameters=sum(one.numel() for one in case.module.parameters() if one.requires_grad),
        images=plan.images,
        draws=plan.draws,
        policy=policy,
        products=count.taken,
        seconds=(seconds := time.perf_counter() - began),
        remarks=(*plan.says, _cost(plan, count.taken, seconds), *_remarks(plan, found, top)),
        **_over_draws(found, top),
    )


@final
class _Count:
    """Counts products, and tells of them."""

    def __init__(self, told: Told | None, expected: int) -> None:
        self.taken, self._told, self._expected = 0, told, expected

    def of(self, products: Products) -> Apply:
        """Returns the products, counted."""

        def taken(vector: Tensor) -> Tensor:
            self.taken += 1
            if self._told is not None:
                self._told(self.taken, max(self._expected, self.taken))
            return products(vector)

        return taken


def _measured(products: Products, product: Apply, top: int, *, seed: int, with_density: bool) -> _Draw:
    """Measures one draw of images."""
    loss, gradient = products.loss_and_gradient()
    if not isfinite(loss) or not bool(gradient.isfinite().all()):
        raise BadNetwork(f"the loss is {loss:g} or its gradient not finite at these weights, which have no curvature")
    generator = torch.Generator().manual_seed(seed)
    krylov = _extremes(product, products.normal(generator), top)
    runs = min(_MOST_RUNS, -(-_RUNS_TIMES_PARAMETERS // len(gradient)))
    trace = trace_of(product, krylov, probes=PROBES * runs, generator=generator)
    starts = (products.normal(generator) for _ in range(runs - 1))
    more = (lanczos(product, start, steps=len(krylov.values)) for start in starts)
    value, vector = float(krylov.values[-1]), krylov.vector(-1)
    return _Draw(
        loss=loss,
        gradient_norm=float(gradient.norm()),
        values=krylov.values[::-1],
        residuals=krylov.residuals[::-1],
        residual=float((product(vector) - value * vector).norm()) / (abs(value) or 1.0),
        trace=trace,
        density=density_of([krylov, *more]) if with_density else None,
    )


def _extremes(product: Apply, start: Tensor, top: int) -> Krylov:
    """Returns a Krylov space in which the largest eigenvalues and the lowest are settled, or as large as may be."""

    def enough(krylov: Krylov) -> bool:
        return len(krylov.values) > top and not _unsettled(krylov.values[::-1], krylov.residuals[::-1], top)

    steps = min(STEPS, max(2 * top, _BASIS_BYTES // (len(start) * start.element_size())))
    return lanczos(product, start, steps=steps, enough=None if len(start) <= steps else enough)


def _unsettled(values: Array, residuals: Array, top: int) -> list[int]:
    """Returns which of the largest eigenvalues, from 0, and the lowest, as −1, have too large a residual."""
    open_ = residuals > _SETTLED * np.maximum(np.abs(values), _SMALL * np.abs(values).max())
    return [*np.flatnonzero(open_[:top]).tolist(), *([-1] if open_[-1] else [])]


def _over_draws(found: Sequence[_Draw], top: int) -> dict[str, Any]:
    """Returns what is measured on each draw, by the names of `Curvature`'s fields."""
    ranks = range(min(top, *(len(one.values) for one in found)))
    return {
        "top": tuple(Measured(tuple(float(one.values[rank]) for one in found)) for rank in ranks),
        "lowest": Measured(tuple(float(one.values[-1]) for one in found)),
        "trace": Measured(tuple(one.trace.value for one in found)),
        "trace_error": float(np.median([one.trace.error for one in found])),
        "density": found[0].density,
        "gradient_norm": Measured(tuple(one.gradient_norm for one in found)),
        "loss": Measured(tuple(one.loss for one in found)),
        "residual": Measured(tuple(one.residual for one in found)),
    }


def _cost(plan: Plan, products: int, seconds: float) -> str:
    return (
        f"{products} products of {plan.images} images took {seconds:.0f} s, {60 * products / seconds:.0f} a minute; "
        f"{plan.products} were expected, of {plan.seconds:.2g} s."
    )


def _remarks(plan: Plan, found: Sequence[_Draw], top: int) -> list[str]:
    says, largest = [], Measured(tuple(float(one.values[0]) for one in found))
    if largest.low <= 0 < largest.high or 0 < _VARIES * largest.low < largest.high:
        says.append(
            f"The largest eigenvalue is {largest.low:.3g} to {largest.high:.3g} over {plan.draws} draws of "
            f"{plan.images} images: one draw says little; take more images."
        )
    unsettled = sorted({rank for one in found for rank in _unsettled(one.values, one.residuals, top)})
    if unsettled:
        names = ["the lowest" if rank < 0 else f"number {rank + 1}" for rank in unsettled]
        says.append(
            f"After {max(len(one.values) for one in found)} steps not every draw has settled {', '.join(names)}: "
            f"a residual ‖Hv − λv‖ is above {_SETTLED:.0%} of the eigenvalue."
        )
    density = found[0].density
    if density is not None and density.undecided > _UNDECIDED:
        says.append(
            f"{density.undecided:.0%} of the density is so near zero that {len(found[0].values)} steps do not tell its "
            "sign."
        )
    return says


def leading(
    case: Case, count: int = 2, *, images: int = _OF_LEADING, policy: str = "frozen", seed: int = 0
) -> tuple[tuple[Tensor, float], ...]:
    """Returns the eigenvectors [p] of the largest eigenvalues and these, largest first, for directions of a surface.

    Vectors have length one, are float32 on the processor, in the order of `layout_of`, zero where a parameter needs no
    gradient; their largest entry is positive.

    Args:
        case: What is looked at.
        count: How many.
        images: Of one draw; all where there are fewer.
        policy: What batch norms do: ``frozen`` or ``batch``.
        seed: Of the images drawn and of the start.

    Raises:
        BadSetting: If a number is too small, or there is no such policy.
        BadNetwork: If the loss has no second derivative.
    """
    _require(count=(count, 1), images=(images, 2))
    way, plan = way_of(case, policy=policy), planned(case, images, 1, of_a_draw=0, seconds_of_an_image=0.0)
    (examples,) = drawn(case.examples, plan, seed)
    with products_of(case, examples, policy=policy, way=way) as products:
        krylov = _extremes(products, products.normal(torch.Generator().manual_seed(seed)), count)
        whole, found = layout_of(case.module), []
        for index in range(len(krylov.values) - 1, max(-1, len(krylov.values) - 1 - count), -1):
            vector = products.embedded(krylov.vector(index), whole).float().cpu()
            upward = vector * vector[vector.abs().argmax()].sign()
            found.append((upward / upward.norm(), float(krylov.values[index])))
    return tuple(found)


def _require(**numbers: tuple[int, int]) -> None:
    for name, (value, least) in numbers.items():
        if value < least:
            raise BadSetting(f"{name} is {value}; it takes {least} or more")
