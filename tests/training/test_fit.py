import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from tests.training.conftest import TINY, Watcher, fit, resume

from residua import artifact, evaluation
from residua.data import sources
from residua.data.dataset import Dataset, Part
from residua.data.loader import Batch
from residua.data.sources import DataSpec
from residua.errors import BadNetwork, BadRun, BadSetting, Interrupted, NonFiniteLoss
from residua.inference.predictor import Predictor
from residua.training import finish, loop
from residua.training.baselines import baselines
from residua.training.fit import Fitted, reopen
from residua.training.loop import Course
from residua.training.observers import EpochEnded, RunEnded, RunStarted, StepEnded
from residua.training.record import Record
from residua.training.spec import TrainSpec
from residua.training.state import State

FILES = {
    "run.json",
    "specification.json",
    "network.json",
    "recipe.json",
    "data.json",
    "split.json",
    "environment.json",
    "metrics.jsonl",
    "steps.jsonl",
    "result.json",
    "predictions-validation.jsonl",
    "predictions-test.jsonl",
    "model.safetensors",
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Fitted:
    asked = TrainSpec(source="digits", network=TINY, epochs=3, settings=("precision=float32",))
    return fit(asked, out=tmp_path_factory.mktemp("runs") / "a")


def test_a_finished_run_has_these_files_and_no_other(finished: Fitted):
    assert {path.name for path in finished.record.path.iterdir()} == FILES
    assert finished.record.status == "finished"


def test_the_time_of_a_run_is_that_of_its_evaluations_too(
    tiny_digits: TrainSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    ended = []

    def last(dataset: Dataset, part: Part) -> dict[str, dict[str, float]]:
        ended.append(time.perf_counter())
        return baselines(dataset, part)

    monkeypatch.setattr(finish, "baselines", last)
    fitted = fit(tiny_digits, out=tmp_path / "a")
    assert fitted.record.read("run")["seconds"]["total"] >= ended[0] - fitted.plan.began


def test_the_written_numbers_are_those_of_the_written_weights(finished: Fitted):
    """Read back from the disk alone, the network gives the run's own test accuracy and predictions."""
    kept = artifact.load(finished.record.model)
    test = sources.load(DataSpec(source="digits")).test
    assert test is not None
    outcome = evaluation.evaluate(kept.network(), test, kept.preprocessing, device=torch.device("cpu"))
    result = finished.record.read("result")
    assert outcome.accuracy == result["parts"]["test"]["accuracy"] == result["headline"]["accuracy"]
    rows = finished.record.predictions("test")
    assert [row["predicted"] for row in rows] == [kept.classes[index] for index in outcome.predicted.tolist()]
    assert [row["file"] for row in rows] == list(test.files)
    assert result["parts"]["test"]["evaluations"] == 1


def test_the_written_recipe_leaves_nothing_open(finished: Fitted):
    """With its seed and split the recipe alone says how the run learned."""
    written = finished.record.read("recipe")
    assert (written["epochs"], written["precision"], written["batch_size"]) == (3, "float32", 64)
    assert (written["crop_padding"], written["flip"], written["padding"]) == (1, "none", "reflect")


def test_the_best_epoch_on_validation_is_kept(finished: Fitted):
    losses = [row["validation_loss"] for row in finished.record.epochs()]
    result = finished.record.read("result")
    assert losses[result["chosen"]["epoch"] - 1] == min(losses)
    assert result["parts"]["validation"]["uncalibrated"]["loss"] == pytest.approx(min(losses), rel=1e-4)


def test_the_temperature_is_fitted_to_validation_alone_and_travels(finished: Fitted):
    """Fitted anew from the written weights; with it the validation loss is no higher than without."""
    kept, result = artifact.load(finished.record.model), finished.record.read("result")
    validation = finished.plan.dataset.validation
    assert validation is not None
    outcome = evaluation.evaluate(kept.network(), validation, kept.preprocessing, device=torch.device("cpu"))
    assert kept.temperature == pytest.approx(evaluation.fitted_temperature(outcome), rel=1e-4)
    assert kept.temperature != 1
    assert result["temperature"] == {"value": kept.temperature, "fitted_to": "validation", "images": len(validation)}
    numbers = result["parts"]["validation"]
    assert numbers["loss"] < numbers["uncalibrated"]["loss"]


def test_written_probabilities_and_the_predictors_are_at_the_temperature(finished: Fitted):
    """Rows of the test part: softmax(logits / T), and the predictor's answer for the same pixels."""
    kept = artifact.load(finished.record.model)
    test = finished.plan.dataset.test
    assert test is not None
    outcome = evaluation.evaluate(kept.network(), test, kept.preprocessing, device=torch.device("cpu"))
    rows = finished.record.predictions("test")
    written = torch.tensor([row["probabilities"] for row in rows])
    assert torch.allclose(written, outcome.at(kept.temperature).probabilities, atol=2e-6)
    answer = Predictor(kept, device="cpu").predict(test.images[0, 0].numpy())
    assert answer.probability == pytest.approx(float(written[0].max()), abs=1e-5)
    assert answer.label == rows[0]["predicted"]


def test_without_a_validation_part_the_temperature_is_1(tiny_digits: TrainSpec, tmp_path: Path):
    settings = (*tiny_digits.settings, "validation_fraction=0", "choose=last")
    made = fit(replace(tiny_digits, epochs=1, settings=settings), out=tmp_path / "a")
    assert made.record.read("result")["temperature"] == {"value": 1.0, "fitted_to": None, "images": 0}
    assert artifact.load(made.record.model).temperature == 1.0


def test_the_same_seed_learns_the_same(finished: Fitted, tmp_path: Path):
    again = fit(finished.plan.asked, out=tmp_path / "b")
    for name, tensor in again.network.state_dict().items():
        assert torch.equal(tensor, finished.network.state_dict()[name]), name


def test_another_seed_learns_otherwise_on_the_same_split(finished: Fitted, tmp_path: Path):
    other = fit(replace(finished.plan.asked, seed=1, epochs=1), out=tmp_path / "b")
    assert not torch.equal(other.network.head.weight, finished.network.head.weight)
    assert other.record.read("split") == finished.record.read("split")


def test_observers_are_told_everything_in_order(tiny_digits: TrainSpec, tmp_path: Path):
    watcher = Watcher()
    made = fit(replace(tiny_digits, epochs=2), out=tmp_path / "a", observers=[watcher])
    started, *_, ended = watcher.events
    assert isinstance(started, RunStarted)
    assert isinstance(ended, RunEnded)
    assert len(watcher.of(StepEnded)) == 2 * started.steps_per_epoch
    rows = [json.loads(line) for line in (made.record.path / "metrics.jsonl").read_text().splitlines()]
    assert [row["validation_accuracy"] for row in rows] == [e.validation_accuracy for e in watcher.of(EpochEnded)]


@pytest.mark.parametrize("stop_at", [1, 25, 40], ids=["first step", "middle of epoch 2", "end of epoch 2"])
def test_an_interrupted_run_goes_on_to_the_same_weights(finished: Fitted, tmp_path: Path, stop_at: int):
    """Ctrl-C finishes the step and saves; the resumed run ends as the uninterrupted one, bit for bit."""
    steps = 0

    def press(_event: StepEnded) -> None:
        nonlocal steps
        steps += 1
        if steps == stop_at:
            os.kill(os.getpid(), signal.SIGINT)

    watcher = Watcher(press)
    with pytest.raises(Interrupted, match=rf"after step {stop_at} of .*residua train --resume "):
        fit(finished.plan.asked, out=tmp_path / "b", observers=[watcher])
    assert watcher.stopped
    assert json.loads((tmp_path / "b" / "run.json").read_text())["status"] == "stopped"
    later = Watcher()
    resumed = resume(tmp_path / "b", observers=[later])
    assert stop_at + len(later.of(StepEnded)) == resumed.plan.epochs * 20
    for name, tensor in resumed.network.state_dict().items():
        assert torch.equal(tensor, finished.network.state_dict()[name]), name
    timeless = [{k: v for k, v in row.items() if "second" not in k} for row in resumed.record.epochs()]
    assert timeless == [{k: v for k, v in row.items() if "second" not in k} for row in finished.record.epochs()]


def test_a_run_that_was_killed_before_its_first_checkpoint_begins_again(finished: Fitted, tmp_path: Path):
    """All that is random is a function of the seed, so its beginning is, too."""
    (tmp_path / "b").mkdir()
    for name in ("run", "specification", "network", "recipe", "data", "split", "environment"):
        (tmp_path / "b" / f"{name}.json").write_bytes((finished.record.path / f"{name}.json").read_bytes())
    Record(tmp_path / "b").update(status="training")
    resumed = resume(tmp_path / "b")
    for name, tensor in resumed.network.state_dict().items():
        assert torch.equal(tensor, finished.network.state_dict()[name]), name


def test_a_finished_run_is_not_resumed(finished: Fitted):
    with pytest.raises(BadRun, match="is finished"):
        resume(finished.record.path)


def test_a_damaged_checkpoint_is_one_line(finished: Fitted, tmp_path: Path):
    with pytest.raises(Interrupted):
        fit(finished.plan.asked, out=tmp_path / "b", observers=[Watcher(lambda _: os.kill(os.getpid(), signal.SIGINT))])
    [checkpoint] = (tmp_path / "b" / "checkpoints").iterdir()
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    with pytest.raises(BadRun, match="cannot be read back") as caught:
        resume(tmp_path / "b")
    assert "\n" not in str(caught.value)


def test_images_that_changed_are_not_trained_on_further(
    coloured_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    network = replace(TINY, in_channels=3)
    monkeypatch.chdir(coloured_folder.parent)
    asked = TrainSpec(source=coloured_folder.name, network=network, epochs=2)
    with pytest.raises(Interrupted):
        fit(asked, out=tmp_path / "b", observers=[Watcher(lambda _: os.kill(os.getpid(), signal.SIGINT))])
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (32, 32)).save(coloured_folder / "red" / "new.png")
    with pytest.raises(BadRun, match="is not what .* was trained on"):
        resume(tmp_path / "b")


def test_a_part_that_came_since_is_seen(coloured_folder: Path, tmp_path: Path):
    network = replace(TINY, in_channels=3)
    root = tmp_path / "divided"
    shutil.copytree(coloured_folder, root / "train")
    shutil.copytree(coloured_folder, root / "val")
    for i, path in enumerate(sorted((root / "val").rglob("*.png"))):
        Image.new("RGB", (32, 32), (i, 7, 7)).save(path)
    asked = TrainSpec(source=str(root), network=network, epochs=2)
    with pytest.raises(Interrupted):
        fit(asked, out=tmp_path / "b", observers=[Watcher(lambda _: os.kill(os.getpid(), signal.SIGINT))])
    shutil.copytree(root / "val", root / "test")
    for i, path in enumerate(sorted((root / "test").rglob("*.png"))):
        Image.new("RGB", (32, 32), (i, 9, 9)).save(path)
    with pytest.raises(BadRun, match="the test part of .* is not what .* was trained on"):
        resume(tmp_path / "b")


def test_a_run_in_half_precision_is_read_on_a_machine_without(
    tiny_digits: TrainSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    made = fit(tiny_digits, out=tmp_path / "a").record
    asked = {**made.read("run")["asked"], "settings": ["precision=float16"]}  # which a processor refuses
    made.update(asked=asked)
    assert reopen(made).plan.precision in ("float32", "bfloat16")


def test_a_killed_run_keeps_what_was_finished(tmp_path: Path):
    """SIGKILL in the third epoch: the lines of the first two and every file are whole."""
    code = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from residua.training.spec import TrainSpec\n"
        "from tests.training.conftest import TINY, Watcher, fit\n"
        "kill = lambda event: event.epoch == 3 and os.kill(os.getpid(), signal.SIGKILL)\n"
        "fit(TrainSpec(network=TINY, epochs=5), out=Path(sys.argv[1]), observers=[Watcher(kill)])\n"
    )
    root = Path(__file__).parents[2]
    path = os.pathsep.join([str(root), *sys.path])
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "b")], env={**os.environ, "PYTHONPATH": path})
    assert done.returncode == -signal.SIGKILL
    assert len((tmp_path / "b" / "metrics.jsonl").read_text().splitlines()) == 2
    for file in (tmp_path / "b").glob("*.json"):
        json.loads(file.read_text())
    assert not list((tmp_path / "b").glob(".*.partial"))


