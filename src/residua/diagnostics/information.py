"""How much of the input each stage still holds: what a linear read-out finds of it.

Notation: X [n, p] are the numbers of one place, Y [n, q] those of the inputs, one row an example.
"""

from dataclasses import dataclass
from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from residua.diagnostics.case import Case, Examples, undisturbed
from residua.diagnostics.operations import Operation
from residua.diagnostics.stages import places, stages
from residua.diagnostics.trace import Trace, trace
from residua.errors import BadData, BadNetwork

_SEED = 0
_SIDE = 8
_MOST_TARGETS = 64
_HELD_OUT = 1 / 4
_FEWEST = 32
_AT_ONCE = 64
_PENALTIES = tuple(10.0**power for power in range(-9, 3))
"""Times the mean eigenvalue of the training examples' Gram matrix."""
_CONSTANT = 1e-6
"""Numbers that vary by less than this part of their size are alike, but for the rounding of float32."""


@final
@dataclass(frozen=True, kw_only=True)
class KeptAt:
    """A read-out from one place."""

    name: str
    r2: float
    """Held-out R² of a ridge regression from the place to the input, reduced to 8 × 8 pixels; at most 1. All pixels
    together, beside the training examples' mean: 0 is what that gives."""


@final
@dataclass(frozen=True, kw_only=True)
class Information:
    """Read-outs along the network, from the input on."""

    places: tuple[KeptAt, ...]
    examples: int
    """A quarter of them held out."""


def information_kept(case: Case, *, examples: int = 768) -> Information:
    """Measures how well a ridge regression reads the input out of each stage's end.

    Places are the input itself, the last of each stage (the sum at its last addition; in a network without additions
    its last weighted layer's output, but for the last of all), and what the last layer reads. Maps are
    average-pooled to 8 × 8 positions at most. What is read out is the image, pooled likewise; of an input that is no
    image its numbers, more than 64 of them projected at random to 64. Evaluation mode; the module is left as it was.

    Raises:
        BadData: If the inputs are whole numbers, all alike, or fewer than 32.
        BadNetwork: If a place holds numbers that are not finite.
    """
    chosen = case.examples.take(slice(0, examples))
    target = _target(chosen)
    with undisturbed(case.module) as module:
        module.eval()
        names = _sought(trace(module, chosen.take(slice(0, 2))))
        parts = [chosen.take(slice(at, at + _AT_ONCE)) for at in range(0, len(chosen), _AT_ONCE)]
        met = [_features(case, part, set(names)) for part in parts]
    found = {name: torch.cat([part[index] for part in met]) for index, name in names.items()}
    order = torch.randperm(len(chosen), generator=torch.Generator().manual_seed(_SEED))
    held_out, training = order.tensor_split([int(len(chosen) * _HELD_OUT)])
    kept = {"input": _flat(_first_real(chosen).detach()), **found}
    return Information(
        places=tuple(KeptAt(name=name, r2=_r2(name, x, target, training, held_out)) for name, x in kept.items()),
        examples=len(chosen),
    )


def ridge(x: Float[Tensor, "n p"], y: Float[Tensor, "n q"], new: Float[Tensor, "m p"]) -> Float[Tensor, "m q"]:
    """Predicts y at new rows by ridge regression with an intercept, whose penalty has the least left-out error.

    In its dual form, so that p may be larger than n: with the centred Gram matrix K = XXᵀ = QΛQᵀ and the hat matrix
    H = 11ᵀ/n + QΛ(Λ + α)⁻¹Qᵀ, the error at an example that is left out is (y − Hy)_i / (1 − H_ii) (Allen 1974).
    """
    mean_x, mean_y, size = x.mean(0), y.mean(0), float(x.square().sum())
    x, y, new = x - mean_x, y - mean_y, new - mean_x
    if float(x.square().sum()) <= _CONSTANT**2 * size:
        return mean_y.expand(len(new), -1)
    values, vectors = torch.linalg.eigh(x @ x.T)
    values = values.clamp(min=0)
    scale = float(values.mean())
    turned = vectors.T @ y

    def left_out_error(penalty: float) -> float:
        shrunk = values / (values + penalty)
        leverage = vectors.square() @ shrunk + 1 / len(x)
        residual = y - vectors @ (shrunk[:, None] * turned)
        return float((residual / (1 - leverage).clamp(min=1e-12)[:, None]).square().sum())

    best = min((scale * one for one in _PENALTIES), key=left_out_error)
    return new @ (x.T @ (vectors @ (turned / (values + best)[:, None]))) + mean_y


