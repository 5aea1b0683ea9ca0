"""Batch norms' statistics taken anew for the weights that a run evaluates and keeps."""

import contextlib
import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.training.conftest import TINY
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import update_bn

from residua import artifact, evaluation
from residua.errors import BadSetting
from residua.networks.network import ResidualNetwork
from residua.networks.recalibration import batch_norms, recalibrated
from residua.training import fit as fitting
from residua.training.fit import Fitted
from residua.training.plan import plan
from residua.training.recalibration import settled
from residua.training.recipe import recipe
from residua.training.sitting import Sitting
from residua.training.spec import TrainSpec

RUNNING = ("running_mean", "running_var")
ASKED = TrainSpec(network=TINY, epochs=2, settings=("precision=float32", "averaging.kind=lookahead"))
IMAGES = 600


def with_images(asked: TrainSpec, images: int = IMAGES) -> TrainSpec:
    return replace(asked, settings=(*asked.settings, f"recalibration_images={images}"))


def fitted(asked: TrainSpec, out: Path) -> Fitted:
    return fitting.fit(plan(asked), out=out)


def parts_of(found: Fitted) -> tuple[Tensor, ...]:
    """The images that the statistics are taken from, as many at a time."""
    dataset = found.plan.dataset
    return dataset.drawn(dataset.train, IMAGES, seed=found.plan.asked.seed)[0].tensor_split(3)


def test_statistics_are_those_of_the_weights_that_are_kept(tmp_path: Path):
    """Of the first norm written out, of all as torch's own `update_bn` takes them from the same images."""
    found = fitted(with_images(ASKED), tmp_path / "run")
    network, parts = found.network, parts_of(found)
    first, norm = network.stem.get_submodule("convolution"), network.stem.get_submodule("norm")
    maps = [functional.conv2d(part, first.get_parameter("weight"), padding=1) for part in parts]
    mean = torch.stack([one.mean((0, 2, 3)) for one in maps]).mean(0)
    variance = torch.stack([one.var((0, 2, 3), unbiased=True) for one in maps]).mean(0)
    torch.testing.assert_close(norm.get_buffer("running_mean"), mean)
    torch.testing.assert_close(norm.get_buffer("running_var"), variance)
    ours = copy.deepcopy(network.state_dict())
    update_bn(parts, network)
    theirs = network.state_dict()
    for name in ours:
        if not name.endswith("num_batches_tracked"):
            torch.testing.assert_close(ours[name], theirs[name])
    assert ours["stem.norm.num_batches_tracked"] == found.record.epochs()[-1]["step"]


@pytest.mark.parametrize("choose", ["best", "last"])
def test_what_a_run_learns_stays_the_same(tmp_path: Path, choose: str):
    """Only statistics and what is said of them change: not one step, and no weight of the last epoch."""
    asked = replace(ASKED, settings=(*ASKED.settings, f"choose={choose}", "checkpoint_seconds=0"))
    plain, anew = (fitted(one, tmp_path / name) for name, one in (("a", asked), ("b", with_images(asked))))
    losses = [[row["train_loss"] for row in one.record.epochs()] for one in (plain, anew)]
    assert losses[0] == losses[1]
    assert plain.record.epochs()[0]["validation_loss"] != anew.record.epochs()[0]["validation_loss"]
    if choose == "last":
        theirs = anew.network.state_dict()
        for name, value in plain.network.state_dict().items():
            assert torch.equal(value, theirs[name]) == (not name.endswith(RUNNING)), name


@pytest.mark.parametrize("kind", ["none", "ema"])
def test_a_run_says_what_the_weights_say_that_it_keeps(tmp_path: Path, kind: str):
    """The chosen epoch's validation loss is that of the network in the artifact, asked again."""
    asked = replace(ASKED, epochs=3, settings=("precision=float32", f"averaging.kind={kind}", "averaging.decay=0.9"))
    found = fitted(with_images(asked), tmp_path / "run")
    chosen = found.record.read("result")["chosen"]["epoch"]
    part, network = found.plan.dataset.validation, artifact.load(found.record.model).network()
    assert part is not None
    again = evaluation.evaluate(network, part, found.plan.dataset.preprocessing, device=torch.device("cpu"))
    assert found.record.epochs()[chosen - 1]["validation_loss"] == pytest.approx(again.loss, rel=1e-5)


def settling(spec: TrainSpec, frozen: str = "none") -> tuple[ResidualNetwork, Sitting]:
    sitting = Sitting.begin(plan(spec), ())
    sitting.network.freeze(frozen)
    return sitting.network, sitting


def test_what_was_there_comes_back():
    """Statistics, momenta and modes, also where the evaluation fails; and nothing is drawn."""
    network, sitting = settling(with_images(replace(ASKED, network=replace(TINY, last_survival=0.5))))
    network.train()
    network(torch.randn(64, 1, 8, 8))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    modes, states = [one.training for one in network.modules()], torch.get_rng_state()
    with contextlib.suppress(KeyboardInterrupt), settled(network, sitting.course):
        assert not torch.equal(network.state_dict()["stem.norm.running_mean"], before["stem.norm.running_mean"])
        assert not any(one.training for one in network.modules())
        raise KeyboardInterrupt
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert [one.training for one in network.modules()] == modes
    assert {norm.momentum for norm in batch_norms(network)} == {0.1}
    assert torch.equal(torch.get_rng_state(), states)


def test_norms_that_do_not_learn_keep_theirs():
    network, sitting = settling(with_images(ASKED), frozen="stem")
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with settled(network, sitting.course):
        for name, value in network.state_dict().items():
            moved = name.endswith(RUNNING) and not name.startswith("stem.")
            assert torch.equal(before[name], value) != moved, name


@pytest.mark.parametrize("images", [0, IMAGES])
def test_nothing_is_taken_where_nobody_asks_or_nothing_is_normalised_so(images: int):
    norm = "group" if images else "batch"
    network, sitting = settling(with_images(replace(ASKED, network=replace(TINY, norm=norm, norm_groups=2)), images))
    network.eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with settled(network, sitting.course):
        assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


def test_every_pass_counts_alike():
    norm = nn.BatchNorm2d(1)
    with recalibrated(
        [norm], [lambda: norm(torch.full((2, 1, 1, 1), 1.0)), lambda: norm(torch.full((9, 1, 1, 1), 4.0))]
    ):
        assert norm.get_buffer("running_mean").item() == 2.5
        assert not norm.training
    assert (norm.get_buffer("running_mean").item(), norm.training, norm.momentum) == (0.0, True, 0.1)


def test_a_recipe_says_from_how_many_images():
    assert recipe("fast").recalibration_images == 5000
    assert recipe("default").recalibration_images == 0
    with pytest.raises(BadSetting, match="recalibration_images is -1; allowed: 0 or above"):
        plan(with_images(ASKED, -1))
