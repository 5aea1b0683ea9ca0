"""Exact products of the Hessian with vectors, for any module, at any weights: (∇²L) v without ∇²L.

L is the mean of the loss over n examples, taken some at a time and weighted by their counts, so that it depends neither
on how many are taken at once nor on how often the data repeat. Two ways give the same product (Pearlmutter 1994):

- *forward*: the derivative along v of the gradient, forward mode over reverse mode. It refuses what it cannot derive,
  and keeps no graph of the backward pass, so it is tried first.
- *reverse*: the gradient of ⟨∇L, v⟩, where an operation has no forward derivative.

Either costs 3 to 4 gradients: of ResNet-20 on 128 images of 32 × 32, in pieces of 32 and on one thread, forward 4.0 and
reverse 3.3 (processor time, frozen norms, medians of three interleaved runs on a busy machine).

Differences of gradients are not used: in float32 they had a cosine of 0.42 to the product. `curvlinops` gives the same
product (relative difference 1e-7), for modules of one input at the module's own weights, and brings eight packages; it
was no faster by more than the machine's noise. So this is ours.

Notation: p weights; v, θ [p] in the order of a `Layout`.
"""

import contextlib
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, jvp
from torch.nn.attention import SDPBackend, sdpa_kernel

from residua.diagnostics.case import Case, Examples, reseed, undisturbed
from residua.diagnostics.curvature.norms import NormsByHand, use_the_batch
from residua.diagnostics.landscape.layout import Layout, Slot
from residua.diagnostics.refusals import IGNORED
from residua.diagnostics.trace import written_out
from residua.errors import BadData, BadNetwork, BadSetting, unknown

Way = Literal["forward", "reverse"]
Named = dict[str, Tensor]
POLICIES = ("frozen", "batch")
BATCH = 128
"""Images whose statistics a batch norm takes together under ``batch``; L is then the mean over such batches."""
_AT_ONCE = {"cpu": 32}
_AT_ONCE_ELSEWHERE = 256
"""Examples that pass together, at least on a processor, and at most."""
_NUMBERS_AT_ONCE = 32 * 3 * 32 * 32
"""That these may hold on a processor, where there may be more of small ones: of resnet56 at 8 × 8 a product of 256
images took 2.1 s in pieces of 32 and 0.9 s in one (processor time, one thread, one run each)."""


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Piece:
    """Examples that pass together."""

    examples: Examples
    share: float
    """Of all examples that the loss counts, 0 to 1."""


