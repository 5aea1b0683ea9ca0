"""What a diagnosis cannot begin with, each said in one line with the next step."""

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.optim import Optimizer

from residua.errors import BadData, BadNetwork, BadSetting

IGNORED = -100
"""The label that torch's cross-entropy leaves out."""


def require_values(module: nn.Module) -> None:
    """Refuses modules that hold no numbers yet.

    Raises:
        BadNetwork: If lazy layers wait for an input, or tensors are on the meta device.
    """
    tensors = [*module.parameters(), *module.buffers()]
    name = type(module).__name__
    if any(is_lazy(one) for one in tensors):
        raise BadNetwork(f"{name} has lazy layers without weights yet; run it once on its inputs first")
    if any(one.is_meta for one in tensors):
        raise BadNetwork(f"{name} has shapes and no values (it is on the meta device); build it on a real one")


def require_own(optimizer: Any, module: nn.Module) -> None:
    """Refuses what is no optimizer, or one of other parameters.

    Raises:
        BadSetting: With what was received.
    """
    if optimizer is None:
        return
    if not isinstance(optimizer, Optimizer):
        shown = optimizer if isinstance(optimizer, (str, type)) else type(optimizer).__name__
        raise BadSetting(f"optimizer is {shown!r}; give one that is made: torch.optim.SGD(module.parameters(), lr=0.1)")
    held = {id(one) for group in optimizer.param_groups for one in group["params"]}
    if not any(id(one) in held for one in module.parameters()):
        raise BadSetting("the optimizer holds none of the module's parameters; make it of module.parameters()")


def require_classes(labels: Tensor, logits: Tensor) -> None:
    """Refuses whole-number labels [n] that no column of logits [n, k] is for.

    Raises:
        BadData: With the label, and those that are allowed.
    """
    known = labels[labels != IGNORED]
    low, high = (int(known.min()), int(known.max())) if len(known) else (0, 0)
    if low < 0 or high >= logits.shape[1]:
        wrong = low if low < 0 else high
        raise BadData(
            f"a label is {wrong}, and the module gives {logits.shape[1]} logits: labels 0 to {logits.shape[1] - 1}"
        )


def require_number(loss: Any, output: Any, labels: Any) -> None:
    """Refuses a loss that does not take what the module gives, or gives anything but one number.

    Raises:
        BadSetting: With what it said or gave.
    """
    if not callable(loss):
        raise BadSetting(f"loss is {loss!r}; give a function of the module's output and the labels")
    try:
        once = copy.deepcopy(loss) if isinstance(loss, nn.Module) else loss  # one with a state keeps it
        with torch.no_grad():
            given = once(output, labels)
    except Exception as error:
        said = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise BadSetting(f"the loss cannot take what the module gives with these labels: {said}") from error
    if not isinstance(given, Tensor) or given.numel() != 1:
        shown = f"a tensor of shape {tuple(given.shape)}" if isinstance(given, Tensor) else f"a {type(given).__name__}"
        raise BadSetting(f"the loss gives {shown}; it must return one number as a tensor, the mean over the examples")
