"""N processes take the steps of one, in float32, over 20 steps to 1e-5."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from tests.distributed.processes import Ended, together
from torch import Tensor
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from residua import evaluation
from residua.data.augment import AugmentSpec
from residua.data.dataset import Dataset, Part, Preprocessing
from residua.data.loader import BatchPlan, batches
from residua.networks.network import ResidualNetwork, build
from residua.networks.spec import NetworkSpec, small_stem
from residua.training.distributed import ALONE, Team, depends_on_shares, joined
from residua.training.loop import Course, forward_of, take_steps
from residua.training.optimizers import optimizer_for
from residua.training.recipe import Optimizer, Recipe
from residua.training.schedules import Schedule
from residua.training.state import State

CPU = torch.device("cpu")
BATCH, STEPS, EPOCHS = 10, 10, 2
"""Ten images are 5 + 5 for two processes and 3 + 3 + 2 + 2 for four: shares that are not alike."""
GROUPED = NetworkSpec(stem=small_stem(4), blocks=(1, 1), widths=(4, 8), in_channels=1, classes=3, norm="group")
NETWORKS = {
    "group norm": GROUPED,
    "no norm": replace(GROUPED, norm="none", norm_on_projection=False, initialization="fixup"),
    "stochastic depth": replace(GROUPED, blocks=(2, 2), last_survival=0.3),
    "batch norm": replace(GROUPED, norm="batch"),
}
RECIPE = Recipe(
    name="test",
    batch_size=BATCH,
    label_smoothing=0.1,
    optimizer=Optimizer(learning_rate=0.1, weight_decay=0.01),
    schedule=Schedule(kind="cosine", warmup_fraction=0.25),
    gradient_clip_norm=1.0,
)
AUGMENT = AugmentSpec(crop_padding=2, flip="random")
RECIPES = dict.fromkeys(NETWORKS, RECIPE) | {
    "checkpointed": replace(RECIPE, checkpoint_activations=True),
    "in micro-batches": replace(RECIPE, micro_batches=2),
}


def noise() -> Dataset:
    """Three classes of grey noise, each brighter than the one before."""
    draws = torch.Generator().manual_seed(0)
    labels = torch.arange(104) % 3
    images = torch.randint(0, 150, (104, 1, 8, 8), dtype=torch.uint8, generator=draws)
    images += (30 * labels).to(torch.uint8)[:, None, None, None]
    train = Part(name="train", images=images, labels=labels, files=tuple(map(str, range(104))))
    look = Preprocessing(image_size=(8, 8), channels=1, mean=(0.5,), std=(0.25,))
    return Dataset(source="noise", classes=("a", "b", "c"), parts=(train,), preprocessing=look)


def begun(name: str, team: Team) -> tuple[Course, State]:
    """A course whose network is drawn differently on each rank: rank 0's is what all of them start from."""
    network, recipe = build(NETWORKS.get(name, GROUPED), seed=team.rank), RECIPES[name]
    course = Course(
        dataset=noise(),
        recipe=recipe,
        augment=AUGMENT,
        batch_size=BATCH,
        epochs=EPOCHS,
        seed=3,
        device=CPU,
        precision="float32",
        forward=forward_of(network, recipe, team),
        team=team,
    )
    return course, State(network=network, optimizer=optimizer_for(network, recipe.optimizer))


def trained(name: str, team: Team) -> dict[str, Any]:
    """Weights after 20 steps, the last epoch's counts, and what the network then says of the first images."""
    course, state = begun(name, team)
    for _ in range(EPOCHS):
        state.begin_next_epoch() if state.position.step else None
        assert list(take_steps(course, state)) == [BATCH] * STEPS
    position, network = state.position, state.network.eval()
    part, look = course.dataset.train, course.dataset.preprocessing
    logits = [team.evaluate(network, part.only(torch.arange(n)), look, device=CPU).logits for n in (3, 7)]
    return {
        "weights": {name: value.detach().clone() for name, value in network.state_dict().items()},
        "counts": (position.loss_sum, position.correct, position.seen),
        "logits": logits,
    }


def in_this_process() -> dict[str, dict[str, Any]]:
    with joined() as team:
        return {name: trained(name, team) for name in RECIPES}


