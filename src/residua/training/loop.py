"""The training loop: one epoch is a walk over its batches, one step is forward, backward, update.

It knows no files and no terminal: `fit` gives it what to do between steps and between epochs.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.dropout import _DropoutNd

from residua import machine
from residua.data.augment import AugmentSpec, seed_for
from residua.data.dataset import Dataset
from residua.data.loader import Batch, BatchPlan, batches
from residua.data.mixing import MixSpec, mix
from residua.errors import NonFiniteLoss
from residua.machine import Precision
from residua.networks.blocks import StochasticDepth
from residua.networks.checkpointing import checkpointed
from residua.networks.network import ResidualNetwork
from residua.networks.shortcuts import DropoutShortcut
from residua.training.averaging import update
from residua.training.distributed import ALONE, Team, not_averaged
from residua.training.recipe import Recipe
from residua.training.state import State

_READ_EVERY_ON_GPU = 16  # reading the loss waits for the device
_ONLY_THE_LOSS = "the loss itself"


@final
@dataclass(frozen=True, kw_only=True)
class Course:
    """What stays the same from the first step of a run to its last."""

    dataset: Dataset
    recipe: Recipe
    augment: AugmentSpec
    batch_size: int
    """Examples per optimizer step, at most the whole training part."""
    epochs: int
    seed: int
    device: torch.device
    precision: Precision
    """Arithmetic of convolutions and the linear layer; weights stay float32."""
    class_weights: Tensor | None = None
    """What an example of each class counts in the loss, [k]; None counts all alike."""
    forward: Callable[[Tensor], Tensor]
    """The network, or its compiled form."""
    team: Team = ALONE
    """The processes that share each batch."""
    rates: tuple[float, ...] | None = None
    """The learning rate of each step, in place of the recipe's: of a range test."""

    @property
    def mix(self) -> MixSpec:
        """Returns how the recipe mixes the images of a batch."""
        return MixSpec(mixup=self.recipe.mixup, cutmix=self.recipe.cutmix)

    @property
    def steps_per_epoch(self) -> int:
        """Returns the steps of one epoch; a last batch below the batch size is left out of that epoch."""
        return len(self.dataset.train.labels) // self.batch_size

    def learning_rate(self, step: int) -> float:
        """Returns the learning rate at a step of the run, from 0; single tensors may have a multiple of it."""
        if self.rates is not None:
            return self.rates[step]
        return self.recipe.optimizer.learning_rate * self.recipe.schedule.at(step, self.steps)

    @property
    def steps(self) -> int:
        """Returns the steps of the whole run."""
        return self.epochs * self.steps_per_epoch


def take_steps(course: Course, state: State) -> Iterator[int]:
    """Takes the steps that are left of the epoch in ``state.position``, and yields each one's images after it.

    With several processes each computes its share of a batch; the images are those of all of them.

    Raises:
        NonFiniteLoss: At the first step whose loss is no finite number; on a processor, where the loss is
            read at every step, that step changes no weight.
    """
    state.network.train()
    position, data = state.position, course.dataset
    _rest_stem(course, state)
    plan = BatchPlan(
        batch_size=course.batch_size,
        seed=course.seed,
        epoch=position.epoch,
        first_step=position.step,
        augment=course.augment,
        drop_last=True,
        rank=course.team.rank,
        ranks=course.team.ranks,
    )
    draws = _draws(state.network)
    began = time.perf_counter()
    for batch in batches(data.train, plan=plan, device=course.device, preprocessing=data.preprocessing):
        with _drawing(course, batch.step, position.epoch) if draws else nullcontext():
            _step(course, state, batch)
        position.step += 1
        position.total_steps += 1
        now = time.perf_counter()
        position.training_seconds += now - began
        position.seconds += now - began
        yield course.batch_size
        began = time.perf_counter()


def _rest_stem(course: Course, state: State) -> None:
    """Lets the stem learn no more where the recipe says so of this epoch."""
    last, network = course.recipe.stem_epochs, state.network
    if last is not None and state.position.epoch > last and isinstance(network, ResidualNetwork):
        network.freeze("stem" if network.frozen == "none" else network.frozen)


