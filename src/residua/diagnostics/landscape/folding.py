"""Batch norms that become part of the convolution before them, at every point of a surface.

Notation: a norm computes γ (z − μ)/√(σ² + ε) + β of z = W * x + b. With f = γ/√(σ² + ε) that is W' * x + b',
W' = f W and b' = f (b − μ) + β (Jacob et al. 2018, Eq. 14). Only with frozen statistics, and only where the norm alone
reads what the convolution gives. The formula is taken anew at each point, so it holds where γ, β, μ and σ move, too.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast, final

import torch
from torch import Tensor, nn

from residua.diagnostics.case import Examples
from residua.diagnostics.operations import Operation
from residua.diagnostics.trace import trace
from residua.errors import BadNetwork
from residua.networks.layers import SubsampledConvolution

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, SubsampledConvolution)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
Pair = tuple[str, str]
"""Paths of a convolution and of the norm that directly follows it."""


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Fold:
    """A convolution that also does its norm's work, and the tensors of the point that both are made of."""

    convolution: Any
    norm: Any
    """Whose running statistics are read."""
    written: frozenset[str]
    """Names of the parameters that the fold takes care of."""
    weight: Tensor
    """W at the point, as all that follow."""
    bias: Tensor | None
    scale: Tensor | None
    shift: Tensor | None

    def write(self) -> None:
        """Writes W' and b' of the point."""
        mean, factor = self.norm.running_mean, torch.rsqrt(self.norm.running_var + self.norm.eps)
        if self.scale is not None:
            factor = self.scale * factor
        moved = -mean if self.bias is None else self.bias - mean
        given = factor * moved
        self.convolution.weight.copy_(self.weight * factor.view(-1, *[1] * (self.weight.dim() - 1)))
        self.convolution.bias.copy_(given if self.shift is None else given + self.shift)


def foldable(module: nn.Module, examples: Examples) -> tuple[Pair, ...]:
    """Returns the norms that directly follow a convolution in a forward pass, with it; those that are certain.

    Certain: torch's own classes, or ours for few channels, without hooks, each called once; the convolution's weight is
    read once, and its output by the norm alone; and the module gives one tensor, so that nothing comes out at its
    side. A module whose forward pass cannot be traced has none.
    """
    kinds = {type(one) for one in module.modules()}
    if kinds.isdisjoint(_CONVOLUTIONS) or kinds.isdisjoint(_NORMS):
        return ()
    reads: Counter[int] = Counter()

    def count(_made: Operation, args: tuple[Any, ...], kwargs: dict[str, Any], _output: Tensor) -> None:
        reads.update(id(one) for one in (*args, *kwargs.values()) if isinstance(one, nn.Parameter))

    try:
        traced = trace(module, examples.take(slice(0, 2)), look=count)
    except BadNetwork:
        return ()
    if not isinstance(traced.output, Tensor):
        return ()
    calls = Counter(one.module for one in traced.operations)
    readers = Counter(parent for one in traced.operations for parent in one.parents)
    pairs = []
    for norm in traced.operations:
        if norm.op != "batch_norm" or len(norm.parents) != 1 or calls[norm.module] != 1:
            continue
        before = traced.operations[norm.parents[0]]
        if readers[before.index] == 1 and _are_plain(module, before, norm):
            weight = module.get_submodule(before.module).weight
            if reads[id(weight)] == 1:
                pairs.append((before.module, norm.module))
    return tuple(pairs)


def folded(module: nn.Module, pair: Pair, parts: Mapping[str, Tensor]) -> Fold:
    """Makes a convolution and its norm one, in a module that is nobody else's, and returns what writes them.

    Args:
        module: In evaluation mode.
        pair: As `foldable` found it.
        parts: The parameters of the point, by name.
    """
    convolution, norm = (cast(Any, module.get_submodule(path)) for path in pair)
    names = {id(one): name for name, one in module.named_parameters()}
    held = (convolution.weight, convolution.bias, norm.weight, norm.bias)
    found = [None if one is None else names[id(one)] for one in held]
    weight, bias, scale, shift = (None if name is None else parts[name] for name in found)
    convolution.bias = nn.Parameter(held[0].new_empty(held[0].shape[0]), requires_grad=False)
    norm.forward = _unchanged
    assert weight is not None
    return Fold(
        convolution=convolution,
        norm=norm,
        written=frozenset(name for name in found if name is not None),
        weight=weight,
        bias=bias,
        scale=scale,
        shift=shift,
    )


def _are_plain(module: nn.Module, before: Operation, norm: Operation) -> bool:
    """Says whether two operations are a convolution and a batch norm as torch has them, or as ours for few channels."""
    first, second = module.get_submodule(before.module), module.get_submodule(norm.module)
    hooks = (*first._forward_hooks, *first._forward_pre_hooks, *second._forward_hooks, *second._forward_pre_hooks)
    return (
        type(first) in _CONVOLUTIONS
        and type(second) in _NORMS
        and second.running_mean is not None
        and before.op == f"conv{first.weight.dim() - 2}d"  # type: ignore[operator]
        and not hooks
    )


def _unchanged(x: Tensor) -> Tensor:
    return x