def test_a_loss_that_explodes_leaves_a_failed_run(tiny_digits: TrainSpec, tmp_path: Path):
    wild = replace(TINY, norm="none", norm_on_projection=False)
    settings = ("optimizer.learning_rate=1e20", "precision=float32", "schedule.warmup_fraction=0")
    with pytest.raises(NonFiniteLoss, match="usual remedies"):
        fit(replace(tiny_digits, network=wild, settings=settings), out=tmp_path / "b")
    assert json.loads((tmp_path / "b" / "run.json").read_text())["status"] == "failed"


def test_a_run_directory_that_is_taken_is_left_alone(tiny_digits: TrainSpec, tmp_path: Path):
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "mine.txt").write_text("mine")
    with pytest.raises(BadSetting, match="not empty; choose another --out"):
        fit(tiny_digits, out=tmp_path / "b")
    assert [path.name for path in (tmp_path / "b").iterdir()] == ["mine.txt"]


def test_runs_are_numbered(tiny_digits: TrainSpec):
    one = replace(tiny_digits, network="resnet8", epochs=1)
    assert [str(fit(one).record.path) for _ in range(2)] == ["runs/digits-resnet8-1", "runs/digits-resnet8-2"]


def test_a_network_for_photographs_is_refused_on_small_images_with_both_commands():
    with pytest.raises(BadNetwork) as caught:
        fit(TrainSpec(source="digits", network="resnet18"))
    assert "\n" not in str(caught.value)
    assert re.findall("`(.*?)`", str(caught.value)) == [
        "residua train digits --network resnet20",
        "residua train digits --network resnet18 --image-size 96",
    ]
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"network": "resnet19"}, "did you mean"),
        ({"recipe": "defualt"}, "did you mean 'default'"),
        ({"settings": ("optimiser.learning_rate=1",)}, "optimizer"),
        ({"settings": ("network.shortcutt=none",)}, "shortcut"),
        ({"settings": ("data.split=1",)}, "split_seed"),
        ({"device": "cudaa"}, "is no device"),
    ],
)
def test_a_name_one_letter_off_is_met_before_training(wrong: dict, message: str):
    with pytest.raises(BadSetting, match=message):
        fit(TrainSpec(**wrong))
    assert not Path("runs").exists()