def _draws(network: nn.Module) -> bool:
    """Says whether the network draws random numbers while it trains."""
    return any(isinstance(layer, (StochasticDepth, DropoutShortcut, _DropoutNd)) for layer in network.modules())


@contextmanager
def _drawing(course: Course, step: int, epoch: int) -> Iterator[None]:
    """Makes the network's own draws a function of (seed, epoch, step), and leaves the global state alone."""
    devices = [course.device] if course.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed_for("network", course.seed, epoch, step))
        yield


def forward_of(network: nn.Module, recipe: Recipe, team: Team = ALONE) -> Callable[[Tensor], Tensor]:
    """Returns the forward pass that a recipe trains with: compiled, keeping few activations, or the network itself.

    What is compiled knows of the other processes: ``torch.compile`` then cuts its graphs where gradients are sent.
    """
    if recipe.checkpoint_activations and isinstance(network, ResidualNetwork):
        return team.spread(network, checkpointed(network))
    forward = team.spread(network, synchronised=recipe.synchronised_norm)
    return torch.compile(forward) if recipe.compile else forward


def _step(course: Course, state: State, batch: Batch) -> None:
    """Takes one optimizer step: schedule, forward, backward, clip, update."""
    rate = course.learning_rate(state.position.total_steps)
    for group in state.optimizer.param_groups:
        group["lr"] = rate * group["rate_scale"]
    loss, correct = _backward(course, state, batch)
    state.unread.append((loss, correct))
    every = _READ_EVERY_ON_GPU if course.device.type == "cuda" else 1
    if len(state.unread) >= every or state.position.step + 1 == course.steps_per_epoch:
        read_losses(course, state, batch.images, step=state.position.total_steps + 1)
    if course.recipe.gradient_clip_norm is not None:
        state.scaler.unscale_(state.optimizer)
        nn.utils.clip_grad_norm_(state.network.parameters(), course.recipe.gradient_clip_norm)
    state.scaler.step(state.optimizer)
    state.scaler.update()
    state.optimizer.zero_grad(set_to_none=True)
    if state.average is not None:
        averaging = course.recipe.averaging
        update(state.average, state.network, averaging, step=state.position.total_steps + 1, steps=course.steps)


