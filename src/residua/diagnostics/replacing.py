"""Blocks left out of a forward pass, or exchanged in it; the network is as it was afterwards.

Notation: a block adds y = F(x) + s(x).
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from residua.diagnostics.additions import Addition, AdditionCounter
from residua.diagnostics.case import Examples, as_passes, run
from residua.diagnostics.trace import Trace, trace, written_out
from residua.networks.blocks import PlainBlock

Forward = Callable[..., Any]


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Block:
    """A part that can be left out."""

    name: str
    module: nn.Module | None
    """That holds this block and no other; None where there is none."""
    ordinal: int | None
    """Of its addition among the pass's; None for a block without one, which is left out as a whole."""
    branch: int
    """Which operand of the addition F(x) is, 0 or 1."""
    changes_shape: bool
    """Whether its shortcut is no identity."""


def blocks_of(module: nn.Module, examples: Examples) -> tuple[Block, ...]:
    """Returns the blocks in the order of the pass, in the module's own mode.

    A block is an addition of a branch to a shortcut. Where there is none, it is a `PlainBlock` that keeps its input's
    shape; other networks without additions have no blocks, as nothing says where one of theirs would end.

    Raises:
        BadNetwork: If the forward pass fails, with what it said.
    """
    traced = trace(module, examples)
    if traced.additions:
        return tuple(_adding(module, traced, one) for one in traced.additions)
    plain = {name: one for name, one in module.named_modules() if isinstance(one, PlainBlock)}
    shapes = _shapes(module, examples, plain)
    return tuple(
        Block(name=name, module=plain[name], ordinal=None, branch=0, changes_shape=False)
        for name, (taken, given) in shapes.items()
        if taken == (given,)
    )


def exchangeable(module: nn.Module, examples: Examples, blocks: Sequence[Block]) -> tuple[tuple[Block, Block], ...]:
    """Returns the pairs of blocks with a module of their own that take, and give, tensors of the same shapes.

    Raises:
        BadNetwork: If the forward pass fails, with what it said.
    """
    own = {block.name: block for block in blocks if block.module is not None}
    shapes = _shapes(module, examples, {name: block.module for name, block in own.items() if block.module is not None})
    return tuple((own[one], own[other]) for one, other in combinations(shapes, 2) if shapes[one] == shapes[other])


@contextlib.contextmanager
def without(blocks: Sequence[Block]) -> Iterator[None]:
    """Leaves blocks out of one forward pass: y = s(x), and y = x where there is no addition."""
    whole = {block.module: _identity for block in blocks if block.ordinal is None and block.module is not None}
    branches = {block.ordinal: block.branch for block in blocks if block.ordinal is not None}
    with running(whole), _WithoutBranches(branches):
        yield


@contextlib.contextmanager
def exchanged(pairs: Sequence[tuple[Block, Block]]) -> Iterator[None]:
    """Has the blocks of each pair change places, one pair after the other."""
    forwards: dict[nn.Module, Forward] = {}
    for one, other in pairs:
        if one.module is not None and other.module is not None:
            first, second = (forwards.get(block, block.forward) for block in (one.module, other.module))
            forwards[one.module], forwards[other.module] = second, first
    with running(forwards):
        yield


@contextlib.contextmanager
def running(forwards: Mapping[nn.Module, Forward]) -> Iterator[None]:
    """Has modules run other forward methods, by whatever name they are called, and gives them back their own."""
    own = [(module, vars(module).get("forward")) for module in forwards]
    try:
        for module, forward in forwards.items():
            vars(module)["forward"] = forward
        yield
    finally:
        for module, before in own:
            del vars(module)["forward"]
            if before is not None:
                vars(module)["forward"] = before


@final
class _WithoutBranches(TorchFunctionMode):
    """Computes y = 0 + s(x) at some additions of one forward pass: F(x) is computed and not used.

    Args:
        branches: Which operand is the branch, 0 or 1, by the addition's ordinal.
    """

    def __init__(self, branches: Mapping[int, int]) -> None:
        super().__init__()
        self._branches = branches
        self._counter = AdditionCounter()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        ordinal = self._counter.ordinal(name, args)
        if ordinal is not None and ordinal in self._branches:
            branch = self._branches[ordinal]
            writes = branch == 0 and name in ("add_", "__iadd__")
            zeros = args[0].zero_() if writes else torch.zeros_like(args[branch])
            args = (zeros, *args[1:]) if branch == 0 else (args[0], zeros, *args[2:])
        return func(*args, **(kwargs or {}))


def _identity(x: Tensor) -> Tensor:
    return x


def _adding(module: nn.Module, traced: Trace, addition: Addition) -> Block:
    operands = traced.operations[addition.total].parents
    path = _path(addition)
    within = [one for one in traced.additions if f"{_path(one)}.".startswith(f"{path}.")]
    return Block(
        name=addition.name,
        module=module.get_submodule(path) if path != "forward" and len(within) == 1 else None,
        ordinal=addition.ordinal,
        branch=operands.index(addition.branch),
        changes_shape=addition.kind != "identity",
    )


def _path(addition: Addition) -> str:
    return addition.name.split(" #")[0]


def _shapes(module: nn.Module, examples: Examples, inside: Mapping[str, nn.Module]) -> dict[str, tuple[Any, Any]]:
    """Returns what modules take and give, in the order of the pass; those that give no tensor, or run twice, are out.

    What is taken: the shape of each argument, those by name after the others; its type where it is no tensor.
    """
    met: dict[str, list[tuple[Any, Any]]] = {}

    def noting(name: str) -> Forward:
        def note(_module: nn.Module, args: Any, kwargs: Any, given: Any) -> None:
            taken = (*map(_shape, args), *((key, _shape(kwargs[key])) for key in sorted(kwargs)))
            met.setdefault(name, []).append((taken, _shape(given)))

        return note

    handles = [one.register_forward_hook(noting(name), with_kwargs=True) for name, one in inside.items()]
    try:
        with written_out(), as_passes(module):
            run(module, examples)
    finally:
        for handle in handles:
            handle.remove()
    once = {name: noted[0] for name, noted in met.items() if len(noted) == 1}
    return {name: shapes for name, shapes in once.items() if isinstance(shapes[1], tuple)}


def _shape(value: Any) -> Any:
    return tuple(value.shape) if isinstance(value, Tensor) else type(value)
