"""Exact resume: a run that is killed at any moment ends, resumed, as one that was not, to the bit."""

import errno
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.training.conftest import TINY, Watcher

import residua
from residua import artifact, files, machine
from residua.errors import BadRun, BadSetting, Interrupted, NotSaved, Terminated
from residua.training import checkpoint, record, resumption, sitting
from residua.training import fit as fitting
from residua.training.distributed import Team
from residua.training.fit import Fitted
from residua.training.observers import EpochEnded, StepEnded
from residua.training.plan import plan
from residua.training.recipe import recipe
from residua.training.record import Record
from residua.training.sitting import Sitting
from residua.training.spec import TrainSpec
from residua.training.state import State

ROOT = Path(__file__).parents[2]
EPOCHS = 6
STEPS = 20
"""Steps an epoch of the embedded digits at 64 images a step."""
ASKED = TrainSpec(network=TINY, epochs=EPOCHS, settings=("precision=float32", "checkpoint_seconds=0"))
TIMES = ("seconds", "images_per_second")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Fitted:
    """The run that nobody disturbs."""
    return fitting.fit(plan(ASKED), out=tmp_path_factory.mktemp("whole") / "run")


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


def test_a_disk_that_is_full_for_the_report_is_one_line_and_the_report_is_drawn_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    run = tmp_path / "run"
    with monkeypatch.context() as full:

        def write_report(*_: object) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        full.setattr("residua.report.page.write_report", write_report)
        with pytest.raises(NotSaved, match=f"No space left on device.*residua train --resume {run}"):
            residua.train("digits", network=TINY, epochs=1, out=run)
    assert residua.resume(run).report.is_file()


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


def timeless(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name not in TIMES} for row in rows]


def assert_same(run: Path, whole: Fitted) -> None:
    """Weights to the bit, every metric that is no time, and each step once."""
    ours, theirs = (path / "model.safetensors" for path in (run, whole.record.path))
    assert ours.read_bytes() == theirs.read_bytes()
    assert timeless(Record(run).epochs()) == timeless(whole.record.epochs())
    assert Record(run).read("result") == whole.record.read("result")
    steps = [row["step"] for row in files.read_json_lines(run / "steps.jsonl")]
    assert steps == list(range(1, EPOCHS * STEPS + 1))


def child(run: Path, *, resume: bool = False, interval: float = 0.0, dies: str = "") -> subprocess.Popen:
    """The run in a process of its own, with its report, a little slower, so that there is a moment to kill it in."""
    code = f"from tests.training import test_resume; test_resume.train({str(run)!r}, {resume}, {interval}, {dies!r})"
    path = os.pathsep.join([str(ROOT), *sys.path])
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, "-c", code], env=environment, stderr=subprocess.DEVNULL)


def train(run: str, resume: bool, interval: float, dies: str) -> None:
    """What a child does."""
    torch.set_num_threads(1)
    watcher = Watcher(lambda _event: time.sleep(0.004))
    if dies:
        MOMENTS[dies]()
    settings = (*ASKED.settings[:-1], f"checkpoint_seconds={interval}")
    if resume:
        fitting.resume(Record(Path(run)), observers=[watcher])
    else:
        fitting.fit(plan(replace(ASKED, settings=settings)), out=Path(run), observers=[watcher])


