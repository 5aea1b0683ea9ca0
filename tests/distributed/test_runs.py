"""Whole runs of several processes: who writes, how they stop, and how they go on."""

import errno
import os
import re
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.distributed.processes import Ended, together
from tests.training.conftest import TINY, Watcher

from residua import files
from residua.errors import BadSetting, Interrupted
from residua.training import fit as fitting
from residua.training.distributed import joined
from residua.training.observers import StepEnded
from residua.training.plan import plan
from residua.training.record import Record
from residua.training.spec import TrainSpec

EPOCHS, STEPS = 2, 20
SETTINGS = ("precision=float32", "checkpoint_seconds=0", "recalibration_images=300")
ASKED = TrainSpec(network=TINY, epochs=EPOCHS, settings=SETTINGS)
GROUPED = replace(ASKED, network=replace(TINY, norm="group"))
TIMES = ("seconds", "images_per_second")


class Signals:
    """Sends its own process a signal when so many steps are done in it."""

    def __init__(self, step: int, number: int) -> None:
        self._left, self._number = step, number

    def __call__(self, _event: StepEnded) -> None:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), self._number)


def begun(run: Path, asked: TrainSpec = ASKED, hit: tuple[int, int, int] | None = None) -> list[str]:
    """Begins a run in which one rank is sent a signal at a step, and returns what this rank wrote into its folder."""
    written = writes_into(run)
    with joined() as team:
        watcher = Watcher(Signals(*hit[1:]) if hit and hit[0] == team.rank else None)
        fitting.fit(team.together(lambda: plan(asked)), out=run, observers=[watcher], team=team)
    return written


def begun_with_a_seed_of_its_own(run: Path) -> None:
    """Begins a run that another rank was asked to begin with another seed, as two machines' commands may differ."""
    with joined() as team:
        fitting.fit(plan(replace(ASKED, seed=team.rank)), out=run, team=team)


def resumed(run: Path, accept: bool = False) -> int:
    """Goes on with a run, and returns the first step that was taken here."""
    with joined() as team:
        fitting.resume(Record(run), team=team, accept_processes=accept)
    return Record(run).read("run")["resumed_at"][-1]


def writes_into(run: Path) -> list[str]:
    """Returns a list that grows by every file that this process opens for writing in a folder."""
    written: list[str] = []

    def look(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and str(arguments[0]).startswith(str(run)) and arguments[2] & (os.O_WRONLY | os.O_RDWR):
            written.append(str(arguments[0]))

    sys.addaudithook(look)
    return written


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Ended]:
    """A run of two processes that nobody disturbs."""
    folder = tmp_path_factory.mktemp("whole")
    return folder / "run", together(2, begun, folder / "run", folder=folder / "ended")


def assert_same(run: Path, other: Path) -> None:
    """Weights to the bit, every metric that is no time, and each step once."""
    assert (run / "model.safetensors").read_bytes() == (other / "model.safetensors").read_bytes()
    ours, theirs = (
        [{k: v for k, v in row.items() if k not in TIMES} for row in Record(r).epochs()] for r in (run, other)
    )
    assert ours == theirs
    assert Record(run).read("result") == Record(other).read("result")
    assert [row["step"] for row in files.read_json_lines(run / "steps.jsonl")] == list(range(1, EPOCHS * STEPS + 1))


def assert_lost(ended: Ended, run: Path, *, dead: int, says: int) -> None:
    """One rank alone says that another was lost at its ninth step, and all end."""
    ranks = range(len(ended.codes))
    assert ended.codes == [-signal.SIGKILL if rank == dead else 1 for rank in ranks]
    assert [rank for rank in ranks if ended.said[rank]] == [says]
    assert re.fullmatch(
        f"{f'process {says}: ' if says else ''}another process of the run ended after step 9; the newest checkpoint is "
        rf"step-000000008-\w+\.pt: go on with `residua train --resume {re.escape(str(run))}`\n",
        ended.said[says],
    )


def test_rank_0_alone_writes(whole: tuple[Path, Ended]):
    run, ended = whole
    assert ended.codes == [0, 0]
    assert ended.gave[0] != []
    assert ended.gave[1] == []
    assert Record(run).read("run")["processes"] == 2


def test_the_time_is_said_of_several_processes_too(whole: tuple[Path, Ended]):
    run, _ = whole
    assert Record(run).read("run")["estimate"]["seconds"] > 0


def test_each_held_out_image_is_predicted_once(whole: tuple[Path, Ended]):
    run, _ = whole
    split = Record(run).read("split")
    for part in ("validation", "test"):
        assert [row["file"] for row in Record(run).predictions(part)] == split[part]
        assert Record(run).read("result")["parts"][part]["images"] == len(split[part])


