"""What the first step will not move: frozen layers, blocks that sleep; and how much of it is weight decay."""

from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.optim import AdamW

from residua.diagnostics.additions import Addition
from residua.diagnostics.case import Case, Examples, undisturbed
from residua.diagnostics.trace import Trace, trace

Gradients = dict[str, Tensor | None]
"""Of the mean loss, by the parameter's name; None where none arrives."""


@final
@dataclass(frozen=True, kw_only=True)
class FirstStep:
    """Which parameters the loss's gradient reaches."""

    frozen: tuple[str, ...]
    """Layers of the pass, in its order, none of whose parameters gets a gradient: frozen, or cut off from the loss."""
    learning: tuple[str, ...]
    """The other layers that have parameters of their own, likewise."""
    asleep: tuple[str, ...]
    """Additions whose branch is zero and whose branch's parameters all have a gradient of exactly zero, but for biases,
    which alone make no function of the input: no step will ever give the block one."""
    waking: tuple[str, ...]
    """Additions whose branch is zero and some of whose branch's parameters have a gradient: zero-initialised blocks as
    they should be (Goyal et al. 2017, §5.1)."""
    decay_share: float | None
    """‖decay's part‖ / (‖decay's part‖ + ‖gradient's part‖) of the first step, over all parameters; None without an
    optimizer."""


def first_step(case: Case, *, size: int = 64) -> FirstStep:
    """Says what one step will move, from one forward and one backward pass on the first examples.

    Nothing is stepped. A module in evaluation mode is put into training mode; it is left as it was.

    Raises:
        BadNetwork: If the forward pass fails.
    """
    batch = case.examples.take(slice(0, size))
    with undisturbed(case.module) as module:
        torch.manual_seed(0)  # of dropout; `undisturbed` puts the random state back
        if not module.training:
            module.train()
        still: list[Addition] = []

        def meet(addition: Addition, branch: Tensor, _shortcut: Tensor, _total: Tensor) -> None:
            if not bool(branch.detach().any()):
                still.append(addition)

        traced = trace(module, batch, meet=meet)
        gradients = _gradients(case, traced, batch)
        decay = None if case.optimizer is None else decay_share(case, gradients)
    names = {one.ordinal: one.name for one in traced.additions}
    awake = {one.ordinal: _gets_gradient(_owned(case.module, _branch(traced, one)), gradients) for one in still}
    learning, frozen = _reached(case.module, traced, gradients)
    return FirstStep(
        frozen=frozen,
        learning=learning,
        asleep=tuple(names[ordinal] for ordinal, wakes in awake.items() if not wakes),
        waking=tuple(names[ordinal] for ordinal, wakes in awake.items() if wakes),
        decay_share=decay,
    )


def decay_share(case: Case, gradients: Gradients) -> float:
    """Returns which share of the first step is weight decay's; 0 where there is none.

    Coupled decay adds λw to the gradient g, so the parts are ‖λw‖ and ‖g‖. Decoupled decay (Loshchilov and Hutter
    2019, Algorithm 2) takes ηλw off; the first step of Adam beside it is η for every parameter, so the parts are
    ‖λw‖ and √n.
    """
    by_parameter = {parameter: gradients[name] for name, parameter in case.module.named_parameters()}
    decay, other = 0.0, 0.0
    for group in case.optimizer.param_groups if case.optimizer else ():
        strength = float(group.get("weight_decay", 0.0))
        decoupled = isinstance(case.optimizer, AdamW) or group.get("decoupled_weight_decay", False)
        for parameter in group["params"]:
            gradient = by_parameter.get(parameter)
            if gradient is not None:
                decay += (strength * float(parameter.detach().norm())) ** 2
                other += parameter.numel() if decoupled else float(gradient.norm()) ** 2
    total = decay**0.5 + other**0.5
    return decay**0.5 / total if decay else 0.0


def _gradients(case: Case, traced: Trace, batch: Examples) -> Gradients:
    named = {name: one for name, one in case.module.named_parameters() if one.requires_grad}
    found: Gradients = {name: None for name, _ in case.module.named_parameters()}
    if not named:
        return found
    with torch.enable_grad():
        loss = case.loss(traced.output, batch.labels)
    if loss.requires_grad:
        found |= dict(zip(named, torch.autograd.grad(loss, list(named.values()), allow_unused=True), strict=True))
    return found


def _branch(traced: Trace, still: Addition) -> set[str]:
    """Returns the paths of the modules whose parameters enter an addition's branch."""
    return {one.module for one in traced.branch_of(still) if one.weighted}


def _owned(module: nn.Module, paths: set[str]) -> list[str]:
    """Returns the names of the parameters that modules hold themselves."""
    return [name for name, _ in module.named_parameters() if name.rpartition(".")[0] in paths]


def _gets_gradient(names: list[str], gradients: Gradients) -> bool:
    weights = (gradients[name] for name in names if name.rpartition(".")[2] != "bias")
    return any(one is not None and bool(one.any()) for one in weights)


def _reached(module: nn.Module, traced: Trace, gradients: Gradients) -> tuple[tuple[str, ...], ...]:
    """Returns the layers of the pass that learn, and those that do not."""
    owned: dict[str, list[Any]] = {}
    for one in traced.layers:
        names = _owned(module, {one.module})
        if names:
            owned[one.module] = [gradients[name] for name in names]
    learning = tuple(path for path, given in owned.items() if any(one is not None for one in given))
    return learning, tuple(path for path in owned if path not in learning)
