"""Which steps a watch counts, and when it reads numbers that come late, as from a GPU."""

import math
from collections.abc import Iterator, Sequence

import pytest
import torch
from tests.diagnostics.test_watch import inputs, sgd, small, steps
from torch import nn

from residua.diagnostics import watch as watching
from residua.diagnostics.sampling import Count
from residua.diagnostics.watch import Watch


class Late:
    """Numbers that come as late as those of a GPU: not before somebody waits, or ``there`` says that they have come."""

    there = False

    def __init__(self, values: torch.Tensor) -> None:
        self._values = values.tolist()

    def is_there(self) -> bool:
        return self.there

    def values(self) -> list[float]:
        return self._values


@pytest.fixture
def late(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Stands in for a GPU."""
    monkeypatch.setattr(watching, "Reading", Late)
    return monkeypatch


def test_numbers_that_come_late_are_waited_for_at_the_next_sample_or_at_a_checkpoint(late):
    module, seen = small(), []
    optimizer = sgd(module)
    watch = Watch(module, optimizer, every=4, told=seen.append).__enter__()
    steps(module, optimizer, 4)
    assert seen == []
    steps(module, optimizer, 1)
    assert [sample.step for sample in seen] == [1]
    optimizer.state_dict()
    assert [sample.step for sample in seen] == [1, 5]
    steps(module, optimizer, 4)
    watch.end()
    assert [sample.step for sample in seen] == [1, 5, 9]
    assert not optimizer._optimizer_state_dict_pre_hooks


def test_numbers_that_have_come_are_read_at_the_next_step(late):
    module, seen = small(), []
    optimizer = sgd(module)
    Watch(module, optimizer, every=4, told=seen.append).__enter__()
    steps(module, optimizer, 2)
    late.setattr(Late, "there", True)
    steps(module, optimizer, 1)
    assert [sample.step for sample in seen] == [1]


def scaled_steps(module: nn.Module, optimizer: torch.optim.Optimizer, overflows: Sequence[bool]) -> Iterator[None]:
    """A loop of anybody under a gradient scaler, of which some steps overflow."""
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    for step, overflow in enumerate(overflows):
        optimizer.zero_grad()
        loss = (math.inf if overflow else 1.0) * module(inputs(step)).square().mean()
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        yield


@pytest.mark.parametrize("fused", [False, True])
def test_steps_that_a_scaler_leaves_out_are_not_counted_in_anybodys_loop(fused):
    module = small()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1, fused=fused)
    with Watch(module, optimizer, every=1) as each, Watch(module, optimizer, every=3) as third:
        for _ in scaled_steps(module, optimizer, [True, True, False, False, True, True, False, False, False]):
            pass
    assert [sample.step for sample in each.samples] == [1, 2, 3, 4, 5]
    assert [sample.step for sample in third.samples] == [1, 4]


@pytest.mark.parametrize("fused", [False, True])
def test_steps_that_a_scaler_leaves_out_count_where_the_training_says_so(fused):
    module, ended = small(), [0]
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1, fused=fused)
    with Watch(module, optimizer, every=2, taken=lambda: ended[0]) as watch:
        for _ in scaled_steps(module, optimizer, [True, True, False, False, True, False, False]):
            ended[0] += 1
    assert [sample.step for sample in watch.samples] == [3, 7]


def test_steps_left_out_are_counted_without_waiting_and_their_number_comes_late():
    """On the device ``meta``, which like a GPU says nothing now."""
    optimizer, count = sgd(small()), Count()
    for found in (1.0, 0.0, 1.0):
        optimizer.found_inf = torch.full((1,), found, device="meta")  # type: ignore[attr-defined]
        count.add(optimizer)
    assert count.left_out(torch.device("meta")).shape == (1,)
    assert (count.called, count.taken) == (3, 3)
    count.learn(2)
    assert count.taken == 1


def test_a_number_of_steps_left_out_that_comes_late_corrects_the_samples(late):
    """The steps left out are known at the reading alone, as on a GPU."""
    late.setattr(Count, "add", count_as_on_a_gpu)
    module = small()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1, fused=True)
    with Watch(module, optimizer, every=1) as watch:
        for _ in scaled_steps(module, optimizer, [True, True, False, False, True, False]):
            pass
    assert [sample.step for sample in watch.samples] == [1, 2, 3]


def count_as_on_a_gpu(count: Count, optimizer: torch.optim.Optimizer) -> None:
    """`Count.add`, without what a processor knows at once."""
    count.called += 1
    left_out = (optimizer.found_inf > 0).sum()  # type: ignore[attr-defined]
    count._left_out = left_out if count._left_out is None else count._left_out + left_out