@pytest.fixture(scope="module", params=[2, 4])
def ended(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Ended:
    return together(request.param, in_this_process, folder=tmp_path_factory.mktemp("equality"))


def averaged_in_a_step() -> int:
    """Returns how often gradients are sent in a step of two micro-batches; they fit one message."""
    with joined() as team:
        course, state = begun("in micro-batches", team)
        assert isinstance(course.forward, DistributedDataParallel)
        averaged = []

        def average(group, bucket):  # DDP reads what is annotated
            averaged.append(bucket)
            return allreduce_hook(group, bucket)

        course.forward.register_comm_hook(dist.group.WORLD, average)
        next(take_steps(course, state))
        return len(averaged)


def test_micro_batches_are_averaged_together(tmp_path: Path):
    assert together(2, averaged_in_a_step, folder=tmp_path).gave == [1, 1]


def furthest(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> float:
    return max(float((value.double() - theirs[name].double()).abs().max()) for name, value in ours.items())


@pytest.mark.parametrize("name", [name for name in RECIPES if name != "batch norm"])
def test_without_batch_norm_n_processes_are_one(ended: Ended, name: str):
    """The same weights, losses and counts on every rank as in one process, whatever each draws at the start."""
    alone = trained(name, ALONE)
    assert furthest(alone["weights"], build(NETWORKS.get(name, GROUPED), seed=0).state_dict()) > 1e-2
    for gave in ended.gave:
        assert furthest(gave[name]["weights"], alone["weights"]) < 1e-5
        assert gave[name]["counts"] == pytest.approx(alone["counts"], abs=1e-4)


def accumulated(ranks: int) -> ResidualNetwork:
    """One process that takes a batch in as many micro-batches as there are ranks, and keeps the first's statistics."""
    network, data = build(NETWORKS["batch norm"], seed=0).train(), noise()
    optimizer, step = optimizer_for(network, RECIPE.optimizer), 0
    for epoch in range(1, EPOCHS + 1):
        plans = [
            BatchPlan(batch_size=BATCH, seed=3, epoch=epoch, augment=AUGMENT, rank=r, ranks=ranks) for r in range(ranks)
        ]
        walks = [batches(data.train, plan=plan, device=CPU, preprocessing=data.preprocessing) for plan in plans]
        for shares in zip(*walks, strict=True):
            for group in optimizer.param_groups:
                group["lr"] = 0.1 * RECIPE.schedule.at(step, EPOCHS * STEPS)
            optimizer.zero_grad()
            for rank, share in enumerate(shares):
                kept = {name: buffer.clone() for name, buffer in network.named_buffers()}
                loss = functional.cross_entropy(
                    network(share.images), share.labels, label_smoothing=0.1, reduction="sum"
                )
                (loss / BATCH).backward()
                if rank > 0:
                    network.load_state_dict(kept, strict=False)
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            step += 1
    return network


def test_with_batch_norm_n_processes_are_one_that_accumulates_their_shares(ended: Ended):
    """Weights of the accumulating process, and running statistics of the first share, on every rank."""
    reference = accumulated(len(ended.gave))
    alone = trained("batch norm", ALONE)["weights"]
    assert any(isinstance(layer, _BatchNorm) for layer in reference.modules())
    for gave in ended.gave:
        assert furthest(gave["batch norm"]["weights"], dict(reference.state_dict())) < 1e-5
        assert furthest(gave["batch norm"]["weights"], alone) > 1e-3


@pytest.mark.parametrize("name", RECIPES)
def test_an_evaluation_asks_about_each_image_once(ended: Ended, name: str):
    """In the part's order on every rank, also where there are fewer images than ranks."""
    data = noise()
    for gave in ended.gave:
        network = build(NETWORKS.get(name, GROUPED), seed=0)
        network.load_state_dict(gave[name]["weights"])
        for logits, n in zip(gave[name]["logits"], (3, 7), strict=True):
            whole = evaluation.evaluate(network, data.train.only(torch.arange(n)), data.preprocessing, device=CPU)
            assert logits.shape == (n, 3)
            assert torch.allclose(logits, whole.logits, atol=1e-5)


def test_what_depends_on_how_a_batch_is_shared_is_named():
    """Batch norm does, unless it is synchronised, and dropout; stochastic depth draws once for each micro-batch."""

    def said(spec: NetworkSpec, *, synchronised: bool = False, uneven: bool = False) -> str:
        return depends_on_shares(build(spec, seed=0), synchronised=synchronised, uneven=uneven)

    told = {name: said(spec) for name, spec in NETWORKS.items()}
    assert told == {"group norm": "", "no norm": "", "stochastic depth": "", "batch norm": "batch norm"}
    assert said(NETWORKS["batch norm"], synchronised=True) == ""
    assert said(replace(GROUPED, shortcut="dropout", shortcut_dropout=0.5)) == "dropout"
    assert "stochastic depth" in said(NETWORKS["stochastic depth"], uneven=True)
    assert said(NETWORKS["group norm"], uneven=True) == ""


def test_compiling_comes_after_sharing(tmp_path: Path):
    """torch.compile cuts its graphs where DDP sends gradients only if it is given the network that DDP wrapped."""
    gave = together(2, compiled_over, folder=tmp_path).gave
    assert gave == ["DistributedDataParallel"] * 2


def compiled_over() -> str:
    with joined() as team:
        forward: Any = forward_of(build(GROUPED, seed=0), replace(RECIPE, compile=True), team)
        return type(forward._orig_mod).__name__
