"""What a run starts from: published weights, a file, a run, a deeper run; and the head on cached features."""

import os
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tests.training.conftest import TINY, Watcher

from residua import artifact
from residua.data import sources
from residua.data.dataset import Part
from residua.data.spec import DataSpec
from residua.errors import BadNetwork, BadRun, BadSetting, BadWeights, DownloadFailed
from residua.networks import catalogue, surgery
from residua.networks.network import build
from residua.training import fit as fitting
from residua.training import transfer
from residua.training.fit import Fitted
from residua.training.optimizers import optimizer_for
from residua.training.plan import plan
from residua.training.recipe import Optimizer, recipe
from residua.training.record import Record
from residua.training.spec import TrainSpec

FLOAT32 = ("precision=float32",)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Fitted:
    asked = TrainSpec(source="digits", network="resnet8", epochs=2, settings=FLOAT32)
    return fitting.fit(plan(asked), out=tmp_path_factory.mktemp("runs") / "teacher")


@pytest.fixture(scope="module")
def shades(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of grey 8×8 images, light and dark, with noise."""
    root, draws = tmp_path_factory.mktemp("shades"), np.random.default_rng(0)
    for name, level in (("dark", 60), ("light", 190)):
        (root / name).mkdir()
        for index in range(40):
            pixels = draws.normal(level, 30, (8, 8)).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(root / name / f"{index}.png")
    return root


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of 96×96 colour images."""
    root, draws = tmp_path_factory.mktemp("photographs"), np.random.default_rng(0)
    for name, colour in (("blue", (40, 60, 200)), ("red", (200, 60, 40))):
        (root / name).mkdir()
        for index in range(12):
            pixels = draws.normal(colour, 40, (96, 96, 3)).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(root / name / f"{index}.png")
    return root


def test_a_run_starts_from_another_ones_weights(teacher: Fitted, shades: Path, tmp_path: Path) -> None:
    """Other classes: everything but the head is the teacher's when the first step begins."""
    decided = plan(TrainSpec(source=str(shades), weights=str(teacher.record.path), epochs=1))
    assert decided.start is not None
    assert decided.recipe.name == "transfer"
    assert decided.network_name == "resnet8"
    kept = artifact.load(teacher.record.model)
    ours = decided.start.network.state_dict()
    assert {name for name in ours if not torch.equal(ours[name], kept.weights[name])} == {"head.weight", "head.bias"}
    assert decided.dataset.preprocessing.mean == kept.preprocessing.mean
    fitted = fitting.fit(decided, out=tmp_path / "run")
    said = fitted.record.read("run")
    assert said["start"]["weights"] == str(teacher.record.path)
    assert "10 other classes" in said["headline"]
    assert any("before the first step" in note for note in said["notes"])


def test_the_same_classes_keep_the_head(teacher: Fitted) -> None:
    decided = plan(TrainSpec(source="digits", weights=str(teacher.record.path), epochs=1))
    assert decided.start is not None
    assert decided.start.head == "known"
    assert torch.equal(decided.start.network.head.weight, artifact.load(teacher.record.model).weights["head.weight"])
    assert fitting.with_head(decided) is decided


def test_the_head_is_fitted_to_features_that_are_computed_once(teacher: Fitted, shades: Path) -> None:
    """Everything before the head stays to the bit, and what was chance becomes right."""
    decided = plan(TrainSpec(source=str(shades), weights=str(teacher.record.path), epochs=1, settings=FLOAT32))
    assert decided.start is not None
    before = {name: value.clone() for name, value in decided.start.network.state_dict().items()}
    told: list[tuple[str, int, int | None]] = []
    start = transfer.fit_head(decided.start, decided.dataset, device=decided.device, progress=lambda *p: told.append(p))
    after = start.network.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"head.weight", "head.bias"}
    assert start.head == "fitted"
    assert torch.equal(decided.start.network.head.weight, before["head.weight"])
    train = decided.dataset.train
    logits = start.network.eval()(decided.dataset.preprocessing.normalise(train.images))
    assert float((logits.argmax(1) == train.labels).float().mean()) > 0.95
    assert told[-1][1] == told[-1][2]


