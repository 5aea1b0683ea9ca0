"""Watching anybody's loop, and a run while it trains: the run is the same, killed or not."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

import residua
from residua import files, verbs
from residua.diagnostics import watch
from residua.errors import BadSetting, Interrupted, NonFiniteLoss
from residua.training import fit as fitting
from residua.training.observers import RunStarted, StepEnded
from residua.training.plan import plan
from residua.training.record import Record
from residua.training.spec import TrainSpec
from residua.watching import RunWatcher, observers
from tests.diagnostics.test_watch_counting import Late, scaled_steps
from tests.training.conftest import TINY, Watcher

ASKED = TrainSpec(network=TINY, epochs=2, settings=("precision=float32", "checkpoint_seconds=0"))


def watched_steps(run: Path) -> list[int]:
    return [row["step"] for row in files.read_json_lines(run / "watch.jsonl")]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, Path]:
    """A run by whether it was watched."""
    folder = tmp_path_factory.mktemp("runs")
    for watched in (False, True):
        fitting.fit(plan(ASKED), out=folder / str(watched), observers=[RunWatcher()] if watched else [])
    return {watched: folder / str(watched) for watched in (False, True)}


def test_a_watched_run_has_the_same_weights_to_the_bit(runs):
    assert (runs[True] / "model.safetensors").read_bytes() == (runs[False] / "model.safetensors").read_bytes()
    assert Record(runs[True]).read("result") == Record(runs[False]).read("result")
    assert watched_steps(runs[True]) == [1, 11, 21, 31]
    blocks = ["stem", "stages.0.0", "stages.1.0", "head"]
    assert all(list(row["blocks"]) == blocks for row in files.read_json_lines(runs[True] / "watch.jsonl"))
    assert not (runs[False] / "watch.jsonl").exists()


def stop_at(step: int) -> Callable[[StepEnded], None]:
    def act(event: StepEnded) -> None:
        if event.step == step:
            raise KeyboardInterrupt

    return act


def test_a_run_that_is_killed_and_resumed_has_every_sample_once(runs, tmp_path):
    """It dies after step 12 without saving; a later sample and half a line stand in the file, as after a kill."""
    with pytest.raises(KeyboardInterrupt):
        fitting.fit(plan(ASKED), out=tmp_path / "run", observers=[RunWatcher(), Watcher(stop_at(12))])
    with (tmp_path / "run" / "watch.jsonl").open("a") as file:
        file.write('{"step": 21, "learning_rate": 1, "blocks": {}}\n{"step": 3')
    verbs.resume(tmp_path / "run")
    ours, theirs = (files.read_json_lines(run / "watch.jsonl") for run in (tmp_path / "run", runs[True]))
    assert ours == theirs
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == (runs[True] / "model.safetensors").read_bytes()
    assert "While it trained" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")


def test_a_kill_behind_a_checkpoint_loses_no_sample_whose_numbers_come_late(runs, tmp_path, monkeypatch):
    """As on a GPU; what a kill leaves is copied at the end of step 12, when the newest checkpoint is of step 11."""

    def leave(event: StepEnded) -> None:
        if event.step == 12:
            shutil.copytree(tmp_path / "run", tmp_path / "left")
            raise KeyboardInterrupt

    monkeypatch.setattr(watch, "Reading", Late)
    with pytest.raises(KeyboardInterrupt):
        fitting.fit(plan(ASKED), out=tmp_path / "run", observers=[RunWatcher(), Watcher(leave)])
    again = Watcher()
    fitting.resume(Record(tmp_path / "left"), observers=[RunWatcher(), again])
    assert again.of(RunStarted)[0].steps_done == 11
    assert watched_steps(tmp_path / "left") == watched_steps(runs[True])


@pytest.mark.parametrize("fused", [False, True])
def test_the_samples_of_a_run_have_the_steps_of_its_log_also_where_a_scaler_leaves_some_out(tmp_path, fused):
    """Of 25 steps the first two overflow, and the run is resumed after 13: it stands at the run's steps all along."""
    module = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1, fused=fused)
    overflows, told = [True] * 2 + [False] * 23, StepEnded(epoch=1, step=1, images=5, loss=None, accuracy=None)
    for first, last in ((0, 13), (13, 25)):
        watcher = RunWatcher()
        watcher.run_started(started(tmp_path, module, optimizer, steps_done=first))
        for _ in scaled_steps(module, optimizer, overflows[first:last]):
            watcher.step_ended(told)
        watcher.run_stopped()
    assert watched_steps(tmp_path) == [11, 21]


def started(run: Path, module: nn.Module, optimizer: torch.optim.Optimizer, *, steps_done: int) -> RunStarted:
    """The event that a run begins, or goes on."""
    return RunStarted(
        run=str(run),
        headline="",
        notes=(),
        epochs=1,
        steps_per_epoch=25,
        first_epoch=1,
        steps_done=steps_done,
        network=module,
        optimizer=optimizer,
    )