def _r2(name: str, x: Tensor, y: Tensor, training: Tensor, held_out: Tensor) -> float:
    if not bool(x.isfinite().all()):
        raise BadNetwork(f"{name} holds numbers that are not finite, from which nothing can be read; mend this first")
    x = x.double()
    x = x / x.abs().max().clamp(min=torch.finfo(x.dtype).tiny)  # 1e30 squared is no finite number in a Gram matrix
    left = (y[held_out] - ridge(x[training], y[training], x[held_out])).square().sum()
    return 1 - float(left / (y[held_out] - y[training].mean(0)).square().sum())


def _sought(found: Trace) -> dict[int, str]:
    """Returns the operations to read from, and what they are called."""
    last = found.layers[-1] if found.layers else None
    runs = stages([one for one in places(found) if last is None or one.index != last.index])
    names = {run[-1].index: run[-1].name for run in runs}
    if last is not None:
        read = last.parents[0]
        if found.operations[read].kind != "input":
            names.setdefault(read, f"before {last.module or last.op}")
    return dict(sorted(names.items()))


def _features(case: Case, examples: Examples, wanted: set[int]) -> dict[int, Float[Tensor, "n p"]]:
    """Returns what these operations give in one pass, an example a row."""
    met: dict[int, Tensor] = {}

    def look(operation: Operation, _args: tuple[Any, ...], _kwargs: dict[str, Any], output: Tensor) -> None:
        if operation.index in wanted:
            met[operation.index] = _flat(output.detach())

    trace(case.module, examples, look=look)
    return met


def _flat(tensor: Tensor) -> Float[Tensor, "n p"]:
    """Returns an example's numbers in one row, maps pooled to at most 8 × 8 positions; a copy."""
    return _pooled(tensor).flatten(1).cpu().clone()


def _pooled(tensor: Tensor) -> Tensor:
    if tensor.dim() != 4:
        return tensor
    height, width = tensor.shape[2:]
    return functional.adaptive_avg_pool2d(tensor, (min(_SIDE, height), min(_SIDE, width)))


def _first_real(examples: Examples) -> Tensor:
    given = (one for one in (*examples.args, *examples.named.values()) if one.is_floating_point())
    found = next(given, None)
    if found is None:
        raise BadData("the inputs are whole numbers, which no regression reads out; give what is embedded")
    return found


def _target(examples: Examples) -> Float[Tensor, "n q"]:
    """Returns what is to be read out.

    Raises:
        BadData: If there is nothing to tell, or too few to tell it from.
    """
    if len(examples) < _FEWEST:
        raise BadData(f"a read-out of the input needs {_FEWEST} examples at least, and there are {len(examples)}")
    given = _first_real(examples).detach()
    target = _flat(given).double()
    if given.dim() != 4 and target.shape[1] > _MOST_TARGETS:
        generator = torch.Generator().manual_seed(_SEED)
        directions = torch.randn(target.shape[1], _MOST_TARGETS, generator=generator, dtype=torch.float64)
        target = target @ directions / target.shape[1] ** 0.5
    if not bool(target.isfinite().all()) or not bool((target != target[:1]).any()):
        raise BadData("the inputs are all alike or not finite, and there is nothing to read out; give others")
    return target
