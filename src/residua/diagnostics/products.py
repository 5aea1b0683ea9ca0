"""Vector–Jacobian products between the operations of one forward pass, by the edges of autograd's graph.

A product Jᵀg from one operation to another before it passes what lies between the two alone: that of a branch does not
meet the shortcut, nor the addition. Notation: y = F(x) + s(x); g is a gradient by y.
"""

from collections.abc import Iterable

import torch
from torch import Tensor

from residua.diagnostics.additions import Addition
from residua.diagnostics.trace import Trace


def by_operations(loss: Tensor, traced: Trace, indices: Iterable[int]) -> dict[int, Tensor]:
    """Returns the gradient of a loss by the outputs of operations, where it arrives; ``.grad`` is not written."""
    edges = {index: edge for index in sorted(set(indices)) if (edge := traced.operations[index].edge) is not None}
    if not edges or not loss.requires_grad:
        return {}
    found = torch.autograd.grad(loss, list(edges.values()), retain_graph=True, allow_unused=True)
    return {index: one.detach() for index, one in zip(edges, found, strict=True) if one is not None}


def product(traced: Trace, output: int, source: int, gradient: Tensor) -> Tensor:
    """Returns Jᵀ ``gradient`` with J the derivative of one operation's output by another's; 0 where no way is between.

    Args:
        traced: The pass; its graph is kept.
        output: Index of the operation whose gradient is given.
        source: Index of the one before it, whose edge must not be None.
        gradient: As the output.
    """
    end, start = traced.operations[output], traced.operations[source]
    if output == source:
        return gradient
    found = None
    if end.edge is not None and start.edge is not None:
        (found,) = torch.autograd.grad([end.edge], [start.edge], [gradient], retain_graph=True, allow_unused=True)
    return gradient.new_zeros(start.shape) if found is None else found.detach()


def terms(traced: Trace, addition: Addition, gradient: Tensor) -> tuple[Tensor, Tensor]:
    """Returns J_Fᵀ g and J_sᵀ g at the block's input x (He et al. 2016, Eq. 5), each by a product of its own."""
    branch = product(traced, addition.branch, addition.source, addition.branch_scale * gradient)
    return branch, product(traced, addition.shortcut, addition.source, addition.shortcut_scale * gradient)