@final
class Products:
    """A loss, its gradient and its Hessian's products over the tensors of a layout; made by `products_of`."""

    def __init__(self, case: Case, pieces: tuple[Piece, ...], moving: Named, fixed: Named, way: Way) -> None:
        self.taken = 0
        """Products so far."""
        self.layout = _layout(moving)
        self.centre = torch.cat([one.reshape(-1) for one in moving.values()])
        """[p], what the module has."""
        self._case, self._pieces, self._fixed = case, pieces, fixed
        self._way: Way = way

    def __call__(self, vector: Float[Tensor, " p"], at: Float[Tensor, " p"] | None = None) -> Float[Tensor, " p"]:
        """Returns (∇²L) v at weights, those of the module where none are given."""
        self.taken += 1
        take = self._forward if self._way == "forward" else self._reverse
        here, along = self._named(at), self.layout.parts(vector)
        found = torch.zeros_like(self.centre)
        for piece in self._pieces:
            found.add_(self._flat(take(piece.examples, here, along)), alpha=piece.share)
        return found

    def loss_and_gradient(self, at: Float[Tensor, " p"] | None = None) -> tuple[float, Float[Tensor, " p"]]:
        """Returns L and ∇L at weights, those of the module where none are given."""
        here = {name: one.detach().requires_grad_() for name, one in self._named(at).items()}
        loss, gradient = 0.0, torch.zeros_like(self.centre)
        for piece in self._pieces:
            value = self._value(piece.examples, here)
            loss += piece.share * float(value.detach())
            gradient.add_(self._flat(_gradient(value, here, again=False)), alpha=piece.share)
        return loss, gradient

    def in_float64(self) -> "Products":
        """Returns the same in float64, for checks."""
        wide = torch.float64
        pieces = tuple(replace(one, examples=one.examples.to(self._case.device, wide)) for one in self._pieces)
        moving, fixed = (
            self.layout.parts(self.centre.to(wide)),
            {name: one.to(wide) for name, one in self._fixed.items()},
        )
        return Products(self._case, pieces, moving, fixed, self._way)

    def normal(self, generator: torch.Generator) -> Float[Tensor, " p"]:
        """Returns a vector of independent N(0, 1), drawn on the processor."""
        drawn = torch.randn(len(self.layout), generator=generator, dtype=self.centre.dtype)
        return drawn.to(self.centre.device)

    def embedded(self, vector: Float[Tensor, " p"], whole: Layout) -> Float[Tensor, " q"]:
        """Returns a vector in a larger layout, zero where this one has nothing; float32 or float64 as it is."""
        parts, found = self.layout.parts(vector), vector.new_zeros(len(whole))
        for slot in whole.slots:
            if slot.name in parts:
                found[slot.start : slot.stop] = parts[slot.name].reshape(-1)
        return found

    def _named(self, at: Tensor | None) -> Named:
        return self.layout.parts(self.centre if at is None else at)

    def _flat(self, named: Named) -> Tensor:
        return torch.cat([named[slot.name].detach().reshape(-1) for slot in self.layout.slots])

    def _value(self, examples: Examples, weights: Named) -> Tensor:
        """Returns the loss of some examples at weights; what the module draws itself is the same every time."""
        reseed(self._case.device, 0)
        args = tuple(one.clone() for one in examples.args)
        named = {name: one.clone() for name, one in examples.named.items()}
        output = functional_call(self._case.module, {**self._fixed, **weights}, args, named)
        return self._case.loss(output, examples.labels)

    def _forward(self, examples: Examples, here: Named, along: Named) -> Named:
        gradient = grad_and_value(lambda weights: self._value(examples, weights).reshape(()))
        return jvp(lambda weights: gradient(weights)[0], (here,), (along,))[1]

    def _reverse(self, examples: Examples, here: Named, along: Named) -> Named:
        leaves = {name: one.detach().requires_grad_() for name, one in here.items()}
        first = _gradient(self._value(examples, leaves), leaves, again=True)
        kept = [name for name, one in first.items() if one.requires_grad]
        if not kept:
            return {name: torch.zeros_like(one) for name, one in leaves.items()}
        second = torch.autograd.grad(
            [first[name] for name in kept],
            list(leaves.values()),
            [along[name] for name in kept],
            allow_unused=True,
            materialize_grads=True,
        )
        return dict(zip(leaves, second, strict=True))


@contextlib.contextmanager
def products_of(
    case: Case,
    examples: Examples,
    *,
    policy: str = "frozen",
    way: Way = "forward",
    buffers: Sequence[str] | None = None,
) -> Iterator[Products]:
    """Gives the products of a case's loss over some examples, while the module is in evaluation mode.

    Half-precision modules are taken in float32, others in their own. The module comes back as it was.

    Args:
        case: Of which module and loss are used.
        examples: Of which the loss is the mean.
        policy: ``frozen``: batch norms use their running statistics. ``batch``: those of the images, differentiated
            through, of batches of 128 (`BATCH`); L is the mean over the batches.
        way: As `way_of` found it.
        buffers: Names of those that move with the weights, as on a surface between two networks: the layout then holds
            every parameter, and these after them. None: it holds the parameters that need a gradient.

    Raises:
        BadSetting: If there is no such policy.
        BadNetwork: If no parameter needs a gradient.
        BadData: If the loss counts none of the examples.
    """
    if policy not in POLICIES:
        raise BadSetting(unknown("norm policy of a Hessian", policy, POLICIES))
    with _as_it_was(case.module) as module, NormsByHand() if buffers else contextlib.nullcontext():
        if policy == "batch":
            use_the_batch(module)
        dtype = _precision(module)
        moving, fixed = _tensors(module, dtype, buffers)
        moved = examples.to(case.device, dtype if _is_half(module) else None)
        yield Products(case, _pieces(case, moved, policy), moving, fixed, way)


