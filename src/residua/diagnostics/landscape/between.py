"""The direction from a network to another checkpoint of it (Goodfellow et al. 2015; Li et al. 2018, §3.1).

Notation: θ the weights, θ′ those of the other checkpoint; d = θ′ − θ.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from residua.diagnostics.case import unwrapped
from residua.diagnostics.landscape.directions import Direction
from residua.diagnostics.landscape.layout import layout_of
from residua.errors import BadWeights

_COUNTER = "num_batches_tracked"  # only a norm without momentum reads it, and only while it learns


def between(
    module: nn.Module, other: nn.Module | Mapping[str, Tensor], *, name: str = "the other weights"
) -> Direction:
    """Returns d = θ′ − θ, not normalised: coordinate 0 is ``module``, coordinate 1 the other network, to the bit.

    Everything moves that differs: frozen parameters too, biases and norms, and the buffers with fractions (running
    statistics). Differences are float64, in which θ + d rounds to θ′ where both are float32. ``module`` and ``other``
    stay as they are.

    Args:
        module: At coordinate 0.
        other: Another module, or the state of one, of the same architecture.
        name: Of the other, for the figure.

    Raises:
        BadWeights: If a tensor is missing, left over, of another shape or kind, or not finite; names the first.
    """
    inside = unwrapped(module)
    own = inside.state_dict()
    state = unwrapped(other).state_dict() if isinstance(other, nn.Module) else other
    require_fit(state, own)
    moves = {key: _difference(key, state[key], own[key]) for key in own if own[key].is_floating_point()}
    _require_shared(inside, moves)
    vector = torch.cat([moves[slot.name].reshape(-1) for slot in layout_of(inside).slots])
    buffers = tuple((key, moves[key]) for key, _ in inside.named_buffers() if key in moves and moves[key].any())
    return Direction(kind="between", says=f"from the weights to {name}", vector=vector, buffers=buffers)


def require_fit(state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> None:
    """Refuses the state of another architecture.

    Raises:
        BadWeights: Naming the first tensor that does not fit.
    """
    way = "give another checkpoint of the same architecture"
    for key, tensor in own.items():
        if key not in state:
            if key.endswith(_COUNTER):
                continue
            raise BadWeights(f"the other weights lack {key}, of shape {tuple(tensor.shape)}; {way}")
        if state[key].shape != tensor.shape:
            shapes = f"{tuple(state[key].shape)}, the network's {tuple(tensor.shape)}"
            raise BadWeights(f"{key} of the other weights has shape {shapes}; {way}")
        if state[key].is_floating_point() != tensor.is_floating_point():
            kinds = f"{state[key].dtype}, the network's {tensor.dtype}".replace("torch.", "")
            raise BadWeights(f"{key} of the other weights is {kinds}; {way}")
        if not tensor.is_floating_point() and not key.endswith(_COUNTER) and not _equal(state[key], tensor):
            raise BadWeights(f"{key} differs and has no fractions, so no line leads to it; {way}")
    if extra := [key for key in state if key not in own]:
        raise BadWeights(f"the other weights hold {extra[0]}, which the network does not have; {way}")


def _difference(key: str, there: Tensor, here: Tensor) -> Tensor:
    found = there.detach().to("cpu", torch.float64) - here.detach().to("cpu", torch.float64)
    if not bool(found.isfinite().all()):
        raise BadWeights(f"{key} holds a value that is no finite number; take weights from before that")
    return found


def _require_shared(module: nn.Module, moves: Mapping[str, Tensor]) -> None:
    """Refuses a state in which a parameter that stands in several places has several values."""
    first = {id(one): name for name, one in module.named_parameters()}
    for name, one in module.named_parameters(remove_duplicate=False):
        if name in moves and not torch.equal(moves[name], moves[first[id(one)]]):
            raise BadWeights(
                f"{name} of the other weights differs from {first[id(one)]}, and the network shares them; "
                "give another checkpoint of the same architecture"
            )


def _equal(one: Tensor, other: Tensor) -> bool:
    return torch.equal(one.detach().cpu(), other.detach().cpu())
