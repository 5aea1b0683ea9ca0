"""What a watch asks of tensors and of torch's optimizers at a sampled step: norms, read without waiting for a GPU."""

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any, final

import torch
from torch import Tensor
from torch.optim import Optimizer


def norms(tensors: Sequence[Tensor | None], device: torch.device) -> Tensor:
    """Returns the norms [n] of tensors, in float32 at least, on the device; None has the norm 0."""
    there = [tensor for tensor in tensors if tensor is not None]
    if not there:
        return torch.zeros(len(tensors), device=device)
    kind = reduce(torch.promote_types, (tensor.dtype for tensor in there), torch.float32)
    found = iter(torch._foreach_norm(there, 2, dtype=kind))  # type: ignore[call-arg]
    zero = torch.zeros((), dtype=kind, device=device)
    return torch.stack([zero if tensor is None else next(found).to(device) for tensor in tensors])


def learning_rate(optimizer: Optimizer) -> float | None:
    """Returns the largest learning rate of an optimizer's groups; None where they have none."""
    return max((float(group["lr"]) for group in optimizer.param_groups if "lr" in group), default=None)


def amp_state(optimizer: Optimizer, device: torch.device) -> tuple[Tensor, Tensor]:
    """Returns what the gradients are still multiplied by, and whether the step is left out, each [1].

    A fused optimizer does itself what `torch.amp.GradScaler` does for others before their step. What the scaler has
    not set is made on the device: a copy from memory that is not pinned would wait for a GPU.
    """
    scale, left_out = (getattr(optimizer, name, None) for name in ("grad_scale", "found_inf"))
    return (
        scale.reshape(1) if isinstance(scale, Tensor) else torch.ones(1, device=device),
        left_out.reshape(1) if isinstance(left_out, Tensor) else torch.zeros(1, device=device),
    )


@final
class Count:
    """Counts the steps that an optimizer takes; those that a gradient scaler leaves out are none.

    A fused optimizer is called for these too, and a GPU says only later which they were: until `learn` is told,
    `taken` counts them.
    """

    def __init__(self) -> None:
        self.called = 0
        self._left_out: Tensor | None = None
        self._known = 0

    @property
    def taken(self) -> int:
        """Returns the steps taken, as far as is known."""
        return self.called - self._known

    def add(self, optimizer: Optimizer) -> None:
        """Counts a call of the optimizer's step, from within it."""
        self.called += 1
        found = getattr(optimizer, "found_inf", None)
        if isinstance(found, Tensor):
            left_out = (found > 0).sum()
            self._left_out = left_out if self._left_out is None else self._left_out + left_out
            if self._left_out.device.type == "cpu":
                self.learn(int(self._left_out))

    def left_out(self, device: torch.device) -> Tensor:
        """Returns how many steps were left out, [1], which need not be known yet."""
        return torch.zeros(1, device=device) if self._left_out is None else self._left_out.reshape(1)

    def learn(self, left_out: int) -> None:
        """Takes what `left_out` was, once it has come."""
        self._known = max(self._known, left_out)


def looking_after(args: tuple[Any, ...], kwargs: dict[str, Any], look: Callable[[], None]) -> Any:
    """Looks now, or where the optimizer's step is given a closure, after each of its calls.

    Returns:
        The step's new arguments; None for the old ones.
    """
    closure = kwargs.get("closure", args[1] if len(args) > 1 else None)
    if closure is None:
        look()
        return None

    def looked() -> Any:
        value = closure()
        with torch.no_grad():
            look()
        return value

    return (args, {**kwargs, "closure": looked}) if "closure" in kwargs else ((*args[:1], looked, *args[2:]), kwargs)


@final
class Reading:
    """Numbers on their way to the processor; a GPU goes on meanwhile."""

    def __init__(self, values: Tensor) -> None:
        self._values, self._arrived = values, None
        if values.device.type == "cuda":
            self._values = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
            self._values.copy_(values, non_blocking=True)
            self._arrived = torch.cuda.Event()
            self._arrived.record(torch.cuda.current_stream(values.device))  # the copy's, whichever device is current

    def is_there(self) -> bool:
        """Says whether `values` waits for nothing."""
        return self._values.device.type == "cpu" if self._arrived is None else self._arrived.query()

    def values(self) -> list[float]:
        """Returns the numbers, once they are there."""
        if self._arrived is not None:
            self._arrived.synchronize()
        return self._values.tolist()
