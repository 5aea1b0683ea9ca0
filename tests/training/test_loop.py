from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from residua.data.augment import AugmentSpec
from residua.data.dataset import Dataset
from residua.data.loader import BatchPlan, batches
from residua.errors import NonFiniteLoss
from residua.networks.network import build
from residua.networks.spec import NetworkSpec, small_stem
from residua.training.loop import Course, first_bad_layer, take_steps
from residua.training.optimizers import optimizer_for
from residua.training.recipe import Optimizer, Recipe
from residua.training.schedules import Schedule
from residua.training.state import State

CPU = torch.device("cpu")
NETWORK = NetworkSpec(stem=small_stem(4), blocks=(1, 1), widths=(4, 8), in_channels=1, classes=2)
RECIPE = Recipe(
    name="test",
    batch_size=16,
    label_smoothing=0.1,
    optimizer=Optimizer(learning_rate=0.1, weight_decay=0.01),
    schedule=Schedule(kind="cosine", warmup_fraction=0.5),
)


def begin(dataset: Dataset, recipe: Recipe = RECIPE, network: NetworkSpec = NETWORK) -> tuple[Course, State]:
    module = build(network, seed=0)
    course = Course(
        dataset=dataset,
        recipe=recipe,
        augment=AugmentSpec(),
        batch_size=16,
        epochs=2,
        seed=0,
        device=CPU,
        bfloat16=False,
        forward=module,
    )
    return course, State(network=module, optimizer=optimizer_for(module, recipe.optimizer))


def test_an_epoch_is_the_textbooks_loop(stripes: Dataset):
    """The same weights as forward, smoothed cross-entropy, backward, SGD with Nesterov momentum, written out."""
    course, state = begin(stripes)
    assert list(take_steps(course, state)) == [16, 16]

    reference = build(NETWORK, seed=0).train()
    decayed = [p for p in reference.parameters() if p.ndim > 1]
    others = [p for p in reference.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": 0.01}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.SGD(groups, lr=0.1, momentum=0.9, nesterov=True)
    plan = BatchPlan(batch_size=16, seed=0, epoch=1)
    for step, batch in enumerate(batches(stripes.train, plan=plan, device=CPU, preprocessing=stripes.preprocessing)):
        for group in optimizer.param_groups:
            group["lr"] = 0.1 * RECIPE.schedule.at(step, 4)
        optimizer.zero_grad()
        functional.cross_entropy(reference(batch.images), batch.labels, label_smoothing=0.1).backward()
        optimizer.step()
    for ours, theirs in zip(state.network.parameters(), reference.parameters(), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-6)


def test_clipping_bounds_the_step(stripes: Dataset):
    """With plain SGD a step is the rate times the gradient, whose norm is then the bound."""
    plain = Optimizer(learning_rate=1.0, momentum=0.0, nesterov=False, weight_decay=0.0)
    clipped = replace(
        RECIPE, optimizer=plain, gradient_clip_norm=1e-3, schedule=Schedule(kind="constant", warmup_fraction=0.0)
    )
    course, state = begin(stripes, clipped)
    before = [p.detach().clone() for p in state.network.parameters()]
    next(take_steps(course, state))
    moved = [p.detach() - q for p, q in zip(state.network.parameters(), before, strict=True)]
    assert torch.cat([m.flatten() for m in moved]).norm() == pytest.approx(1e-3, rel=1e-3)


def test_the_counts_are_those_of_the_epoch(stripes: Dataset):
    course, state = begin(stripes)
    for _ in take_steps(course, state):
        pass
    assert (state.position.step, state.position.total_steps, state.position.seen) == (2, 2, 32)
    assert 0 <= state.position.correct <= 32
    assert 0 < state.position.loss_sum / 32 < 5


def test_a_loss_that_is_no_number_stops_at_its_step_before_any_weight_changes(stripes: Dataset):
    course, state = begin(stripes)
    walk = take_steps(course, state)
    next(walk)
    with torch.no_grad():
        state.network.get_parameter("head.weight").fill_(float("nan"))
    before = state.network.get_parameter("head.bias").detach().clone()
    with pytest.raises(NonFiniteLoss, match=r"nan at step 2 .*the weight head\.weight.*learning_rate=0\.01"):
        next(walk)
    assert torch.equal(state.network.get_parameter("head.bias"), before)


def test_the_first_layer_that_overflows_is_named(stripes: Dataset):
    network = build(NETWORK, seed=0).eval()
    with torch.no_grad():
        network.get_parameter("stages.0.0.residual.norm2.weight").fill_(3e38)
    images = stripes.preprocessing.normalise(stripes.train.images)
    assert first_bad_layer(network, 100 * images) == "the output of stages.0.0.residual.norm2"


def test_the_images_may_be_at_fault():
    images = torch.full((1, 1, 8, 8), float("inf"))
    assert first_bad_layer(build(NETWORK, seed=0), images) == "the images"
