"""Copies of a case that may be trained: the module's, with its optimizer on the copy's parameters."""

import copy
import inspect
from collections import OrderedDict
from dataclasses import replace
from typing import Any

import torch
from torch import nn
from torch.optim import Adam, Optimizer

from residua.diagnostics.case import Case
from residua.errors import BadNetwork

_RATE = 1e-3


def copied(case: Case) -> Case:
    """Returns the case with a copy of its module, in training mode, and an optimizer of the copy's parameters.

    The optimizer is the case's: class, groups, hyperparameters and state; without its hooks, which may write elsewhere,
    and without a scheduler. Where the case has none that can be used (`optimizer_name`), it is Adam at 1e-3. A module
    that is in training mode keeps those parts in evaluation mode that are.

    Raises:
        BadNetwork: If the module, its loss or its optimizer cannot be copied.
    """
    memo: dict[int, Any] = {}
    try:
        module = copy.deepcopy(case.module, memo)
        loss = copy.deepcopy(case.loss, memo) if isinstance(case.loss, nn.Module) else case.loss
        given = _usable(case)
        optimizer = _adam(module) if given is None else _copied(given, memo)
    except Exception as error:
        said = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise BadNetwork(
            f"{case.name} cannot be copied: {said}; questions need a copy: leave them out, "
            "or have the module keep no tensors with a history as attributes"
        ) from error
    return replace(case, module=module if module.training else module.train(), loss=loss, optimizer=optimizer)


def optimizer_name(case: Case) -> str:
    """Says which optimizer the copies learn with, and whose choice that was."""
    if case.optimizer is None:
        return "Adam 1e-3, none was given"
    name = type(case.optimizer).__name__
    return f"{name}, as given" if _usable(case) is not None else f"Adam 1e-3, for {name} asks for a closure"


def step(case: Case, loss: torch.Tensor) -> None:
    """Takes one step of the case's optimizer down a loss; none where no gradient leads back from it."""
    if case.optimizer is None:
        return
    case.optimizer.zero_grad(set_to_none=True)
    if loss.requires_grad:
        loss.backward()
    case.optimizer.step()


def _usable(case: Case) -> Optimizer | None:
    """Returns the case's optimizer; None where there is none, or where its step cannot be taken without a closure."""
    if case.optimizer is None:
        return None
    closure = inspect.signature(type(case.optimizer).step).parameters.get("closure")
    return None if closure is not None and closure.default is inspect.Parameter.empty else case.optimizer


def _adam(module: nn.Module) -> Optimizer:
    return Adam([one for one in module.parameters() if one.requires_grad], lr=_RATE)


def _copied(optimizer: Optimizer, memo: dict[int, Any]) -> Optimizer:
    """Returns a copy whose parameters are those that ``memo`` has copies of.

    All attributes are copied but those that lead back to the one that was given: a scheduler's ``step``, and hooks.
    """
    made = object.__new__(type(optimizer))
    memo[id(optimizer)] = made
    kept = {name: value for name, value in vars(optimizer).items() if name != "step"}
    hooks = {name: OrderedDict() for name in kept if name.startswith("_optimizer_") and name.endswith("_hooks")}
    vars(made).update(copy.deepcopy({**kept, **hooks}, memo))
    return made
