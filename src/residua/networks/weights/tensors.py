"""The tensors of a network by name, and whether given ones fit them."""

from collections.abc import Mapping

import torch
from torch import Tensor

from residua.errors import BadWeights
from residua.networks.network import without_weights
from residua.networks.spec import NetworkSpec

_COUNTER = "num_batches_tracked"
_WAY_OUT = "choose the network, the classes and the channels that they were made for"


def tensors_of(spec: NetworkSpec) -> dict[str, Tensor]:
    """Returns the network's parameters and buffers by name, with shapes and kinds but without values."""
    return without_weights(spec).state_dict()


def fitted(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns the tensors in the order of ``wanted``, each of its kind of number; they share memory where they can.

    Published files hold some networks in half precision, which becomes float32 here. A batch norm's count of batches
    (``num_batches_tracked``), which old files lack, is 0 where it is missing.

    Args:
        found: The tensors by name.
        wanted: What there must be, no more and no less; `tensors_of` gives it.

    Raises:
        BadWeights: If a tensor is missing, left over, or of another shape or kind; names the first.
    """
    fitting = {name: _fit(name, found.get(name), like) for name, like in wanted.items()}
    if extra := [name for name in found if name not in wanted]:
        raise BadWeights(f"the weights hold {extra[0]}, which the network does not have; {_WAY_OUT}")
    return fitting


def _fit(name: str, tensor: Tensor | None, like: Tensor) -> Tensor:
    if tensor is None and name.endswith(_COUNTER):
        return torch.zeros(like.shape, dtype=like.dtype)
    if tensor is None:
        raise BadWeights(f"the weights lack {name}, of shape {tuple(like.shape)}; {_WAY_OUT}")
    if tensor.shape != like.shape:
        shapes = f"shape {tuple(tensor.shape)}, the network's {tuple(like.shape)}"
        raise BadWeights(f"{name} of the weights has {shapes}; {_WAY_OUT}")
    if tensor.is_floating_point() != like.is_floating_point() or tensor.is_complex():
        kinds = f"{_name_of(tensor.dtype)}, the network's {_name_of(like.dtype)}"
        raise BadWeights(f"{name} of the weights is {kinds}; give weights that are not quantized")
    return tensor.detach().to(like.dtype)


def _name_of(kind: torch.dtype) -> str:
    return str(kind).removeprefix("torch.")