def test_epochs_and_minutes_contradict():
    with pytest.raises(BadSetting, match="give one of them"):
        TrainSpec(epochs=3, minutes=1.0)


def test_minutes_give_as_many_epochs_as_fit(monkeypatch: pytest.MonkeyPatch, tiny_digits: TrainSpec, tmp_path: Path):
    """0.2 s a step by the clock: of 30 s a twentieth, five and the last evaluation are kept; epochs fill the rest."""
    now, ordinary = [0.0], loop._step

    def step(course: Course, state: State, batch: Batch) -> None:
        ordinary(course, state, batch)
        now[0] += 0.2

    monkeypatch.setattr(loop, "_step", step)
    monkeypatch.setattr("residua.training.pace.time.perf_counter", lambda: now[0])
    made = fit(replace(tiny_digits, epochs=None, minutes=0.5), out=tmp_path / "b")
    train, validation, batch = made.plan.dataset.train, made.plan.dataset.validation, made.plan.recipe.batch_size
    assert validation is not None
    assert batch is not None
    each = 0.2 * (len(train) // batch + len(validation) / 3 / batch)
    last = 0.2 * (len(validation) + len(made.plan.dataset.test or [])) / 3 / batch
    assert made.plan.epochs == len(made.record.epochs()) == int((0.95 * 30 - 5 - last) / each)
    assert f"0.5 min at the measured {each:.1f} s each" in made.plan.headline
    assert 30 / 2 < now[0] < 30


def test_measuring_the_pace_changes_no_weight(tiny_digits: TrainSpec, tmp_path: Path):
    timed = fit(replace(tiny_digits, epochs=None, minutes=0.11), out=tmp_path / "a")
    plain = fit(replace(tiny_digits, epochs=timed.plan.epochs), out=tmp_path / "b")
    for name, tensor in plain.network.state_dict().items():
        assert torch.equal(tensor, timed.network.state_dict()[name]), name


def test_few_photographs_are_said_to_be_few(coloured_folder: Path, tmp_path: Path):
    watcher = Watcher()
    asked = TrainSpec(source=str(coloured_folder), network=replace(TINY, in_channels=3), epochs=1, image_size=64)
    fit(asked, out=tmp_path / "a", observers=[watcher])
    (started,) = watcher.of(RunStarted)
    assert any("images are few for training from nothing" in note for note in started.notes)


def test_a_run_that_holds_nothing_out_claims_nothing(tiny_digits: TrainSpec, tmp_path: Path):
    settings = ("validation_fraction=0", "choose=last", "data.test_fraction=0")
    watcher = Watcher()
    made = fit(replace(tiny_digits, epochs=1, settings=settings), out=tmp_path / "a", observers=[watcher])
    result = made.record.read("result")
    assert (result["headline"], result["parts"]) == (None, {})
    (ended,) = watcher.of(RunEnded)
    assert (ended.part, ended.accuracy, ended.interval) == (None, None, None)


def test_without_a_test_part_the_headline_is_optimistic(coloured_folder: Path, tmp_path: Path):
    for name in ("red", "青い"):
        for part in ("train", "val"):
            (coloured_folder / part / name).mkdir(parents=True)
        for index, path in enumerate(sorted((coloured_folder / name).glob("*.png"))):
            path.rename(coloured_folder / ("train" if index < 20 else "val") / name / path.name)
        (coloured_folder / name).rmdir()
    asked = TrainSpec(source=str(coloured_folder), network=replace(TINY, in_channels=3), epochs=1)
    headline = fit(asked, out=tmp_path / "a").record.read("result")["headline"]
    assert (headline["part"], headline["optimistic"], headline["images"]) == ("validation", True, 20)
