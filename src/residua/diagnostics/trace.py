"""One forward pass, written down: its operations, and which of them add a branch to a shortcut.

Additions are found where they happen, whatever the modules are called (`residua.diagnostics.additions`). Operations
are met as Python calls them, so those inside a function written in C++ are one operation; what a scripted module or a
custom function does inside is one, too, found again through the graph that autograd keeps.
"""

import contextlib
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakTensorKeyDictionary

from residua.diagnostics.additions import Addition, AdditionCounter, block, numbered, scaled_operands
from residua.diagnostics.case import Examples, answer, as_passes, unwrapped
from residua.diagnostics.operations import Kind, Operation, kind_of

Look = Callable[[Operation, tuple[Any, ...], dict[str, Any], Tensor], None]
"""Is told an operation, its arguments as they are after it, and its output."""
Meet = Callable[[Addition, Tensor, Tensor, Tensor], None]
"""Is told an addition, F(x), s(x) and y."""


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Trace:
    """What one forward pass did."""

    operations: tuple[Operation, ...]
    additions: tuple[Addition, ...]
    inputs: tuple[Tensor, ...]
    """What the network was given, as leaves whose gradient can be asked for; whole numbers have none."""
    output: Any
    """What the module gave: what a loss takes."""
    answer: Tensor
    """The output, or the logits among several."""

    @property
    def layers(self) -> tuple[Operation, ...]:
        """Returns the weighted layers in the order of the pass."""
        return tuple(one for one in self.operations if one.kind == "layer")

    def between(self, source: int, end: int) -> tuple[Operation, ...]:
        """Returns the operations on the ways from one to another, without the first, with the last."""
        last = self.operations[end]
        return tuple(
            one
            for one in self.operations[source + 1 : end + 1]
            if one.comes_from(source) and (one is last or last.comes_from(one.index))
        )

    def branch_of(self, addition: Addition) -> tuple[Operation, ...]:
        """Returns the operations that make F(x) of x."""
        return self.between(addition.source, addition.branch)


def trace(module: nn.Module, examples: Examples, *, look: Look | None = None, meet: Meet | None = None) -> Trace:
    """Runs one forward pass in the module's own mode, with gradients, and tells what it did.

    Call it within `residua.diagnostics.case.undisturbed`: batch norms in training mode count the pass.

    Args:
        module: Any module.
        examples: What it is given.
        look: Is told each operation as it happens.
        meet: Is told each addition as it happens.

    Raises:
        BadNetwork: If the forward pass fails, with what it said.
    """
    module = unwrapped(module)
    with torch.enable_grad():
        args, named, leaves = _as_leaves(examples)
    tracer = _Tracer(look, meet)
    for one in (*args, *named.values()):  # tokens, too: what an embedding makes of them comes from an input
        tracer.note("input", "input", one, parents=(), weighted=False, module="")
    with torch.enable_grad(), _paths(module, tracer), written_out(), as_passes(module), tracer:
        given = module(*args, **named)
    found = answer(given)
    tracer.index_of(found)  # what made the output is written down, too, where Python did not call it
    return Trace(
        operations=tuple(tracer.operations),
        additions=numbered(tracer.additions),
        inputs=leaves,
        output=given,
        answer=found,
    )


@contextlib.contextmanager
def written_out() -> Iterator[None]:
    """Has attention and compiled parts run as Python writes them, so that their operations are seen."""
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.compiler.set_stance("force_eager"), warnings.catch_warnings():
            # that the paths' hooks are called for a compiled part's wrapper as well
            warnings.filterwarnings("ignore", message=r"Using `torch\.compile\(module\)` when there are global hooks")
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)