def test_a_run_that_was_not_watched_is_resumed_without(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        fitting.fit(plan(ASKED), out=tmp_path / "run", observers=[Watcher(stop_at(3))])
    verbs.resume(tmp_path / "run")
    assert not (tmp_path / "run" / "watch.jsonl").exists()


def test_train_watches_where_it_is_asked_to(tmp_path):
    run = residua.train("digits", network=TINY, epochs=1, diagnose=True, out=tmp_path / "a")
    assert watched_steps(run.path)[:2] == [1, 11]
    assert "While it trained" in run.report.read_text(encoding="utf-8")
    assert [type(one).__name__ for one in observers(watched=False)] == ["ProgressObserver"]


def test_the_event_of_the_start_tells_what_learns_and_where_it_stands(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        fitting.fit(plan(ASKED), out=tmp_path / "run", observers=[Watcher(stop_at(3))])
    again = Watcher()
    fitting.resume(Record(tmp_path / "run"), observers=[again])
    [event] = again.of(RunStarted)
    held = {id(one) for group in event.optimizer.param_groups for one in group["params"]}
    assert held == {id(one) for one in event.network.parameters()}
    assert event.steps_done in (2, 3)


def test_a_loss_that_explodes_says_the_next_step_beside_its_line(tmp_path):
    wild = replace(TINY, norm="none", norm_on_projection=False)
    settings = ("optimizer.learning_rate=1e20", "precision=float32", "schedule.warmup_fraction=0")
    asked = replace(ASKED, network=wild, settings=settings)
    with pytest.raises(NonFiniteLoss) as caught:
        fitting.fit(plan(asked), out=tmp_path / "a b", observers=[RunWatcher()])
    assert "\n" not in str(caught.value)
    assert caught.value.__notes__ == [f"next: residua diagnose '{tmp_path / 'a b'}'"]
    assert watched_steps(tmp_path / "a b")[0] == 1


def test_an_interrupted_run_has_no_such_note(tmp_path):
    import signal

    def act(event: StepEnded) -> None:
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(Interrupted) as caught:
        fitting.fit(plan(ASKED), out=tmp_path / "run", observers=[Watcher(act)])
    assert not hasattr(caught.value, "__notes__")


def test_the_command_prints_the_next_step_on_a_line_of_its_own(tmp_path):
    wild = (
        "--set",
        "network.norm=none",
        "--set",
        "optimizer.learning_rate=1e20",
        "--set",
        "schedule.warmup_fraction=0",
    )
    command = [sys.executable, "-m", "residua", "train", "--network", "resnet8", "--diagnose", *wild]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2
    error, after = done.stderr.splitlines()
    assert error.startswith("error: the loss is")
    assert after == "next: residua diagnose runs/digits-resnet8-1"
    found = subprocess.run([*command, "--find-learning-rate"], capture_output=True, text=True, cwd=tmp_path)
    assert (found.returncode, "leave out --diagnose" in found.stderr) == (2, True)


def loop(module: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    for step in range(4):
        module(torch.full((2, 3), 1.0 + step)).square().sum().backward()
        optimizer.step()


def test_watch_in_anybodys_loop_writes_nothing_unless_asked(tmp_path):
    module = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 1))
    optimizer = torch.optim.SGD(module.parameters(), lr=1e-3)
    before = set(Path.cwd().iterdir())
    with residua.watch(module, optimizer, every=1) as watched:
        loop(module, optimizer)
    assert set(Path.cwd().iterdir()) == before
    assert len(watched.samples) == 4
    assert [row["block"] for row in watched.rows][:2] == ["0", "1"]
    assert watched.to_json()["every"] == 1
    assert "<svg" in watched._repr_html_()
    assert watched.write(tmp_path / "w.html").is_file()


def test_watch_writes_its_page_also_after_an_exception(tmp_path):
    module = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 1))
    optimizer = torch.optim.SGD(module.parameters(), lr=1e-3)

    def fail() -> None:
        with residua.watch(module, optimizer, out=tmp_path / "w.html"):
            loop(module, optimizer)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert "Sequential while it trained" in (tmp_path / "w.html").read_text(encoding="utf-8")
    with pytest.raises(BadSetting, match="holds none"):
        residua.watch(nn.Linear(1, 1), optimizer)


def test_a_page_that_cannot_be_written_hides_no_error_of_the_loop(tmp_path):
    module = nn.Linear(2, 1)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    with pytest.raises(BadSetting, match="cannot write"), residua.watch(module, optimizer, out=tmp_path):
        pass
    with (
        pytest.raises(KeyboardInterrupt) as stopped,
        residua.watch(module, optimizer, out=tmp_path),
    ):
        raise KeyboardInterrupt
    assert "cannot write" in stopped.value.__notes__[0]
