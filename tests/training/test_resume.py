"""Exact resume: a run that is stopped ends, resumed, as one that was not, to the bit."""

import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.training.conftest import ASKED, EPOCHS, STEPS, TINY, Watcher
from tests.training.stopping import assert_same, steps_of, stop_at, timeless

import residua
from residua import machine
from residua.errors import BadRun, BadSetting, Interrupted, Terminated
from residua.training import checkpoint, resumption, sitting
from residua.training import fit as fitting
from residua.training.distributed import Team
from residua.training.fit import Fitted
from residua.training.observers import EpochEnded, RunStarted, StepEnded
from residua.training.plan import plan
from residua.training.recipe import recipe
from residua.training.record import Record
from residua.training.sitting import Sitting
from residua.training.spec import TrainSpec
from residua.training.state import State


def test_a_stop_at_the_last_step_is_kept_and_goes_on_to_the_result(whole: Fitted, tmp_path: Path):
    """SIGTERM while the last epoch ends: nothing of it is done again."""

    class Late(Watcher):
        def epoch_ended(self, event: EpochEnded) -> None:
            if event.epoch == EPOCHS:
                os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Terminated, match=f"stopped after step {EPOCHS * STEPS} of {EPOCHS * STEPS}, saved"):
        fitting.fit(plan(ASKED), out=tmp_path / "run", observers=[Late()])
    again = Watcher()
    fitting.resume(Record(tmp_path / "run"), observers=[again])
    assert again.of(StepEnded) == []
    assert_same(tmp_path / "run", whole)


@pytest.mark.parametrize("part", ["validation", "test"])
def test_a_stop_in_an_evaluation_ends_it_at_once_and_goes_on_to_the_result(whole: Fitted, tmp_path: Path, part: str):
    """Nothing of it is kept, and no step is done again; an evaluation may take longer than a scheduler waits."""
    asked: list[str] = []

    class Early(Watcher):
        def run_started(self, event: RunStarted) -> None:
            def ask(network: torch.nn.Module, _images: object) -> None:
                ended = len(self.of(EpochEnded)) == EPOCHS
                if not network.training and ended == (part == "test"):
                    asked.append("again" if asked else "first")
                    os.kill(os.getpid(), signal.SIGTERM)

            event.network.register_forward_pre_hook(ask)

    with pytest.raises(Terminated, match="saved; go on with"):
        fitting.fit(plan(ASKED), out=tmp_path / "run", observers=[Early()])
    assert asked == ["first"]
    assert Record(tmp_path / "run").status == "stopped"
    again = Watcher()
    fitting.resume(Record(tmp_path / "run"), observers=[again])
    assert len(again.of(StepEnded)) == (0 if part == "test" else (EPOCHS - 1) * STEPS)
    assert_same(tmp_path / "run", whole)


@pytest.mark.parametrize(("batch", "why"), [(60, "stochastic depth in uneven micro-batches"), (64, None)])
def test_stochastic_depth_in_uneven_micro_batches_keeps_its_processes(tmp_path: Path, batch: int, why: str | None):
    """Of four processes 2 micro-batches of 64 images hold the images that one process's do; of 60 they do not."""
    settings = (f"batch_size={batch}", "micro_batches=2", "precision=float32")
    begun = fitting.fit(
        plan(replace(ASKED, network=replace(TINY, norm="group", last_survival=0.5), epochs=1, settings=settings)),
        out=tmp_path / "run",
    )
    again = Sitting.begin(begun.plan, ())
    again = replace(again, course=replace(again.course, team=Team(ranks=4)))
    if why:
        with pytest.raises(BadSetting, match=f"its {why} sees each process's share"):
            resumption.moved(begun.record, again, accepted=False)
    assert resumption.moved(begun.record, again, accepted=True) == {"from": 1, "to": 4, "changes_result_by": why}


def test_a_damaged_checkpoint_is_passed_over_for_the_one_before_it(whole: Fitted, tmp_path: Path) -> None:
    run = tmp_path / "run"
    with pytest.raises(Interrupted):
        fitting.fit(plan(ASKED), out=run, observers=[Watcher(stop_at(50))])
    older, newest = checkpoint.found(run / "checkpoints")
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes(content)
    watcher = Watcher()
    fitting.resume(Record(run), observers=[watcher])
    assert older.name in watcher.events[0].notes[-1]  # type: ignore[attr-defined]
    assert_same(run, whole)