def _backward(course: Course, state: State, batch: Batch) -> tuple[Tensor, Tensor]:
    """Adds the step's gradient; returns what this process's images add to its mean loss, and how many were right.

    Gradients of micro-batches, each weighted by its share of all images of the step, add up to that of the whole batch;
    over the ranks it is averaged once, hence times their number. Of mixed images the larger share has the right label.
    """
    images, labels, mixed, epoch = batch.images, batch.labels, None, state.position.epoch
    if course.mix != MixSpec():
        mixed = mix(images, labels, course.mix, seed=course.seed, epoch=epoch, step=batch.step)
        images = images if mixed is None else mixed.images
    losses, right = [], []
    count = min(course.recipe.micro_batches, course.batch_size // course.team.ranks)  # the same on every rank
    parts = torch.arange(len(labels)).tensor_split(count)
    for part in parts:
        here = slice(int(part[0]), int(part[-1]) + 1)
        with nullcontext() if part is parts[-1] else not_averaged(course.forward):
            with machine.computing_in(course.precision, course.device):
                logits = course.forward(images[here])
            logits, seen = logits.float(), labels[here]
            loss = _loss(course, logits, seen)
            if mixed is not None:
                loss = mixed.share * loss + (1 - mixed.share) * _loss(course, logits, mixed.partners[here])
                seen = seen if mixed.share >= 0.5 else mixed.partners[here]
            loss = loss * (len(seen) / course.batch_size)
            state.scaler.scale(loss * course.team.ranks).backward()
        losses.append(loss.detach())
        right.append((logits.detach().argmax(1) == seen).sum())
    return torch.stack(losses).sum(), torch.stack(right).sum()


def _loss(course: Course, logits: Tensor, labels: Tensor) -> Tensor:
    """Returns the cross-entropy, mean over the examples; class weights have mean 1 over the training part.

    An example's whole loss counts by its own class. torch's ``weight`` would count the smoothed part of the target by
    the other classes' weights, so that a rare class draws everything to itself.
    """
    smoothing, weights = course.recipe.label_smoothing, course.class_weights
    if weights is None:
        return functional.cross_entropy(logits, labels, label_smoothing=smoothing)
    return (
        weights[labels] * functional.cross_entropy(logits, labels, label_smoothing=smoothing, reduction="none")
    ).mean()


def balanced(dataset: Dataset) -> Tensor:
    """Returns each class's weight n / (k · n of the class) over the training part; 0 for a class without images."""
    labels, classes = dataset.train.labels, len(dataset.classes)
    counts = torch.bincount(labels, minlength=classes).float()
    return torch.where(counts > 0, len(labels) / (classes * counts.clamp(min=1)), 0.0)


def read_losses(course: Course, state: State, images: Tensor | None, *, step: int) -> None:
    """Adds the losses not yet read to the epoch's sums; a GPU keeps some back, for reading one waits for it.

    Args:
        course: What stays the same.
        state: Its ``unread`` losses are emptied.
        images: Of the newest step, which help to find where a bad value began; None where they are gone.
        step: The newest step, counted over the run.

    Raises:
        NonFiniteLoss: If one is no finite number.
    """
    losses = course.team.sums(torch.stack([loss for loss, _ in state.unread]).tolist() if state.unread else [])
    right = course.team.sums(torch.stack([correct for _, correct in state.unread]).tolist() if state.unread else [])
    first = step - len(losses) + 1
    for offset, loss in enumerate(losses):
        if loss - loss != 0:  # neither infinity nor NaN minus itself is 0
            where = _where_it_began(course, state, images)
            raise course.team.agreed(NonFiniteLoss(_non_finite(loss, first + offset, where, course.recipe)))
        state.position.loss_sum += course.batch_size * loss
    state.position.correct += round(sum(right))
    state.position.seen += course.batch_size * len(losses)
    state.unread.clear()


def _where_it_began(course: Course, state: State, images: Tensor | None) -> str:
    """Names the first bad value of the first process that has one."""
    if images is None:
        return "not looked for"
    with machine.computing_in(course.precision, course.device):
        found = course.team.gathered(first_bad_layer(state.network, images))
    return next((where for where in found if where != _ONLY_THE_LOSS), _ONLY_THE_LOSS)


def _non_finite(loss: float, step: int, where: str, recipe: Recipe) -> str:
    rate = recipe.optimizer.learning_rate
    return (
        f"the loss is {loss} at step {step} (first bad value: {where}); usual remedies: "
        f"--set optimizer.learning_rate={rate / 10:g}, --set gradient_clip_norm=1, --set precision=float32, "
        "or for a net without norm --set network.initialization=zero_last"
    )


def diverged(what: str, epoch: int, recipe: Recipe) -> NonFiniteLoss:
    """Returns what to raise where a weight or the loss of an evaluation is no finite number."""
    rate = recipe.optimizer.learning_rate
    return NonFiniteLoss(
        f"{what} after epoch {epoch}; usual remedies: "
        f"--set optimizer.learning_rate={rate / 10:g}, --set gradient_clip_norm=1, --set precision=float32"
    )


def first_bad_layer(network: nn.Module, images: Tensor) -> str:
    """Names the first tensor that is not finite: a weight, the images, or a layer's output in order of computation."""
    for name, parameter in network.named_parameters():
        if not parameter.isfinite().all():
            return f"the weight {name}"
    if not images.isfinite().all():
        return "the images"
    found: list[str] = []

    def watch(name: str) -> Callable[..., None]:
        def look(_module: nn.Module, _inputs: object, output: object) -> None:
            if isinstance(output, Tensor) and not output.isfinite().all():
                found.append(f"the output of {name}")

        return look

    leaves = [(name, module) for name, module in network.named_modules() if not any(module.children())]
    handles = [module.register_forward_hook(watch(name)) for name, module in leaves]
    try:
        with torch.no_grad():
            network(images)
    finally:
        for handle in handles:
            handle.remove()
    return found[0] if found else _ONLY_THE_LOSS