@dataclass(eq=False)
class _Tracer(TorchFunctionMode):
    """Writes down the calls of torch's functions."""

    look: Look | None
    meet: Meet | None
    operations: list[Operation] = field(default_factory=list)
    additions: list[Addition] = field(default_factory=list)
    path: list[str] = field(default_factory=lambda: [""])
    """Of the modules that are being called, the innermost last."""
    bare: set[str] = field(default_factory=set)
    """Paths of the modules without parameters, after which no block is named."""

    def __post_init__(self) -> None:
        super().__init__()
        self._known = WeakTensorKeyDictionary()
        self._of_weights = WeakTensorKeyDictionary()
        self._made: dict[Any, int] = {}
        self._counter = AdditionCounter()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        ordinal = self._counter.ordinal(name, args)
        operands = ()
        if ordinal is not None:
            first, second = scaled_operands(args, kwargs)
            before = first.detach().clone() if name in ("add_", "__iadd__") else first
            indices = map(self.index_of, args[:2])
            operands = tuple(zip(indices, (1.0, float(kwargs.get("alpha", 1))), (before, second), strict=True))
        parents, weighted = self._sources(args, kwargs)
        given = func(*args, **kwargs)
        outputs = list(_tensors(given))
        if not parents:
            if weighted:
                for output in outputs:
                    self._of_weights[output] = True
            return given
        for place, output in enumerate(outputs):
            if output.is_floating_point():
                kind = kind_of(name, weighted=weighted) if place == 0 else "other"  # an LSTM's states are no layers
                made = self.note(name, kind, output, parents=parents, weighted=weighted)
                if ordinal is not None and all(index is not None for index, _, _ in operands):
                    self._add(made, ordinal, operands, output)
                if self.look is not None:
                    self.look(made, args, kwargs, output)
        return given

    def note(
        self,
        op: str,
        kind: Kind,
        output: Tensor,
        *,
        parents: tuple[int, ...],
        weighted: bool,
        module: str | None = None,
    ) -> Operation:
        """Writes an operation down and returns it."""
        above = 0
        for parent in parents:
            above |= self.operations[parent].above | 1 << parent
        made = Operation(
            index=len(self.operations),
            op=op,
            kind=kind,
            module=self.path[-1] if module is None else module,
            parents=parents,
            above=above,
            weighted=weighted,
            shape=tuple(output.shape),
            edge=_edge(output),
        )
        self.operations.append(made)
        self._known[output] = made.index
        if made.edge is not None:
            self._made[made.edge.node] = made.index
        return made

    def index_of(self, tensor: Tensor) -> int | None:
        """Returns the operation that made a tensor; None where it does not come from the inputs."""
        if tensor in self._known:
            return self._with_edge(self._known[tensor], tensor)
        if tensor in self._of_weights or tensor.grad_fn is None:
            return None
        parents, weighted = self._behind(tensor.grad_fn)
        if not parents:
            if weighted:
                self._of_weights[tensor] = True
            return None
        return self.note("unseen", "other", tensor, parents=parents, weighted=weighted).index

    def _with_edge(self, index: int, tensor: Tensor) -> int:
        """Writes down where the gradient arrives of what a custom function gave, which is known after its forward."""
        made = self.operations[index]
        if made.edge is None and (edge := _edge(tensor)) is not None:
            self.operations[index] = replace(made, edge=edge)
            self._made[edge.node] = index
        return index

    def _behind(self, end: Any) -> tuple[tuple[int, ...], bool]:
        """Returns the known operations that autograd's graph leads back to, and whether a parameter enters between."""
        open_, seen, parents, weighted = [end], {end}, set(), False
        while open_:
            node = open_.pop()
            if node in self._made:
                parents.add(self._made[node])
                continue
            weighted |= hasattr(node, "variable")
            for before, _ in node.next_functions:
                if before is not None and before not in seen:
                    seen.add(before)
                    open_.append(before)
        return tuple(sorted(parents)), weighted

    def _sources(self, args: Any, kwargs: Any) -> tuple[tuple[int, ...], bool]:
        parents, weighted = [], False
        for tensor in _tensors((args, kwargs)):
            index = self.index_of(tensor)
            if index is not None:
                parents.append(index)
            else:
                weighted |= isinstance(tensor, nn.Parameter) or tensor in self._of_weights or tensor.requires_grad
        return tuple(dict.fromkeys(parents)), weighted

    def _add(self, made: Operation, ordinal: int, operands: tuple[Any, ...], output: Tensor) -> None:
        """Writes an addition down if it is a block's; an operand comes as its index, its factor and its value."""
        scales = {index: scale for index, scale, _ in operands}
        found = block(self.operations, made, ordinal, tuple(scales))
        if found is None or self._is_of_tokens(found.source):
            return
        self.operations[made.index] = replace(made, kind="addition")
        named = next((path for path in reversed(self.path) if path not in self.bare), "")
        named = {"name": named, "branch_scale": scales[found.branch], "shortcut_scale": scales[found.shortcut]}
        self.additions.append(replace(found, **named))
        if self.meet is not None:
            terms = {index: term for index, _, term in operands}
            self.meet(self.additions[-1], terms[found.branch], terms[found.shortcut], output)

    def _is_of_tokens(self, source: int) -> bool:
        """Says whether an operation is an input of whole numbers: a sum of embeddings is where the blocks begin."""
        return self.operations[source].kind == "input" and self.operations[source].edge is None


def _edge(tensor: Tensor) -> GradientEdge | None:
    """Returns where a tensor's gradient arrives; None where none does, or not yet, as in a custom function."""
    return get_gradient_edge(tensor) if tensor.requires_grad and torch.is_grad_enabled() else None


def _tensors(value: Any) -> Iterator[Tensor]:
    """Yields the tensors in nested tuples, lists and dictionaries."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (tuple, list)):
        for one in value:
            yield from _tensors(one)
    elif isinstance(value, dict):
        yield from _tensors(tuple(value.values()))


def _as_leaves(examples: Examples) -> tuple[tuple[Tensor, ...], dict[str, Tensor], tuple[Tensor, ...]]:
    """Returns the inputs, those with fractions as copies of fresh leaves, and these leaves."""
    leaves: list[Tensor] = []

    def leaf(tensor: Tensor) -> Tensor:
        if not tensor.is_floating_point():
            return tensor.clone()
        leaves.append(tensor.detach().clone().requires_grad_())
        return leaves[-1].clone()  # a forward may write into what it is given, and not into a leaf

    args = tuple(leaf(one) for one in examples.args)
    named = {name: leaf(one) for name, one in examples.named.items()}
    return args, named, tuple(leaves)


@contextlib.contextmanager
def _paths(module: nn.Module, tracer: _Tracer) -> Iterator[None]:
    """Tells the tracer which module is being called; a module with several paths goes by its first."""
    names = {id(one): name for name, one in module.named_modules()}
    tracer.bare = {name for name, one in module.named_modules() if name and next(one.parameters(), None) is None}

    def enter(called: nn.Module, _inputs: Any) -> None:
        tracer.path.append(names.get(id(called), tracer.path[-1]))

    def leave(_called: nn.Module, _inputs: Any, _output: Any) -> None:
        tracer.path.pop()

    handles = [register_module_forward_pre_hook(enter), register_module_forward_hook(leave, always_call=True)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
