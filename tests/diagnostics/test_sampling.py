"""What a watch asks of tensors at a sampled step, where a processor can show it: nothing waits for a GPU."""

from collections.abc import Callable
from typing import Any
from unittest.mock import Mock

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from residua.diagnostics import watch as watching
from residua.diagnostics.sampling import Reading, amp_state, norms
from residua.diagnostics.watch import Watch

META = torch.device("meta")
"""Stands for a GPU: no processor, and nothing can be read from it."""


class Devices(TorchDispatchMode):
    """Notes the devices on which tensors are made."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        made = func(*args, **(kwargs or {}))
        self.seen |= {one.device.type for one in tree_leaves(made) if isinstance(one, Tensor)}
        return made


class Unread:
    """Numbers that nobody reads."""

    def __init__(self, values: Tensor) -> None: ...

    def is_there(self) -> bool:
        return False


@pytest.mark.parametrize("arrives", [True, False])
def test_a_sample_makes_no_tensor_on_the_processor_which_a_gpu_would_be_waited_for(monkeypatch, arrives):
    monkeypatch.setattr(watching, "Reading", Unread)
    module = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4)).to(META)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    Watch(module, optimizer, every=2).__enter__()
    if arrives:
        module(torch.ones(2, 3, device=META)).sum().backward()
    with Devices() as devices:
        optimizer.step()
    assert devices.seen == {"meta"}


def test_where_nothing_is_there_its_norms_and_scale_are_on_the_device():
    module = nn.Linear(2, 2, device=META)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    assert [norms(tensors, META).device for tensors in ([], [None, None], [module.weight, None])] == [META] * 3
    assert [one.device for one in amp_state(optimizer, META)] == [META] * 2
    assert norms([torch.tensor([3.0, 4.0]), None], torch.device("cpu")).tolist() == [5.0, 0.0]


def test_a_scaler_that_saw_no_gradient_sets_no_tensor():
    """torch sums the overflows of no device at all to the number 0."""
    optimizer = torch.optim.SGD(nn.Linear(2, 2).parameters(), lr=0.1, fused=True)
    optimizer.found_inf, optimizer.grad_scale = 0, torch.tensor(8.0)  # type: ignore[attr-defined]
    assert [one.tolist() for one in amp_state(optimizer, torch.device("cpu"))] == [[8.0], [0.0]]


def test_a_reading_waits_for_the_copy_on_its_own_device_whichever_is_current(monkeypatch):
    """Two GPUs are stood in for: the event belongs on the second one's stream, where the copy is."""
    values, event = Mock(spec=Tensor, device=torch.device("cuda:1"), shape=(1,), dtype=torch.float64), Mock()
    monkeypatch.setattr(torch, "empty", Mock())
    monkeypatch.setattr(torch.cuda, "Event", lambda: event)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device=None: f"stream of {device or 'cuda:0'}")
    Reading(values)
    event.record.assert_called_once_with("stream of cuda:1")