def test_the_fitted_head_has_a_gradient_of_nothing_but_its_regularisation(teacher: Fitted) -> None:
    """Solved to convergence: with weak regularisation the mean loss has next to no gradient in the head's bias."""
    decided = plan(TrainSpec(source="digits", weights=str(teacher.record.path), epochs=1, settings=FLOAT32))
    assert decided.start is not None
    fresh = replace(decided.start, network=surgery.replace_head(decided.start.network, 10), head="drawn")
    start = transfer.fit_head(fresh, decided.dataset, device=decided.device)
    train = decided.dataset.train
    logits = start.network.eval()(decided.dataset.preprocessing.normalise(train.images))
    torch.nn.functional.cross_entropy(logits, train.labels).backward()
    gradient = start.network.head.bias.grad
    assert gradient is not None
    assert float(gradient.norm()) < 1e-3


def test_a_head_is_fitted_to_stored_images_as_to_those_in_memory(
    teacher: Fitted, stored: Callable[[Part], tuple[Part, list[int]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where only some of them are drawn; no more than a batch is read at a time."""
    monkeypatch.setattr(transfer, "_MOST_IMAGES", 300)
    decided = plan(TrainSpec(source="digits", weights=str(teacher.record.path), epochs=1, settings=FLOAT32))
    assert decided.start is not None
    heads, twins = [], [stored(part) for part in decided.dataset.parts]
    for parts in (decided.dataset.parts, tuple(twin for twin, _ in twins)):
        dataset = replace(decided.dataset, parts=parts)
        heads.append(transfer.fit_head(decided.start, dataset, device=decided.device).network.head.weight)
    assert torch.equal(*heads)
    assert sum(twins[0][1]) == 300
    assert max(twins[0][1]) == 64


def test_the_fitted_head_is_kept_where_no_epoch_is_better(teacher: Fitted, shades: Path, tmp_path: Path) -> None:
    """A rate that destroys: the result is epoch 0, the head alone."""
    settings = (*FLOAT32, "optimizer.learning_rate=30", "stage_decay=1")
    asked = TrainSpec(source=str(shades), weights=str(teacher.record.path), epochs=1, settings=settings)
    fitted = fitting.fit(plan(asked), out=tmp_path / "run")
    chosen = fitted.record.read("result")["chosen"]
    assert chosen == {"epoch": 0, "by": "latest within one standard error of the best validation accuracy"}
    kept = artifact.load(teacher.record.model).weights
    assert torch.equal(fitted.network.state_dict()["stem.convolution.weight"], kept["stem.convolution.weight"])


def test_a_stopped_fine_tuning_goes_on_to_the_same_result_without_its_teacher(
    teacher: Fitted, shades: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "teacher"
    shutil.copytree(teacher.record.path, copy)
    asked = TrainSpec(source=str(shades), weights=str(copy), epochs=3, settings=FLOAT32)
    whole = fitting.fit(plan(asked), out=tmp_path / "whole")

    def stop(event: Any) -> None:
        if (event.epoch, event.step) == (2, 1):
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Exception, match="residua train --resume"):
        fitting.fit(plan(asked), out=tmp_path / "part", observers=[Watcher(stop)])
    shutil.rmtree(copy)
    resumed = fitting.resume(Record(tmp_path / "part"))
    ours, theirs = resumed.network.state_dict(), whole.network.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert resumed.record.read("result")["headline"] == whole.record.read("result")["headline"]


def test_earlier_parts_learn_by_smaller_steps() -> None:
    network = build(replace(TINY, blocks=(1, 1)), seed=0)
    optimizer = optimizer_for(network, Optimizer(), stage_decay=0.5)
    scales = {id(p): group["rate_scale"] for group in optimizer.param_groups for p in group["params"]}
    parts = [network.head, network.stages[1], network.stages[0], network.stem]
    for distance, part in enumerate(parts):
        assert {scales[id(p)] for p in part.parameters()} == {0.5**distance}
    assert len(scales) == len(list(network.parameters()))


def test_photographs_start_from_published_weights_unless_told_otherwise(photographs: Path, internet: Path) -> None:
    decided = plan(TrainSpec(source=str(photographs), network="resnet18", epochs=1))
    assert decided.start is not None
    assert decided.start.origin == "torchvision:IMAGENET1K_V1"
    assert "torchvision:IMAGENET1K_V1 (69.8 % on ImageNet)" in decided.headline
    assert any("--weights none" in note for note in decided.notes)
    assert not any("few for training" in note for note in decided.notes)
    assert decided.dataset.preprocessing.mean == (0.485, 0.456, 0.406)
    stem = build(catalogue.specification("resnet18"), seed=9).state_dict()["stem.convolution.weight"]
    assert torch.equal(decided.start.network.state_dict()["stem.convolution.weight"], stem)
    nothing = plan(TrainSpec(source=str(photographs), network="resnet18", epochs=1, weights="none"))
    assert nothing.start is None
    assert nothing.recipe.name == "default"
    assert any("few for training" in note for note in nothing.notes)


@pytest.mark.usefixtures("internet")
@pytest.mark.parametrize(
    "changes",
    [
        {"recipe": "default"},
        {"settings": ("network.shortcut=padded",)},
        {"image_size": 95},
        {"network": "resnet18-textbook"},
        {"network": replace(TINY, in_channels=3)},
    ],
)
def test_what_has_no_published_weights_starts_from_nothing(photographs: Path, changes: dict[str, Any]) -> None:
    asked = TrainSpec(**{"source": str(photographs), "network": "resnet18", "epochs": 1, **changes})
    assert plan(asked).start is None


def test_without_a_network_connection_one_line_says_so_and_it_starts_from_nothing(
    photographs: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("RESIDUA_OFFLINE", "1")
    monkeypatch.setenv("RESIDUA_WEIGHTS", str(tmp_path))
    decided = plan(TrainSpec(source=str(photographs), network="resnet18", epochs=1))
    assert decided.start is None
    [line] = [note for note in decided.notes if note.startswith("trains from nothing")]
    assert "\n" not in line
    with pytest.raises(DownloadFailed):
        plan(TrainSpec(source=str(photographs), network="resnet18", weights="torchvision", epochs=1))


def test_a_file_of_foreign_weights_is_a_start(photographs: Path, internet: Path) -> None:
    path = str(internet / "resnet18-test.pth")
    decided = plan(TrainSpec(source=str(photographs), network="resnet18", weights=path, epochs=1))
    assert decided.start is not None
    assert decided.start.network.spec.classes == 2
    assert decided.start.mean is None
    with pytest.raises(BadSetting, match="name the network"):
        plan(TrainSpec(source=str(photographs), weights=path, epochs=1))
    with pytest.raises(BadWeights, match="resnet18-test"):
        plan(TrainSpec(source=str(photographs), network="resnet34", weights=path, epochs=1))


def test_grey_images_start_from_weights_for_colour(shades: Path, internet: Path) -> None:
    path = str(internet / "resnet18-test.pth")
    asked = TrainSpec(source=str(shades), network="resnet18", weights=path, image_size=64, epochs=1)
    decided = plan(asked)
    assert decided.start is not None
    assert decided.start.network.spec.in_channels == 1


def test_weights_for_photographs_on_small_images_are_refused_with_the_way_out(shades: Path, internet: Path) -> None:
    path = str(internet / "resnet18-test.pth")
    with pytest.raises(BadNetwork, match="add --image-size 96"):
        plan(TrainSpec(source=str(shades), network="resnet18", weights=path, epochs=1))


def test_a_deepened_run_begins_with_the_old_ones_answers(teacher: Fitted, tmp_path: Path) -> None:
    """Epoch 0 has the teacher's own validation loss, to the last digit."""
    asked = TrainSpec(weights=str(teacher.record.path), deepen=(2, 3), recipe="default", epochs=1, settings=FLOAT32)
    decided = plan(asked)
    assert decided.start is not None
    assert decided.specification.blocks == (1, 4, 1)
    assert decided.network_name == "resnet8-deepened"
    digits = sources.load(DataSpec(source="digits"))
    images = digits.preprocessing.normalise(digits.train.images[:64])
    with torch.no_grad():
        assert torch.equal(decided.start.network(images), artifact.load(teacher.record.model).network()(images))
    fitted = fitting.fit(decided, out=tmp_path / "deeper")
    assert "3 identity blocks at the end of stage 2" in fitted.record.read("run")["headline"]


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"weights": "nowhere"}, BadRun, "nowhere"),
        ({"weights": "torchvison:IMAGENET1K_V1"}, BadSetting, "did you mean 'torchvision'"),
        ({"weights": "torchvision:IMAGENET1K_V3", "network": "resnet50", "image_size": 96}, BadSetting, "IMAGENET1K_V"),
        ({"weights": "torchvision", "network": "resnet20"}, BadSetting, "resnet"),
        ({"weights": "torchvision", "network": TINY}, BadSetting, "by name"),
        ({"deepen": (1, 1)}, BadSetting, "name its run"),
        ({"deepen": (1, 1), "weights": "torchvision"}, BadSetting, "not of torchvision"),
    ],
)
def test_a_start_that_is_none_is_refused_in_one_line(changes: dict[str, Any], error: type, said: str) -> None:
    with pytest.raises(error, match=said) as refusal:
        plan(TrainSpec(**{"source": "digits", "epochs": 1, **changes}))
    assert "\n" not in str(refusal.value)