def test_all_ranks_stop_at_the_step_at_which_one_is_asked_to(whole: tuple[Path, Ended], tmp_path: Path):
    """SIGTERM to rank 1: rank 0 saves and ends with 143; resumed, the run ends as if it had not been stopped."""
    run = tmp_path / "run"
    ended = together(2, begun, run, ASKED, (1, 27, signal.SIGTERM), folder=tmp_path / "stopped")
    assert ended.codes == [143, 0]
    assert ended.said == [f"stopped after step 27 of 40, saved; go on with: residua train --resume {run}\n", ""]
    assert Record(run).status == "stopped"
    again = together(2, resumed, run, folder=tmp_path / "resumed")
    assert again.gave == [27, 27]
    assert_same(run, whole[0])


@pytest.mark.slow
def test_resuming_three_is_exact_too(tmp_path: Path):
    """Three numbers have several sums: what is averaged together, and in which order, must not change on the way."""
    run, whole = tmp_path / "run", tmp_path / "whole"
    together(3, begun, whole, folder=tmp_path / "undisturbed")
    together(3, begun, run, ASKED, (0, 9, signal.SIGTERM), folder=tmp_path / "stopped")
    assert together(3, resumed, run, folder=tmp_path / "resumed").gave == [9] * 3
    assert_same(run, whole)


@pytest.mark.parametrize("dead", [0, 1])
def test_the_death_of_one_ends_the_others(whole: tuple[Path, Ended], tmp_path: Path, dead: int):
    """No hang, one line from the one that is left; the state of the step before is there, and resuming is exact."""
    run = tmp_path / "run"
    ended = together(2, begun, run, ASKED, (dead, 9, signal.SIGKILL), folder=tmp_path / "lost")
    assert_lost(ended, run, dead=dead, says=1 - dead)
    assert Record(run).status == ("training" if dead == 0 else "stopped")
    assert together(2, resumed, run, folder=tmp_path / "resumed").gave == [8, 8]
    assert_same(run, whole[0])


def begun_without_room(run: Path, name: str) -> None:
    """Begins a run in whose folder there is no room for the files of a name."""
    ordinary = files.write

    def write(path: Path, content: str | bytes) -> None:
        if path.name == name:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        ordinary(path, content)

    files.write = write
    begun(run)


def test_another_seed_on_another_machine_is_refused_before_anything_is_written(tmp_path: Path):
    ended = together(2, begun_with_a_seed_of_its_own, tmp_path / "run", folder=tmp_path / "ended")
    assert "the seed" in ended.said[0]
    assert ended.said[1] == ""
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["metrics.jsonl", "result.json"])
def test_a_disk_that_is_full_for_rank_0_is_said_once(tmp_path: Path, name: str):
    ended = together(2, begun_without_room, tmp_path / "run", name, folder=tmp_path / "full")
    assert ended.said[0].startswith(
        f"cannot write into {tmp_path / 'run'} (No space left on device); mend that, then go"
    )
    assert ended.said[1] == ""


def test_of_several_that_are_left_the_first_two_at_most_say_so(tmp_path: Path):
    run = tmp_path / "run"
    ended = together(4, begun, run, GROUPED, (0, 9, signal.SIGKILL), folder=tmp_path / "lost")
    assert_lost(ended, run, dead=0, says=1)


def test_another_number_of_processes_is_refused_where_it_changes_the_result(tmp_path: Path):
    """Batch norm sees a process's share. Accepted by name, the run says from where to where, and why it matters."""
    run = tmp_path / "run"
    together(2, begun, run, ASKED, (0, 30, signal.SIGINT), folder=tmp_path / "stopped")
    with pytest.raises(
        BadSetting, match="begun with --processes 2 and this is 1: its batch norm sees .*--accept-processes"
    ):
        fitting.resume(Record(run))
    assert Record(run).status == "stopped"
    fitting.resume(Record(run), accept_processes=True)
    kept = Record(run).read("run")
    assert kept["status"] == "finished"
    assert kept["processes"] == 1
    assert kept["moved"] == [{"step": 30, "from": 2, "to": 1, "changes_result_by": "batch norm"}]


def test_another_number_of_processes_goes_on_where_it_changes_nothing(tmp_path: Path):
    """One process, then four: without batch norm every epoch is that of one process, but for rounding."""
    fitting.fit(plan(GROUPED), out=tmp_path / "alone")
    with pytest.raises(Interrupted):
        fitting.fit(plan(GROUPED), out=tmp_path / "run", observers=[Watcher(Signals(12, signal.SIGINT))])
    assert together(4, resumed, tmp_path / "run", folder=tmp_path / "resumed").gave == [12] * 4
    ours, theirs = (Record(tmp_path / name).epochs() for name in ("run", "alone"))
    for row, other in zip(ours, theirs, strict=True):
        assert [row[k] for k in ("train_loss", "validation_loss")] == pytest.approx(
            [other[k] for k in ("train_loss", "validation_loss")], abs=1e-4
        )
    assert Record(tmp_path / "run").read("run")["moved"] == [
        {"step": 12, "from": 1, "to": 4, "changes_result_by": None}
    ]
