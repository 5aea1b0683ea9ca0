from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from residua.data.augment import AugmentSpec
from residua.data.dataset import Dataset
from residua.data.loader import BatchPlan, batches
from residua.data.mixing import MixSpec, mix
from residua.errors import NonFiniteLoss
from residua.networks.network import build
from residua.networks.spec import NetworkSpec, small_stem
from residua.training.loop import Course, balanced, first_bad_layer, take_steps
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
        precision="float32",
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


def weights_after_an_epoch(dataset: Dataset, network: NetworkSpec = NETWORK, **changes: object) -> dict:
    recipe = replace(RECIPE, **changes)
    course, state = begin(dataset, recipe, network)
    course = replace(course, class_weights=balanced(dataset) if recipe.class_weights == "balanced" else None)
    list(take_steps(course, state))
    return state.network.state_dict()


WITHOUT_NORM = replace(NETWORK, norm="none", norm_on_projection=False)


@pytest.mark.parametrize("count", [2, 3, 16, 100])
def test_micro_batches_take_the_same_step_where_no_norm_sees_the_batch(stripes: Dataset, count: int):
    """Also where they do not divide the batch of 16, or are more than it has images."""
    whole = weights_after_an_epoch(stripes, WITHOUT_NORM)
    parts = weights_after_an_epoch(stripes, WITHOUT_NORM, micro_batches=count)
    torch.testing.assert_close(parts, whole, atol=1e-6, rtol=1e-5)


def test_a_batch_norm_sees_one_micro_batch_at_a_time(stripes: Dataset):
    assert weights_after_an_epoch(stripes, micro_batches=4)["stem.norm.num_batches_tracked"] == 8


def test_balanced_classes_count_alike(stripes: Dataset):
    """30 of one class and 10 of the other: weights 40/(2 · 30) and 40/(2 · 10), mean 1 over the examples."""
    labels = torch.tensor([0] * 30 + [1] * 10)
    skewed = replace(stripes, parts=(replace(stripes.train, labels=labels),))
    found = balanced(skewed)
    assert found.tolist() == pytest.approx([2 / 3, 2.0])
    assert float(found[labels].mean()) == pytest.approx(1.0)


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_class_weights_multiply_each_examples_loss(stripes: Dataset, smoothing: float):
    """A step's loss is Σ w(yᵢ)·ℓᵢ / n over its n images; torch's weighted mean divides by Σ w(yᵢ) instead.

    Of smoothed labels too: torch's weights would count their spread share by the other classes.
    """
    labels = torch.tensor([0] * 30 + [1] * 10)
    skewed = replace(stripes, parts=(replace(stripes.train, labels=labels),))
    plain = Optimizer(learning_rate=1.0, momentum=0.0, nesterov=False, weight_decay=0.0)
    constant = Schedule(kind="constant", warmup_fraction=0.0)
    course, state = begin(skewed, replace(RECIPE, label_smoothing=smoothing, optimizer=plain, schedule=constant))
    course = replace(course, class_weights=torch.tensor([2 / 3, 2.0]))
    reference = build(NETWORK, seed=0).train()
    plan = BatchPlan(batch_size=16, seed=0, epoch=1)
    batch = next(batches(skewed.train, plan=plan, device=CPU, preprocessing=skewed.preprocessing))
    weights = torch.where(batch.labels == 1, 2.0, 2 / 3)
    assert abs(weights.sum() - 16) > 1
    surprises = -reference(batch.images).log_softmax(1)
    losses = (1 - smoothing) * surprises[torch.arange(16), batch.labels] + smoothing * surprises.mean(1)
    expected = (weights * losses).sum() / 16
    expected.backward()
    next(take_steps(course, state))
    assert state.position.loss_sum / 16 == pytest.approx(expected.item(), rel=1e-5)
    for ours, theirs in zip(state.network.parameters(), reference.parameters(), strict=True):
        assert theirs.grad is not None
        torch.testing.assert_close(ours, theirs - theirs.grad, atol=1e-6, rtol=1e-5)


def test_balanced_weights_change_nothing_where_classes_are_even(stripes: Dataset):
    torch.testing.assert_close(
        weights_after_an_epoch(stripes, class_weights="balanced"), weights_after_an_epoch(stripes)
    )


def test_a_mixed_batch_has_the_two_losses_in_their_shares(stripes: Dataset):
    """λ·L(y) + (1 − λ)·L(partner) on the mixed images: the first step's loss, written out."""
    course, state = begin(stripes, replace(RECIPE, mixup=1.0))
    reference = build(NETWORK, seed=0).train()
    batch = next(
        batches(
            stripes.train,
            plan=BatchPlan(batch_size=16, seed=0, epoch=1),
            device=CPU,
            preprocessing=stripes.preprocessing,
        )
    )
    mixed = mix(batch.images, batch.labels, MixSpec(mixup=1.0), seed=0, epoch=1, step=0)
    assert mixed is not None
    logits = reference(mixed.images)
    own, partner = (functional.cross_entropy(logits, y, label_smoothing=0.1) for y in (batch.labels, mixed.partners))
    next(take_steps(course, state))
    expected = mixed.share * own + (1 - mixed.share) * partner
    assert state.position.loss_sum / 16 == pytest.approx(expected.item(), rel=1e-5)


def test_the_stem_rests_after_its_epochs(stripes: Dataset):
    course, state = begin(stripes, replace(RECIPE, stem_epochs=1))
    before = {name: tensor.clone() for name, tensor in state.network.state_dict().items()}
    list(take_steps(course, state))
    first = state.network.get_parameter("stem.convolution.weight").clone()
    assert not torch.equal(first, before["stem.convolution.weight"])
    state.begin_next_epoch()
    list(take_steps(course, state))
    assert torch.equal(state.network.get_parameter("stem.convolution.weight"), first)
    assert not torch.equal(state.network.get_parameter("head.weight"), before["head.weight"])
