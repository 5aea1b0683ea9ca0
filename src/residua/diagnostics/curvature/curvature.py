"""What is known of a network's Hessian at its weights: ∇²L [p, p], L the mean loss over n examples.

The largest eigenvalues and the lowest come from one Lanczos run on each draw of images, the trace from the same run and
some products more, the density from the first draw's. Eigenvalues of few images say little of those of all: from 128
images the largest varied tenfold between draws, so every number comes with its values over several draws.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import final

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
_CONVERGED, _SMALL = 0.02, 0.05
"""An eigenvalue is known where its residual is below 2 % of it, or of 5 % of the largest, whichever is more; its error
is then about the residual's square over the gap to its neighbour."""
_VARIES = 2.0
"""Ratio of the largest eigenvalue's extremes over the draws from which it is said."""
_RUNS_TIMES_PARAMETERS, _MOST_RUNS = 20_000, 10
"""The variances of density and trace fall as 1 / (p · runs): a large network needs one run, a small one several."""
_OF_LEADING = 512
Told = Callable[[int, int], None]


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
    krylov: Krylov
    trace: Trace
    residual: float
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
            generator = torch.Generator().manual_seed(seed + index)
            found.append(_measured(case, products, count, top, generator=generator, is_first=index == 0))
    return _joined(case, plan, found, top, policy=policy, products=count.taken, began=began)


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


def _measured(
    case: Case, products: Products, count: _Count, top: int, *, generator: torch.Generator, is_first: bool
) -> _Draw:
    """Measures one draw of images."""
    loss, gradient = products.loss_and_gradient()
    if not isfinite(loss) or not bool(gradient.isfinite().all()):
        raise BadNetwork(f"the loss of {case.name} is {loss:g}, with its gradient not finite; it has no curvature here")
    product = count.of(products)
    krylov = _extremes(product, products, top, generator)
    runs = min(_MOST_RUNS, -(-_RUNS_TIMES_PARAMETERS // krylov.basis.shape[1]))
    trace = trace_of(product, krylov, probes=PROBES * runs, generator=generator)
    value, vector = float(krylov.values[-1]), krylov.vector(-1)
    residual = float((product(vector) - value * vector).norm()) / max(abs(value), 1e-30)
    density = None
    if is_first:
        starts = (products.normal(generator) for _ in range(runs - 1))
        density = density_of([krylov, *(lanczos(product, one, steps=len(krylov.values)) for one in starts)])
    return _Draw(
        loss=loss,
        gradient_norm=float(gradient.norm()),
        krylov=krylov,
        trace=trace,
        residual=residual,
        density=density,
    )


def _extremes(product: Apply, products: Products, top: int, generator: torch.Generator) -> Krylov:
    """Returns a Krylov space in which the largest eigenvalues and the lowest are known, or as many steps as may be."""
    bytes_a_step = products.centre.numel() * products.centre.element_size()
    steps = min(STEPS, max(2 * top, _BASIS_BYTES // bytes_a_step))
    start = products.normal(generator)
    if len(start) <= steps:
        return lanczos(product, start, steps=steps)  # all of it
    return lanczos(
        product, start, steps=steps, enough=lambda krylov: len(krylov.values) > top and not _unknown(krylov, top)
    )


def _unknown(krylov: Krylov, top: int) -> list[int]:
    """Returns which of the largest eigenvalues and the lowest, by index from 0, the lowest as −1, are not known yet."""
    sizes = np.maximum(np.abs(krylov.values), _SMALL * np.abs(krylov.values).max())
    open_ = (krylov.residuals > _CONVERGED * sizes)[::-1]
    return [*np.flatnonzero(open_[:top]).tolist(), *([-1] if open_[-1] else [])]


def _joined(
    case: Case, plan: Plan, found: Sequence[_Draw], top: int, *, policy: str, products: int, began: float
) -> Curvature:
    values = [one.krylov.values[::-1] for one in found]
    seconds = time.perf_counter() - began
    tops = tuple(
        Measured(tuple(float(one[rank]) for one in values)) for rank in range(min(top, *(len(one) for one in values)))
    )
    return Curvature(
        name=case.name,
        parameters=found[0].krylov.basis.shape[1],
        images=plan.images,
        draws=plan.draws,
        policy=policy,
        top=tops,
        lowest=Measured(tuple(float(one[-1]) for one in values)),
        trace=Measured(tuple(one.trace.value for one in found)),
        trace_error=float(np.median([one.trace.error for one in found])),
        density=found[0].density,
        gradient_norm=Measured(tuple(one.gradient_norm for one in found)),
        loss=Measured(tuple(one.loss for one in found)),
        products=products,
        seconds=seconds,
        remarks=(*plan.says, *_remarks(plan, found, tops, products=products, seconds=seconds)),
        residual=Measured(tuple(one.residual for one in found)),
    )


def _remarks(
    plan: Plan, found: Sequence[_Draw], tops: Sequence[Measured], *, products: int, seconds: float
) -> list[str]:
    says = [
        f"A product of {plan.images} images took about {plan.seconds:.2g} s, {60 / plan.seconds:.0f} a minute; "
        f"{products} were taken in {seconds:.0f} s."
    ]
    first = tops[0]
    if plan.draws > 1 and first.low > 0 and first.high > _VARIES * first.low:
        says.append(
            f"The largest eigenvalue is {first.low:.3g} to {first.high:.3g} over {plan.draws} draws of {plan.images} "
            "images: one draw says little; take more images."
        )
    unknown = sorted({rank for one in found for rank in _unknown(one.krylov, len(tops))})
    if unknown:
        steps = max(len(one.krylov.values) for one in found)
        names = ["the lowest" if rank < 0 else f"number {rank + 1}" for rank in unknown]
        says.append(
            f"After {steps} steps not every draw's eigenvalues are settled (residual above {_CONVERGED:.0%}): "
            f"{', '.join(names)}."
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
        krylov = _extremes(products, products, count, torch.Generator().manual_seed(seed))
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
