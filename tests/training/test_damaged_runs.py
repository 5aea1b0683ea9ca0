"""A run whose files somebody damaged: one line, or where it is only a log, none."""

import errno
import json
import os
import shutil
from pathlib import Path

import pytest
from tests.training.conftest import TINY, Watcher, fit
from tests.training.stopping import stop_at

import residua
from residua import cli
from residua.errors import BadRun, Interrupted, ResiduaError
from residua.training import record
from residua.training.record import Record
from residua.training.spec import TrainSpec

ASKED = TrainSpec(network=TINY, epochs=2, settings=("precision=float32",))


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("stopped") / "run"
    with pytest.raises(Interrupted):
        fit(ASKED, out=run, observers=[Watcher(stop_at(5))])
    return run


@pytest.mark.parametrize("name", ["run", "data", "recipe", "specification"])
@pytest.mark.parametrize("content", ["{}", "[]", "5"])
def test_a_file_with_other_content_is_one_line(stopped: Path, tmp_path: Path, name: str, content: str):
    run = tmp_path / "run"
    shutil.copytree(stopped, run)
    (run / f"{name}.json").write_text(content)
    with pytest.raises(ResiduaError, match=rf"{name}.json is damaged \((it lacks|no JSON object).*restore the file"):
        residua.resume(run)


@pytest.mark.parametrize("damage", [bytes(range(256)), b'{"a": 1}\n5\n', b"\0" * 300])
def test_a_damaged_log_keeps_no_run_from_going_on(stopped: Path, tmp_path: Path, damage: bytes):
    run = tmp_path / "run"
    shutil.copytree(stopped, run)
    with (run / "steps.jsonl").open("ab") as log:
        log.write(damage)
    residua.resume(run)
    steps = [json.loads(line)["step"] for line in (run / "steps.jsonl").read_text().splitlines()]
    assert steps == list(range(1, 41))


def test_the_newest_run_is_the_newest_that_can_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    for name, content in (("a", '{"created": "2026"}'), ("b", "[]"), ("c", "{")):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "run.json").write_text(content)
    assert record.find("last") == Record(Path("runs/a"))
    (tmp_path / "runs" / "a" / "run.json").unlink()
    with pytest.raises(BadRun, match="there is no run in"):
        record.find("last")


def test_without_a_checkpoint_it_is_said_that_the_run_begins_again(
    stopped: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    run = tmp_path / "run"
    shutil.copytree(stopped, run)
    shutil.rmtree(run / "checkpoints")
    residua.resume(run)
    assert "there is no checkpoint yet: begins again with the first step" in capsys.readouterr().out


def test_a_file_that_may_not_be_read_is_one_line(
    stopped: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def denied(*_: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(stopped / "run.json"))

    monkeypatch.setattr("sys.argv", ["residua", "train", "--resume", str(stopped)])
    monkeypatch.setattr("residua.files.read_json", denied)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    assert capsys.readouterr().err == (
        f"error: {stopped / 'run.json'}: Permission denied; mend that, then run the command again\n"
    )