@contextlib.contextmanager
def _as_it_was(module: nn.Module) -> Iterator[nn.Module]:
    """Enters what exact second derivatives need, with the module in evaluation mode."""
    with (
        torch.inference_mode(False),
        torch.enable_grad(),
        undisturbed(module),
        written_out(),
        sdpa_kernel(SDPBackend.MATH),  # the fused attention has no second derivative
        warnings.catch_warnings(),
    ):
        # that torch compiles its own forward derivatives, the first time
        warnings.filterwarnings("ignore", message=r"`torch\.jit\.script` is deprecated")
        yield module.eval()


def _is_half(module: nn.Module) -> bool:
    return any(one.is_floating_point() and one.itemsize < 4 for one in module.parameters())


def _precision(module: nn.Module) -> torch.dtype:
    return torch.float64 if any(one.dtype == torch.float64 for one in module.parameters()) else torch.float32


def _tensors(module: nn.Module, dtype: torch.dtype, buffers: Sequence[str] | None) -> tuple[Named, Named]:
    """Returns what moves and what does not, by name; whole numbers, and what is as it should be, stay in the module."""
    parameters = dict(module.named_parameters())
    held = {name: one for name, one in module.named_buffers() if one.is_floating_point()}
    moves = {name: one for name, one in parameters.items() if one.requires_grad}
    if buffers is not None:
        moves = {**parameters, **{name: held[name] for name in buffers if name in held}}
    if not moves:
        raise BadNetwork(
            f"no parameter of {type(module).__name__} needs a gradient, so there is no Hessian; "
            "call module.requires_grad_(True), or on the part that learns"
        )
    moving = {name: one.detach().to(dtype) for name, one in moves.items()}
    rest = {name: one.detach() for name, one in {**parameters, **held}.items() if name not in moves}
    return moving, {name: one.to(dtype) for name, one in rest.items() if one.is_floating_point()}


def _layout(moving: Named) -> Layout:
    slots, start = [], 0
    for name, one in moving.items():
        slots.append(Slot(name=name, shape=tuple(one.shape), start=start, stop=start + one.numel()))
        start += one.numel()
    return Layout(slots=tuple(slots))


def _pieces(case: Case, examples: Examples, policy: str) -> tuple[Piece, ...]:
    """Returns the examples in parts as equal as can be, each with its share of those that the loss counts."""
    most = BATCH if policy == "batch" else _most_at_once(case, examples)
    count = -(-len(examples) // most)
    edges = [round(len(examples) * i / count) for i in range(count + 1)]
    parts = [examples.take(slice(*edges[i : i + 2])) for i in range(count)]
    counted = [_counted(case, part) for part in parts]
    if not sum(counted):
        raise BadData(f"every label is {IGNORED}, which the loss leaves out; give examples with labels")
    pairs = zip(parts, counted, strict=True)
    return tuple(Piece(examples=part, share=number / sum(counted)) for part, number in pairs if number)


def _most_at_once(case: Case, examples: Examples) -> int:
    numbers = sum(one[:1].numel() for one in (*examples.args, *examples.named.values()))
    least = _AT_ONCE.get(case.device.type, _AT_ONCE_ELSEWHERE)
    return max(least, min(_AT_ONCE_ELSEWHERE, _NUMBERS_AT_ONCE // max(numbers, 1)))


def _counted(case: Case, examples: Examples) -> int:
    """Returns over how many examples the loss is the mean."""
    return int((examples.labels != IGNORED).sum()) if case.is_cross_entropy else len(examples)


def _gradient(value: Tensor, leaves: Named, *, again: bool) -> Named:
    if not value.requires_grad:
        return {name: torch.zeros_like(one) for name, one in leaves.items()}
    wanted: Any = list(leaves.values())
    found = torch.autograd.grad(
        value.reshape(()), wanted, create_graph=again, allow_unused=True, materialize_grads=True
    )
    return dict(zip(leaves, found, strict=True))