def test_classes_in_another_order_are_matched_by_name(teacher: Fitted) -> None:
    kept = artifact.load(teacher.record.model)
    digits = sources.load(DataSpec(source="digits"))
    turned = replace(digits, classes=tuple(reversed(digits.classes)))
    start = transfer.from_run(str(teacher.record.path), turned, seed=0)
    assert start.head == "known"
    images = digits.preprocessing.normalise(digits.train.images[:8])
    with torch.no_grad():
        torch.testing.assert_close(start.network(images), kept.network()(images).flip(1))


def test_a_file_of_another_network_than_the_named_one_is_refused(teacher: Fitted) -> None:
    with pytest.raises(BadWeights, match="another network than resnet20"):
        plan(TrainSpec(network="resnet20", weights=str(teacher.record.model), epochs=1))
    assert plan(TrainSpec(network="resnet8", weights=str(teacher.record.model), epochs=1)).start is not None


def test_a_plan_can_be_trained_twice(teacher: Fitted, shades: Path, tmp_path: Path) -> None:
    decided = plan(TrainSpec(source=str(shades), weights=str(teacher.record.path), epochs=1, settings=FLOAT32))
    first, second = (fitting.fit(decided, out=tmp_path / name).network.state_dict() for name in "ab")
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_settings_of_the_network_do_not_go_with_weights(teacher: Fitted) -> None:
    path = str(teacher.record.path)
    with pytest.raises(BadSetting, match="network.activation"):
        plan(TrainSpec(weights=path, settings=("network.activation=tanh",), epochs=1))
    with pytest.raises(BadSetting, match="leave out --network"):
        plan(TrainSpec(weights=path, network="resnet20", epochs=1))


