"""Remedies, measured: the network with one thing changed, beside the network as it is.

Each variant (`residua.networks.variants`) is asked two things: how the gradient travels before the first step, and
how far a short training on the same batches gets.
"""

import inspect
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import inf, isfinite
from typing import final

import torch
from torch import nn
from torch.optim import Adam, Optimizer

from residua.diagnostics.case import Case
from residua.diagnostics.gradients import gradient_flow
from residua.diagnostics.questions import questions
from residua.diagnostics.twins import copied
from residua.errors import BadNetwork
from residua.networks.network import ResidualNetwork, build
from residua.networks.variants import Variant, variants

RATES = (0.1, 10.0)
"""Of the learning rate as it is, that are tried."""
Make = Callable[[nn.Module], Optimizer]
"""Returns the optimizer that a network would learn with."""
Told = Callable[[Variant, int, float | None], None]


@final
@dataclass(frozen=True, kw_only=True)
class WhatIf:
    """One variant's numbers."""

    name: str
    """``as it is``, ``drawn anew``, ``residual twin``, ``activation``, ``norm``, ``initialisation`` or ``rate``."""
    says: str
    ratio: float | None
    """‖∂L/∂x₀‖ / ‖∂L/∂x_L‖, median over batches, in training mode before the first step; None where nothing has one."""
    per_layer: float | None
    """What the gradient's norm is multiplied by a layer on its way back."""
    first_loss: float
    last_loss: float
    """After the short training, smoothed; mean over the examples of its batches."""
    steps: int
    seconds: float
    """That these numbers took."""


def better_by(row: WhatIf, rows: Sequence[WhatIf]) -> float:
    """Returns a row's last loss over that of the row that it is to be compared with; infinite where it is no number.

    Rates are tried on the network as it is, all else on networks that have learned nothing: those are compared with
    the network drawn anew, where it had learned something. A variant of a network whose own loss is no number is
    infinitely better.
    """
    anew = next((one for one in rows if one.name == "drawn anew"), rows[0])
    before = rows[0] if row.name == "rate" else anew
    if not isfinite(row.last_loss):
        return inf
    return row.last_loss / before.last_loss if isfinite(before.last_loss) else 0.0


def what_if(case: Case, *, make: Make | None = None, seed: int = 0, told: Told | None = None) -> tuple[WhatIf, ...]:
    """Measures the network as it is and every variant that makes sense for it.

    Args:
        case: Its module and optimizer are left as they are. A network of the library that has learned something is
            compared with itself ``drawn anew``, for its variants have learned nothing.
        make: Makes a variant's optimizer; None takes the case's kind with its first group's settings, else Adam.
        seed: Draws the variants' weights.
        told: Is told what is tried next, how many are left, and how many seconds they will take: None before the
            first, which measures that.

    Raises:
        BadNetwork: If the network cannot be copied.
    """
    tried = list(_tried(case, make or _like(case.optimizer), seed))
    rows: list[WhatIf] = []
    for place, (variant, changed) in enumerate(tried):
        left = len(tried) - place
        if told is not None:
            told(variant, left, left * sum(row.seconds for row in rows) / len(rows) if rows else None)
        rows.append(_measured(variant, changed))
    return tuple(rows)


def _tried(case: Case, make: Make | None, seed: int) -> Iterator[tuple[Variant, Case]]:
    """Yields the variants, each with the case that measures it."""
    module = copied(case).module
    yield Variant(name="as it is", says="", network=case.module), case
    if isinstance(module, ResidualNetwork):
        again = build(module.spec, seed=seed)
        if not _same(again, module):
            yield _with_case(case, make, Variant(name="drawn anew", says=f"seed {seed}", network=again))
    for variant in variants(module, seed=seed):
        yield _with_case(case, make, variant)
    for rate in RATES if case.optimizer is not None else ():
        yield _at_rate(case, rate)


def _with_case(case: Case, make: Make | None, variant: Variant) -> tuple[Variant, Case]:
    module = variant.network.to(case.device).train()
    return variant, replace(case, module=module, optimizer=None if make is None else make(module))


def _at_rate(case: Case, rate: float) -> tuple[Variant, Case]:
    changed = copied(case)
    assert changed.optimizer is not None
    for group in changed.optimizer.param_groups:
        group["lr"] *= rate
    return Variant(name="rate", says=f"learning rate × {rate:g}", network=changed.module), changed


def _same(one: nn.Module, other: nn.Module) -> bool:
    """Says whether two networks of one specification have the same parameters."""
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return all(torch.equal(ours.cpu(), theirs.cpu()) for ours, theirs in pairs)


def _like(optimizer: Optimizer | None) -> Make | None:
    """Returns what makes an optimizer of the same kind with the first group's settings, or Adam where that fails."""
    if optimizer is None:
        return None
    known = inspect.signature(type(optimizer)).parameters
    settings = {name: value for name, value in optimizer.param_groups[0].items() if name in known and name != "params"}

    def make(module: nn.Module) -> Optimizer:
        learning = [one for one in module.parameters() if one.requires_grad]
        try:
            return type(optimizer)(learning, **settings)
        except (TypeError, ValueError, RuntimeError):  # one that takes more than its defaults, or only some tensors
            return Adam(learning)

    return make


def _measured(variant: Variant, case: Case) -> WhatIf:
    began = time.perf_counter()
    try:
        flow = gradient_flow(case)
    except BadNetwork:  # nothing has a gradient, which is a number of its own kind
        flow = None
    asked = questions(case)
    losses = asked.learned or asked.overfit
    return WhatIf(
        name=variant.name,
        says=variant.says,
        ratio=None if flow is None else flow.ratio.median,
        per_layer=None if flow is None else flow.per_layer,
        first_loss=asked.first_loss,
        last_loss=losses[-1],
        steps=asked.steps,
        seconds=time.perf_counter() - began,
    )