def die(*_: Any, **__: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def in_the_beginning() -> None:
    """All is written but ``run.json``."""
    real = Record.write
    Record.write = lambda run, name, value: die() if name == "run" else real(run, name, value)  # type: ignore[method-assign]


def in_the_middle_of_a_save() -> None:
    """Half of the bytes of step 31 are in their file."""
    real = os.fdopen

    class Half:
        def __init__(self, file: Any) -> None:
            self.file = file

        def __enter__(self) -> "Half":
            return self

        def __exit__(self, *_: object) -> None: ...

        def write(self, content: bytes) -> None:
            self.file.write(content[: len(content) // 2])
            self.file.flush()
            die()

    def fdopen(handle: int, mode: str, *more: Any) -> Any:
        file = real(handle, mode, *more)
        return Half(file) if "/.step-000000031-" in str(Path(f"/proc/self/fd/{handle}").readlink()) else file

    os.fdopen = fdopen  # type: ignore[assignment]


def before_the_weights() -> None:
    """Predictions and result are written, the weights are not."""
    artifact.save = die  # type: ignore[assignment]


MOMENTS = {name.__name__: name for name in (in_the_beginning, in_the_middle_of_a_save, before_the_weights)}


def taken(run: Path) -> int:
    """The last step that the log knows of."""
    rows = files.read_json_lines(run / "steps.jsonl") if (run / "steps.jsonl").is_file() else []
    return rows[-1]["step"] if rows else 0


def wait_for(run: Path, step: int, process: subprocess.Popen) -> None:
    until = time.monotonic() + 60
    while taken(run) < step and process.poll() is None and time.monotonic() < until:
        time.sleep(0.002)


KILLS = int(os.environ.get("RESIDUA_TEST_KILLS", "2"))


@pytest.mark.parametrize("seed", range(KILLS))
def test_a_run_that_is_killed_again_and_again_ends_as_if_it_had_not_been(
    whole: Fitted, tmp_path: Path, seed: int
) -> None:
    """SIGKILL at three random moments, some in the middle of a save.

    With a checkpoint after every step what is done twice is one step at most: the one that the log has and no
    checkpoint. Every second run saves every tenth of a second.
    """
    draws, run = random.Random(seed), tmp_path / "run"
    interval = 0.1 if seed % 2 else 0.0
    reached, went_on = 0, []
    for kill in range(3):
        process = child(run, resume=(run / "run.json").is_file(), interval=interval)
        wait_for(run, draws.randint(1, 35) + 38 * kill, process)
        time.sleep(draws.random() * 0.02)
        process.kill()
        process.wait()
        before, went_on = went_on, Record(run).read("run")["resumed_at"] if (run / "run.json").is_file() else []
        assert interval or all(0 <= reached - step <= 1 for step in went_on[len(before) :])
        reached = taken(run)
    fitting.resume(Record(run))
    assert interval or 0 <= reached - Record(run).read("run")["resumed_at"][-1] <= 1
    assert_same(run, whole)
    assert not (run / "checkpoints").exists()
    assert not list(run.glob(".*.partial"))


def test_a_kill_in_the_middle_of_a_save_leaves_the_checkpoint_before(whole: Fitted, tmp_path: Path) -> None:
    """What a save cut short leaves is neither taken for a checkpoint nor left behind."""
    run = tmp_path / "run"
    assert child(run, dies="in_the_middle_of_a_save").wait() == -signal.SIGKILL
    checkpoints = run / "checkpoints"
    assert [path.stat().st_size for path in checkpoints.glob(".*.partial")] > [0]
    assert checkpoint.found(checkpoints)[-1].name.startswith("step-000000030-")
    left = []
    fitting.resume(Record(run), observers=[Watcher(lambda _event: left.extend(checkpoints.glob(".*.partial")))])
    assert not left
    assert Record(run).read("run")["resumed_at"] == [30]
    assert_same(run, whole)


def test_a_kill_before_the_folder_is_a_run_leaves_it_free(whole: Fitted, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert child(run, dies="in_the_beginning").wait() == -signal.SIGKILL
    assert (run / "environment.json").is_file()
    assert not (run / "run.json").exists()
    (run / ".run.json.abc.partial").write_text("{")
    fitting.fit(plan(ASKED), out=run)
    assert_same(run, whole)
    assert not files.partials(run)


def test_a_kill_while_the_result_is_written_loses_nothing(whole: Fitted, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert child(run, dies="before_the_weights").wait() == -signal.SIGKILL
    assert (run / "result.json").is_file()
    fitting.resume(Record(run))
    assert Record(run).read("run")["resumed_at"] == [EPOCHS * STEPS]
    assert_same(run, whole)


def test_a_run_that_was_killed_before_its_report_gets_it(whole: Fitted, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(whole.record.path, run)
    left = [run / "checkpoints", run / ".report.html.abc.partial", run / "figures" / ".loss.svg.abc.partial"]
    left[0].mkdir()
    left[2].parent.mkdir()
    for partial in left[1:]:
        partial.touch()
    assert residua.resume(run, epochs=EPOCHS).report.is_file()
    assert not any(path.exists() for path in left)
    assert_same(run, whole)
    with pytest.raises(BadRun, match="is finished"):
        residua.resume(run)
    Record(run).report.unlink()
    with pytest.raises(BadRun, match="is finished; see .*, or start from its weights"):
        residua.resume(run, epochs=EPOCHS + 1)
    assert Record(run).report.is_file(), "a finished run is not made longer, but its report is drawn"


def test_a_run_is_trained_by_one_process_at_a_time(whole: Fitted, tmp_path: Path) -> None:
    """Who comes second is told so, and disturbs nothing; who is killed keeps nobody away."""
    run = tmp_path / "run"
    process = child(run)
    wait_for(run, 20, process)
    with pytest.raises(BadRun, match="another process is at work on"):
        fitting.resume(Record(run))
    step = taken(run)
    wait_for(run, step + 5, process)
    assert taken(run) >= step + 5
    process.kill()
    process.wait()
    fitting.resume(Record(run))
    assert_same(run, whole)


def stop_at(step: int, number: int = signal.SIGINT) -> Any:
    seen = iter(range(1, 10_000))
    return lambda _event: next(seen) == step and os.kill(os.getpid(), number)


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
        ("optimizer.kind=muon", "optimizer.learning_rate=0.05", "schedule.warmup_fraction=0"),
        ("mixup=0.4", "cutmix=1", "erase=0.5", "crop_smallest_area=0.3", "micro_batches=3"),
    ],
    ids=["ema", "lookahead", "muon", "mixed"],
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


def test_a_full_disk_is_one_line_and_leaves_the_checkpoint_before(
    whole: Fitted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written, real = [], files.write

    def write(path: Path, content: Any) -> None:
        if path.suffix == ".pt":
            written.append(path)
            if len(written) == 3:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(path, content)

    monkeypatch.setattr(files, "write", write)
    with pytest.raises(NotSaved, match=r"No space left on device.*of step \d+ is intact.*--resume") as full:
        fitting.fit(plan(ASKED), out=tmp_path / "run")
    assert "\n" not in str(full.value)
    assert full.value.exit_code == 2
    monkeypatch.undo()
    assert checkpoint.found(tmp_path / "run" / "checkpoints")[-1] == written[1]
    fitting.resume(Record(tmp_path / "run"))
    assert_same(tmp_path / "run", whole)


def fill(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Leaves no room for the files of one name."""
    real = files.write

    def write(path: Path, content: Any) -> None:
        if path.name == name:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(path, content)

    monkeypatch.setattr(files, "write", write)


@pytest.mark.parametrize("name", ["metrics.jsonl", "result.json", "model.safetensors"])
def test_a_disk_that_fills_between_checkpoints_is_one_line_too(
    whole: Fitted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    fill(monkeypatch, name)
    with pytest.raises(NotSaved, match=r"cannot write into .*No space left on device.*--resume"):
        fitting.fit(plan(ASKED), out=tmp_path / "run")
    monkeypatch.undo()
    fitting.resume(Record(tmp_path / "run"))
    assert_same(tmp_path / "run", whole)


def test_a_disk_that_is_full_in_the_beginning_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder that is left is no run yet, and may be taken."""
    fill(monkeypatch, "environment.json")
    with pytest.raises(NotSaved, match=r"cannot write into .*No space left on device.*then train again"):
        fitting.fit(plan(ASKED), out=tmp_path / "run")
    monkeypatch.undo()
    assert record.create("digits", "own", tmp_path / "run").path == tmp_path / "run"


@pytest.mark.parametrize("name", ["run.json", "steps.jsonl"])
def test_a_disk_that_is_still_full_on_resume_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    with pytest.raises(Interrupted):
        fitting.fit(plan(ASKED), out=tmp_path / "run", observers=[Watcher(stop_at(5))])
    fill(monkeypatch, name)
    with pytest.raises(NotSaved, match=r"cannot write into .*No space left on device.*--resume"):
        fitting.resume(Record(tmp_path / "run"))
    monkeypatch.undo()
    assert steps_of(tmp_path / "run" / "checkpoints")[-1] == 5


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


def steps_of(folder: Path) -> list[int]:
    return [int(path.name.split("-")[1]) for path in checkpoint.found(folder)]


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


def test_every_epoch_ends_with_a_checkpoint(tmp_path: Path) -> None:
    """Half a minute has not passed, and an epoch costs more than twenty times what its checkpoint does."""
    run, there = tmp_path / "run", []

    def slow(event: StepEnded) -> None:
        time.sleep(0.02)
        there.append((event.epoch, len(checkpoint.found(run / "checkpoints"))))

    asked = replace(ASKED, epochs=3, settings=ASKED.settings[:1])
    fitting.fit(plan(asked), out=run, observers=[Watcher(slow)])
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
    assert Record(tmp_path / "run").read("recipe")["epochs"] == 4


def test_what_changes_no_result_may_be_asked_anew(whole: Fitted, tmp_path: Path) -> None:
    run = tmp_path / "run"
    with pytest.raises(Interrupted):
        fitting.fit(plan(ASKED), out=run, observers=[Watcher(stop_at(5))])
    with pytest.raises(BadSetting, match="settings is .*precision=bfloat16.* and would change its result"):
        residua.resume(run, settings=["checkpoint_seconds=60", "precision=bfloat16"])
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