def test_sigterm_saves_and_the_run_goes_on(whole: Fitted, tmp_path: Path) -> None:
    """A second one, of a launcher that passes on what the whole group was sent, does not cut the save off."""
    twice = [stop_at(47, signal.SIGTERM), stop_at(47, signal.SIGTERM)]
    with pytest.raises(Terminated, match="residua train --resume") as stopped:
        fitting.fit(plan(ASKED), out=tmp_path / "run", observers=[Watcher(stop) for stop in twice])
    assert stopped.value.exit_code == 143
    assert Record(tmp_path / "run").status == "stopped"
    fitting.resume(Record(tmp_path / "run"))
    assert_same(tmp_path / "run", whole)


@pytest.mark.parametrize(
    "settings",
    [
        ("averaging.kind=ema", "averaging.decay=0.9"),
        ("averaging.kind=lookahead", "averaging.every=3", "stem_epochs=2"),
        ("averaging.kind=ema", "recalibration_images=300"),
        ("optimizer.kind=muon", "optimizer.learning_rate=0.05", "schedule.warmup_fraction=0"),
        ("mixup=0.4", "cutmix=1", "erase=0.5", "crop_smallest_area=0.3", "micro_batches=3"),
    ],
    ids=["ema", "lookahead", "recalibrated", "muon", "mixed"],
)
def test_whatever_a_recipe_keeps_or_draws_goes_on_to_the_bit(tmp_path: Path, settings: tuple[str, ...]) -> None:
    """Averages and momenta are in the checkpoint, draws are functions of (seed, epoch, step)."""
    asked = replace(ASKED, epochs=3, settings=(*ASKED.settings, *settings))
    undisturbed = fitting.fit(plan(asked), out=tmp_path / "whole")
    with pytest.raises(Interrupted):
        fitting.fit(plan(asked), out=tmp_path / "run", observers=[Watcher(stop_at(47))])
    fitting.resume(Record(tmp_path / "run"))
    ours, theirs = (tmp_path / name / "model.safetensors" for name in ("run", "whole"))
    assert ours.read_bytes() == theirs.read_bytes()
    assert timeless(Record(tmp_path / "run").epochs()) == timeless(undisturbed.record.epochs())


def test_only_the_newest_checkpoints_stay(tmp_path: Path) -> None:
    network = torch.nn.Linear(2, 2)
    state = State(network=network, optimizer=torch.optim.SGD(network.parameters(), lr=0.1))
    for step in range(1, 6):
        state.position.total_steps = step
        checkpoint.save(state, tmp_path)
    assert steps_of(tmp_path) == [4, 5]


def test_a_damaged_checkpoint_makes_room_for_whole_ones(tmp_path: Path) -> None:
    """One further on than the state that is saved could not be read back."""
    network = torch.nn.Linear(2, 2)
    state = State(network=network, optimizer=torch.optim.SGD(network.parameters(), lr=0.1))
    for step in (10, 20, 11):
        state.position.total_steps = step
        checkpoint.save(state, tmp_path)
    assert steps_of(tmp_path) == [10, 11]


def test_a_checkpoint_is_due_when_its_time_is_up_and_writing_is_not_most_of_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every 30 s; where one takes 3 s to write, every 60 s: a twentieth of the time."""
    now, took = [0.0], [0.0]

    def save(_state: State, _folder: Path) -> None:
        saved.append(now[0])
        now[0] += took[0]

    saved: list[float] = []
    monkeypatch.setattr("residua.training.sitting.time.perf_counter", lambda: now[0])
    monkeypatch.setattr(checkpoint, "save", save)
    network = torch.nn.Linear(2, 2)
    state = State(network=network, optimizer=torch.optim.SGD(network.parameters(), lr=0.1))
    decided = plan(TrainSpec(network=TINY, epochs=1))
    course = replace(sitting.Sitting.begin(decided, []).course, recipe=recipe("default"))
    saver = sitting.Saver(course, state, tmp_path)
    for second in range(1, 200):
        now[0] = max(now[0], float(second))
        took[0] = 3.0 if second >= 60 else 0.0
        if saver.is_due():
            saver.save()
    assert saved == [30.0, 60.0, 123.0, 186.0]
    assert not saver.is_due(epoch_ended=True)
    now[0] += 50.0
    assert saver.is_due(epoch_ended=True)


def test_every_epoch_ends_with_a_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a minute has not passed; a checkpoint may take as long as it likes, which is the disk's."""
    monkeypatch.setattr(sitting, "_SAVING_SHARE", float("inf"))
    run, there = tmp_path / "run", []

    def look(event: StepEnded) -> None:
        there.append((event.epoch, len(checkpoint.found(run / "checkpoints"))))

    asked = replace(ASKED, epochs=3, settings=ASKED.settings[:1])
    fitting.fit(plan(asked), out=run, observers=[Watcher(look)])
    assert [max(kept for epoch, kept in there if epoch == number) for number in (1, 2, 3)] == [0, 1, 2]


