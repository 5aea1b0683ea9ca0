"""Whether gradients by the input resemble noise (Balduzzi et al. 2017, arXiv:1702.08591, §2 and Fig. 1).

The paper gives batch norms the line's inputs as a batch. Then every output depends on every input, and what is called
the gradient at a point is a sum over the line. Here the norms keep the mean and variance of the case's own examples,
fixed: the whole line meets one function, scaled as it is when it learns, and each input's gradient is its own.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from inspect import signature
from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from residua.diagnostics.case import Case, Examples, linear_functional, run, undisturbed
from residua.diagnostics.trace import written_out
from residua.errors import BadData, BadNetwork

_BATCH_NORM = signature(functional.batch_norm)
_NOISE_SEED = 1
_DRAWS = 200
_AT_ONCE = 64
"""Inputs in one pass; examples that the norms take their statistics from."""
_CONSTANT = 1e-5
"""A gradient that varies by less than this part of its size does not change along the line, but for rounding."""


@final
@dataclass(frozen=True, kw_only=True)
class Shattering:
    """Autocorrelation of df/dx along a line of inputs, beside that of white and of brown noise."""

    lags: tuple[int, ...]
    """In steps between neighbouring inputs, from 1."""
    autocorrelation: tuple[float, ...]
    """Of the gradient: of each input dimension's series about its mean; dimensions count by their variance. 1 where
    the gradient is the same along the whole line."""
    white: tuple[float, ...]
    """Of independent normal numbers, as many; mean over 200 draws."""
    brown: tuple[float, ...]
    """Of their running sums."""
    points: int


def shattering(case: Case, *, points: int = 256, lags: int = 15) -> Shattering:
    """Measures how alike the gradients of neighbouring inputs are, along the line between two examples.

    The line goes from the first example to the first that differs from it. f is ⟨w, logits⟩ with w ~ N(0, 1) fixed.
    Evaluation mode, but for batch norms (see the module's docstring). The module is left as it was.

    Args:
        case: What is looked at.
        points: Inputs on the line, its ends included.
        lags: The largest.

    Raises:
        BadData: If the inputs are whole numbers, or all examples are the same.
        BadNetwork: If the gradient is zero, not finite, or does not pass.
    """
    with undisturbed(case.module) as module:
        module.eval().requires_grad_(False)
        norms = FixedNorms()
        with written_out(), norms, torch.no_grad():
            run(module, case.examples.take(slice(0, _AT_ONCE)))
            norms.hold()
        with written_out(), norms:
            gradients = torch.cat([_gradients(case, part) for part in _line(case.examples, points)])
    if not bool(gradients.isfinite().all()) or not bool(gradients.any()):
        raise BadNetwork("the gradient by the input is zero or not finite along the whole line; mend this first")
    generator = torch.Generator().manual_seed(_NOISE_SEED)
    noise = torch.randn(_DRAWS, points, generator=generator, dtype=torch.float64)
    return Shattering(
        lags=tuple(range(1, lags + 1)),
        autocorrelation=autocorrelation(gradients.T, lags),
        white=_mean(noise, lags),
        brown=_mean(noise.cumsum(1), lags),
        points=points,
    )


def autocorrelation(series: Float[Tensor, "d n"], lags: int) -> tuple[float, ...]:
    """Returns Σ_d Σ_t z_t z_{t+k} / Σ_d Σ_t z_t² for k = 1 … lags, z_t being a row's values about their mean.

    A constant dimension counts nothing; 1 for every lag where all are constant.
    """
    centred = series - series.mean(1, keepdim=True)
    whole = float(centred.square().sum())
    if whole <= _CONSTANT**2 * float(series.square().sum()):
        return (1.0,) * lags
    return tuple(float((centred[:, lag:] * centred[:, :-lag]).sum()) / whole for lag in range(1, lags + 1))


@final
class FixedNorms(TorchFunctionMode):
    """Has batch norms normalise by what they met while it was entered first, whatever their mode; writes no buffer."""

    def __init__(self) -> None:
        super().__init__()
        self._met: list[tuple[Tensor, Tensor]] = []
        self._is_held = False
        self._calls = 0

    def hold(self) -> None:
        """Ends the taking of statistics: from now on they are used."""
        self._is_held = True

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is not functional.batch_norm:
            return func(*args, **kwargs)
        called = _BATCH_NORM.bind(*args, **kwargs)
        read = called.arguments["input"]
        if not self._is_held:
            rest = [axis for axis in range(read.dim()) if axis != 1]
            variance, mean = torch.var_mean(read.detach(), rest, correction=0)
            self._met.append((mean, variance))
        mean, variance = self._met[self._calls % len(self._met) if self._is_held else -1]
        self._calls += self._is_held
        fixed = {"running_mean": mean, "running_var": variance, "training": False}
        return func(**{**called.arguments, **fixed})


def _line(examples: Examples, points: int) -> Iterator[Examples]:
    """Yields the inputs of the line, some at once; whole numbers among several inputs stay those of its start."""
    tensors = (*examples.args, *examples.named.values())
    moving = [one.flatten(1) for one in tensors if one.is_floating_point()]
    if not moving:
        raise BadData("the inputs are whole numbers, and there is no line between two of them; give what is embedded")
    differ = torch.stack([(one != one[:1]).any(1) for one in moving]).any(0)
    if not bool(differ.any()):
        raise BadData("all examples are the same, and there is no line between two; give examples that differ")
    end = int(differ.nonzero()[0])

    def between(tensor: Tensor, along: Tensor) -> Tensor:
        if not tensor.is_floating_point():
            return tensor[:1].expand(len(along), *tensor.shape[1:])
        shaped = along.to(tensor).view(-1, *(1 for _ in tensor.shape[1:]))
        return tensor[:1] * (1 - shaped) + tensor[end : end + 1] * shaped

    for along in torch.linspace(0, 1, points).split(_AT_ONCE):
        args = tuple(between(one, along) for one in examples.args)
        named = {name: between(one, along) for name, one in examples.named.items()}
        yield replace(examples, args=args, named=named, labels=None)


def _gradients(case: Case, examples: Examples) -> Float[Tensor, "n d"]:
    """Returns ∂⟨w, f(x)⟩/∂x of each input, its numbers in one row."""
    args = tuple(_leaf(one) for one in examples.args)
    named = {name: _leaf(one) for name, one in examples.named.items()}
    leaves = [one for one in (*args, *named.values()) if one.requires_grad]
    with torch.enable_grad():
        summed = linear_functional(run(case.module, Examples(args=args, named=named)), None) * len(examples)
        if not summed.requires_grad:
            raise BadNetwork("no gradient passes from the outputs to the inputs; take away what detaches them")
        found = torch.autograd.grad(summed, leaves, allow_unused=True, materialize_grads=True)
    return torch.cat([one.flatten(1).double().cpu() for one in found], dim=1)


def _leaf(tensor: Tensor) -> Tensor:
    return tensor.detach().clone().requires_grad_(tensor.is_floating_point())


def _mean(noise: Float[Tensor, "draws n"], lags: int) -> tuple[float, ...]:
    each = torch.tensor([autocorrelation(one[None], lags) for one in noise], dtype=torch.float64)
    return tuple(each.mean(0).tolist())
