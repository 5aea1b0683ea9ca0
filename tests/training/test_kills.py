"""A run that is killed at any moment ends, resumed, as one that was not, to the bit."""

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
from tests.training.conftest import ASKED, EPOCHS, STEPS, Watcher
from tests.training.stopping import assert_same

import residua
from residua import artifact, files
from residua.errors import BadRun
from residua.training import checkpoint
from residua.training import fit as fitting
from residua.training.fit import Fitted
from residua.training.plan import plan
from residua.training.record import Record

ROOT = Path(__file__).parents[2]


def child(run: Path, *, resume: bool = False, interval: float = 0.0, dies: str = "") -> subprocess.Popen:
    """The run in a process of its own, with its report, a little slower, so that there is a moment to kill it in."""
    code = f"from tests.training import test_kills; test_kills.train({str(run)!r}, {resume}, {interval}, {dies!r})"
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