def test_more_epochs_follow_the_schedule_of_the_longer_run(tmp_path: Path) -> None:
    """Stopped after epoch 1 of 2 and resumed for 4: the rate of each further epoch is the 4-epoch run's."""
    asked = TrainSpec(network=TINY, epochs=2, settings=("precision=float32",))
    with pytest.raises(Interrupted):
        fitting.fit(plan(asked), out=tmp_path / "run", observers=[Watcher(stop_at(STEPS))])
    fitting.resume(Record(tmp_path / "run"), epochs=4)
    longer = fitting.fit(plan(TrainSpec(network=TINY, epochs=4, settings=asked.settings)), out=tmp_path / "longer")
    rates = [row["learning_rate"] for row in Record(tmp_path / "run").epochs()]
    assert rates[1:] == [row["learning_rate"] for row in longer.record.epochs()][1:]
    kept = Record(tmp_path / "run").read("run")
    assert kept["epochs"] == 4
    assert kept["extended"] == [{"from": 2, "to": 4}]
    assert "4 epochs" in kept["headline"]
    assert kept["headline"].endswith("lengthened from 2")
    assert Record(tmp_path / "run").read("recipe")["epochs"] == 4


def test_what_changes_no_result_may_be_asked_anew(whole: Fitted, tmp_path: Path) -> None:
    run = tmp_path / "run"
    with pytest.raises(Interrupted):
        fitting.fit(plan(ASKED), out=run, observers=[Watcher(stop_at(5))])
    with pytest.raises(BadSetting, match="settings is .*precision=bfloat16.* and would change its result"):
        residua.resume(run, settings=["checkpoint_seconds=60", "precision=bfloat16"])
    for unknown in ("precison=float32", "network.width=4", "data.kep=memory"):
        with pytest.raises(BadSetting, match=f"{unknown.partition(chr(61))[0]}.* is no setting; did you mean"):
            residua.resume(run, settings=[unknown])
    with pytest.raises(Interrupted):
        fitting.resume(Record(run), settings=["checkpoint_seconds=60"], observers=[Watcher(stop_at(2))])
    assert steps_of(run / "checkpoints") == [5, 7]
    residua.resume(run, settings=["recipe.checkpoint_seconds=60", "recipe.precision=float32"])
    assert_same(run, whole)


def test_another_machine_is_said_and_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once for each change; back where it was is a change too."""
    run, real = tmp_path / "run", machine.description
    with pytest.raises(Interrupted):
        fitting.fit(plan(ASKED), out=run, observers=[Watcher(stop_at(5))])
    told = []
    for processor in ("another", "another", real()["processor"]):
        monkeypatch.setattr(machine, "description", lambda name=processor: {**real(), "processor": name})
        watcher = Watcher(stop_at(3))
        with pytest.raises(Interrupted):
            fitting.resume(Record(run), observers=[watcher])
        told.append([note for note in watcher.events[0].notes if "not where it was" in note])  # type: ignore[attr-defined]
    assert [len(notes) for notes in told] == [1, 0, 1]
    assert f"(processor {real()['processor']} → another)" in told[0][0]
    assert [change["step"] for change in Record(run).read("run")["machines"]] == [5, 11]


def test_fewer_epochs_are_refused(tmp_path: Path) -> None:
    asked = TrainSpec(network=TINY, epochs=3, settings=("precision=float32",))
    with pytest.raises(Interrupted):
        fitting.fit(plan(asked), out=tmp_path / "run", observers=[Watcher(stop_at(5))])
    with pytest.raises(BadSetting, match="--epochs is 2 here and 3 in the run"):
        fitting.resume(Record(tmp_path / "run"), epochs=2)


def test_every_checkpoint_damaged_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        fitting.fit(plan(ASKED), out=tmp_path / "run", observers=[Watcher(stop_at(5))])
    for path in checkpoint.found(tmp_path / "run" / "checkpoints"):
        path.write_bytes(b"")
    with pytest.raises(BadRun, match="cannot be read back") as caught:
        fitting.resume(Record(tmp_path / "run"))
    assert "\n" not in str(caught.value)


def test_the_step_log_has_the_mean_loss_of_each_step(whole: Fitted) -> None:
    rows = [json.loads(line) for line in (whole.record.path / "steps.jsonl").read_text().splitlines()]
    first = [row["loss"] for row in rows if row["epoch"] == 1]
    assert len(first) == STEPS
    assert sum(first) / STEPS == pytest.approx(whole.record.epochs()[0]["train_loss"])
