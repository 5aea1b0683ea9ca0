"""A disk without room is one line, and takes nothing that was finished."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest
from tests.training.conftest import ASKED, TINY, Watcher
from tests.training.stopping import assert_same, steps_of, stop_at

import residua
from residua import files
from residua.errors import Interrupted, NotSaved
from residua.training import checkpoint, record
from residua.training import fit as fitting
from residua.training.fit import Fitted
from residua.training.plan import plan
from residua.training.record import Record


def fill(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Leaves no room for the files of one name."""
    real = files.write

    def write(path: Path, content: Any) -> None:
        if path.name == name:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(path, content)

    monkeypatch.setattr(files, "write", write)


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