def test_a_factory_makes_the_network_of_a_run(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "import residua, torch\n"
        "from residua.networks.spec import small_stem\n"
        "def thin():\n    return residua.NetworkSpec(stem=small_stem(4), blocks=(1, 1), widths=(4, 8))\n"
        "def other():\n    return torch.nn.Linear(2, 2)\n"
    )
    decided = plan(TrainSpec(network=f"{tmp_path}/mine.py:thin", epochs=1))
    assert decided.specification == replace(TINY, in_channels=1)
    with pytest.raises(BadNetwork, match="makes a Linear"):
        plan(TrainSpec(network=f"{tmp_path}/mine.py:other", epochs=1))


def test_the_recipe_says_what_it_does() -> None:
    assert recipe("transfer").head_first
    assert recipe("transfer").stage_decay < 1
    assert not recipe("default").head_first


def test_random_layers_draw_by_seed_epoch_and_step(tmp_path: Path) -> None:
    """Two runs with stochastic depth and a dropout shortcut are the same to the bit, whatever was drawn before."""
    network = replace(TINY, shortcut="dropout", last_survival=0.5, blocks=(2, 2))
    weights = []
    for out in ("a", "b"):
        torch.rand(3)
        state = torch.get_rng_state()
        fitted = fitting.fit(plan(TrainSpec(network=network, epochs=1, settings=FLOAT32)), out=tmp_path / out)
        assert torch.equal(torch.get_rng_state(), state)
        weights.append(fitted.network.state_dict())
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_checkpointed_activations_learn_the_same(tmp_path: Path) -> None:
    network = replace(TINY, blocks=(3, 3))
    results = []
    for settings in (FLOAT32, (*FLOAT32, "checkpoint_activations=true")):
        asked = TrainSpec(network=network, epochs=1, settings=settings)
        results.append(fitting.fit(plan(asked), out=tmp_path / str(len(results))).network.state_dict())
    assert all(torch.equal(results[0][name], results[1][name]) for name in results[0])


def test_a_head_of_one_class_answers_with_that_class():
    """Of many images with a few of another class, those that the head is fitted to may have none of these."""
    weight, bias = transfer._solved(torch.randn(4, 3), torch.ones(4, dtype=torch.int64), 3, 1.0)
    assert not weight.any()
    assert bias.tolist() == [-10, 0, -10]
