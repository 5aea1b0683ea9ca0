from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from residua.data.augment import AugmentSpec
from residua.data.dataset import Part, Preprocessing
from residua.data.loader import Batch, BatchPlan, batches, evaluation_batches
from residua.errors import BadSetting

CPU = torch.device("cpu")
PLAN = BatchPlan(batch_size=6, seed=3, epoch=2, augment=AugmentSpec(crop_padding=2, flip="random"))


def drawn(part: Part, plan: BatchPlan, plain: Callable[..., Preprocessing]) -> list[Batch]:
    return list(batches(part, plan=plan, device=CPU, preprocessing=plain()))


def test_an_epoch_sees_every_image_once(numbered: Callable[..., Part], plain: Callable[..., Preprocessing]):
    found = drawn(numbered(20), replace(PLAN, drop_last=False), plain)
    assert [len(batch.labels) for batch in found] == [6, 6, 6, 2]
    assert sorted(torch.cat([batch.indices for batch in found]).tolist()) == list(range(20))


def test_a_small_last_batch_can_be_left_out_but_never_the_only_one(
    numbered: Callable[..., Part], plain: Callable[..., Preprocessing]
):
    assert [len(batch.labels) for batch in drawn(numbered(20), PLAN, plain)] == [6, 6, 6]
    assert [len(batch.labels) for batch in drawn(numbered(4), PLAN, plain)] == [4]


@pytest.mark.parametrize(("images", "drop", "steps"), [(20, True, 3), (20, False, 4), (18, False, 3), (4, True, 1)])
def test_the_steps_of_an_epoch_are_counted(images: int, drop: bool, steps: int):
    assert replace(PLAN, drop_last=drop).steps(images) == steps


@pytest.mark.parametrize("first", [1, 3, 4])
def test_an_epoch_taken_up_again_goes_on_identically(
    numbered: Callable[..., Part], plain: Callable[..., Preprocessing], first: int
):
    plan = replace(PLAN, drop_last=False)
    whole = drawn(numbered(20), plan, plain)[first:]
    rest = drawn(numbered(20), replace(plan, first_step=first), plain)
    assert [batch.step for batch in rest] == list(range(first, 4))
    for one, other in zip(whole, rest, strict=True):
        assert torch.equal(one.images, other.images)
        assert torch.equal(one.indices, other.indices)
        assert torch.equal(one.labels, other.labels)


@pytest.mark.parametrize("change", [{"seed": 4}, {"epoch": 3}])
def test_the_order_is_of_the_seed_and_the_epoch(
    numbered: Callable[..., Part], plain: Callable[..., Preprocessing], change: dict[str, int]
):
    orders = [
        torch.cat([batch.indices for batch in drawn(numbered(20), plan, plain)])
        for plan in (PLAN, PLAN, replace(PLAN, **change))
    ]
    assert torch.equal(orders[0], orders[1])
    assert not torch.equal(orders[0], orders[2])


def test_labels_and_images_stay_together(numbered: Callable[..., Part], plain: Callable[..., Preprocessing]):
    part = numbered(20)
    for batch in drawn(part, replace(PLAN, augment=AugmentSpec()), plain):
        assert torch.equal(batch.labels, part.labels[batch.indices])
        assert torch.equal((batch.images * 255).round().to(torch.uint8), part.images[batch.indices])
        assert batch.images.is_contiguous(memory_format=torch.channels_last)


def test_batches_do_not_depend_on_the_memory_layout(numbered: Callable[..., Part], plain: Callable[..., Preprocessing]):
    part = numbered(20)
    pixels = replace(part, images=part.images.contiguous(memory_format=torch.channels_last))
    for one, other in zip(drawn(part, PLAN, plain), drawn(pixels, PLAN, plain), strict=True):
        assert torch.equal(one.images, other.images)


def test_ranks_share_each_batch(numbered: Callable[..., Part], plain: Callable[..., Preprocessing]):
    """Rank r of k has images r, r + k, … of the batch that one process would see."""
    plan = replace(PLAN, drop_last=False)
    whole = drawn(numbered(20), plan, plain)
    for rank in range(2):
        for alone, shared in zip(whole, drawn(numbered(20), replace(plan, rank=rank, ranks=2), plain), strict=True):
            assert torch.equal(shared.images, alone.images[rank::2])
            assert torch.equal(shared.labels, alone.labels[rank::2])


def test_evaluation_sees_every_image_once_in_order(numbered: Callable[..., Part], plain: Callable[..., Preprocessing]):
    part = numbered(20)
    found = list(evaluation_batches(part, batch_size=6, device=CPU, preprocessing=plain()))
    assert [len(batch.labels) for batch in found] == [6, 6, 6, 2]
    assert torch.equal(torch.cat([batch.indices for batch in found]), torch.arange(20))
    assert torch.equal(torch.cat([batch.labels for batch in found]), part.labels)
    images = torch.cat([batch.images for batch in found])
    assert torch.equal((images * 255).round().to(torch.uint8), part.images)


@pytest.mark.parametrize(
    ("change", "said"),
    [({"batch_size": 0}, "batch_size is 0"), ({"first_step": -1}, "first_step"), ({"rank": 1}, "rank is 1")],
)
def test_a_plan_that_means_nothing_is_refused(change: dict[str, int], said: str):
    with pytest.raises(BadSetting, match=said):
        replace(PLAN, **change)
