"""What the first step will not move: frozen layers, blocks that sleep; and how much of it is weight decay."""

from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor

from residua.diagnostics.additions import Addition
from residua.diagnostics.case import Case, Examples, random_state, reseed, undisturbed
from residua.diagnostics.decay import decay_share
from residua.diagnostics.trace import Trace, trace

Gradients = dict[str, Tensor | None]
"""Of the mean loss, by the parameter's name; None where none arrives."""
PASSES = 16
"""At most, to tell a branch that sleeps from one that stochastic depth dropped: 0.5^16 is 1.5e-5."""


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
    which alone make no function of the input: no step will ever give the block one. So in every one of up to `PASSES`
    passes, where the module draws random numbers: stochastic depth leaves a branch out in some alone."""
    waking: tuple[str, ...]
    """Additions whose branch is zero and some of whose branch's parameters have a gradient: zero-initialised blocks as
    they should be (Goyal et al. 2017, §5.1)."""
    decay_share: float | None
    """‖decay's part‖ / (‖decay's part‖ + ‖gradient's part‖) of the first step, over all parameters; None without an
    optimizer, or where a copy of it cannot take the step."""


def first_step(case: Case, *, size: int = 64) -> FirstStep:
    """Says what one step will move, from a forward and a backward pass on the first examples, or several that differ.

    Nothing of the case is stepped. A module in evaluation mode is put into training mode; it is left as it was.

    Raises:
        BadNetwork: If a forward pass fails.
    """
    batch = case.examples.take(slice(0, size))
    with undisturbed(case.module) as module:
        if not module.training:
            module.train()
        first = _pass(case, batch, seed=0)
        still, moving = first.still, first.moving
        for seed in range(1, PASSES if first.draws else 1):
            if all(still.values()):
                break
            again = _pass(case, batch, seed=seed)
            moving |= again.moving
            still = {
                name: still.get(name, False) or again.still.get(name, False)
                for name in still | again.still
                if name not in moving
            }
    return FirstStep(
        frozen=first.frozen,
        learning=first.learning,
        asleep=tuple(name for name, wakes in still.items() if not wakes),
        waking=tuple(name for name, wakes in still.items() if wakes),
        decay_share=decay_share(case, first.gradients),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Pass:
    """What one pass shows."""

    learning: tuple[str, ...]
    frozen: tuple[str, ...]
    still: dict[str, bool]
    """Whether some parameter of the branch has a gradient, by the names of the additions whose branch is zero."""
    moving: frozenset[str]
    """The other additions."""
    gradients: Gradients
    draws: bool
    """Whether the module drew random numbers."""


def _pass(case: Case, batch: Examples, *, seed: int) -> _Pass:
    """Runs the module forward and back with the random state of a seed."""
    still: set[int] = set()

    def meet(addition: Addition, branch: Tensor, _shortcut: Tensor, _total: Tensor) -> None:
        if not bool(branch.detach().any()):
            still.add(addition.ordinal)

    reseed(case.device, seed)
    before = random_state(case.device)
    traced = trace(case.module, batch, meet=meet)
    draws = not all(map(torch.equal, before, random_state(case.device)))
    gradients = _gradients(case, traced, batch)
    owned = _owned(case, traced)
    learning, frozen = _reached(traced, owned, gradients)
    return _Pass(
        learning=learning,
        frozen=frozen,
        still={
            one.name: _gets_gradient(_branch(traced, one), owned, gradients)
            for one in traced.additions
            if one.ordinal in still
        },
        moving=frozenset(one.name for one in traced.additions if one.ordinal not in still),
        gradients=gradients,
        draws=draws,
    )


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


def _owned(case: Case, traced: Trace) -> dict[str, list[str]]:
    """Returns the names of the parameters, by the path of the innermost module around them that does something.

    That is mostly the one that holds them, but some read those of children that they do not call: attention its
    output's projection, and any layer the parts that `torch.nn.utils.parametrize` makes its weight of.
    """
    called = {one.module for one in traced.operations}
    found: dict[str, list[str]] = {}
    for name, _ in case.module.named_parameters():
        path = name.rpartition(".")[0]
        while path and path not in called:
            path = path.rpartition(".")[0]
        found.setdefault(path, []).append(name)
    return found


def _gets_gradient(paths: set[str], owned: dict[str, list[str]], gradients: Gradients) -> bool:
    """Says whether a parameter of some modules other than a bias has a gradient."""
    for path in paths:
        for name in owned.get(path, ()):
            gradient = gradients[name]
            if gradient is not None and bool(gradient.any()) and not _is_bias(name[len(path) :], gradient):
                return True
    return False


def _is_bias(name: str, gradient: Tensor) -> bool:
    """Says whether a parameter is added as one number a channel, by its name within its layer and its shape.

    So are ``in_proj_bias`` and ``parametrizations.bias.original0``; a table of biases by position is not.
    """
    return "bias" in name and sum(length > 1 for length in gradient.shape) <= 1


def _reached(traced: Trace, owned: dict[str, list[str]], gradients: Gradients) -> tuple[tuple[str, ...], ...]:
    """Returns the layers of the pass that learn, and those that do not."""
    layers: dict[str, list[Any]] = {
        one.module: [gradients[name] for name in owned[one.module]] for one in traced.layers if one.module in owned
    }
    learning = tuple(path for path, given in layers.items() if any(one is not None for one in given))
    return learning, tuple(path for path in layers if path not in learning)
