"""``residua train --processes N`` as a user types it: one command, one exit code, no process left behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from residua import files
from residua.errors import BadSetting, ProcessLost
from residua.training.launch import _exit_code

SECONDS = 120
TRAIN = ("--network", "resnet8", "--epochs", "500", "--processes", "2", "--set", "checkpoint_seconds=0")


def residua(*arguments: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "residua", "train", *arguments]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def reaches(run: Path, step: int, process: subprocess.Popen[str]) -> bool:
    """Waits until the run's log has a step."""
    until = time.monotonic() + SECONDS
    while process.poll() is None and time.monotonic() < until:
        if (run / "steps.jsonl").is_file() and len(files.read_json_lines(run / "steps.jsonl")) >= step:
            return True
        time.sleep(0.05)
    return False


def children(process: subprocess.Popen[str]) -> list[int]:
    """Returns the processes that it started, rank 0 first."""
    listed = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
    return sorted(map(int, listed.split()))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_command_of_two_processes_stops_goes_on_and_loses_one(tmp_path: Path):
    """SIGTERM to the command: 143 and a saved state. Resumed with as many as before, and one killed: 1, and why."""
    run = tmp_path / "run"
    stopped = residua(*TRAIN, "--out", str(run))
    assert reaches(run, 3, stopped)
    stopped.terminate()
    out, err = stopped.communicate(timeout=SECONDS)
    assert stopped.returncode == 143
    assert err.startswith("stopped after step ")
    assert err.endswith(f"saved; go on with: residua train --resume {run}\n")
    assert err.count("\n") == 1
    assert out.count("resnet8 (75,002 parameters)") == 1

    steps = len(files.read_json_lines(run / "steps.jsonl"))
    again = residua("--resume", str(run))
    assert reaches(run, steps + 3, again)
    workers = children(again)
    assert len(workers) == 2
    os.kill(next(worker for worker in workers if rank_of(worker) == 1), signal.SIGKILL)
    _, err = again.communicate(timeout=SECONDS)
    assert again.returncode == 1
    said = sorted(err.splitlines())
    assert said[0].startswith("error: another process of the run ended after step ")
    assert said[1].startswith("error: process 1 of 2 was killed by SIGKILL, as the system does when memory runs out")
    assert len(said) == 2
    assert not any(Path(f"/proc/{worker}").exists() for worker in workers)


def rank_of(process: int) -> int:
    """Returns the rank that the launcher gave a process."""
    variables = Path(f"/proc/{process}/environ").read_bytes().split(b"\0")
    return int(next(line for line in variables if line.startswith(b"RANK=")).removeprefix(b"RANK="))


def test_the_exit_code_is_rank_0s_or_tells_who_was_killed():
    assert _exit_code({0: 143}, 2) == 143
    assert _exit_code({1: 1, 0: 2}, 2) == 2
    assert _exit_code({0: 2, 1: -signal.SIGTERM}, 2) == 2
    with pytest.raises(ProcessLost, match=r"process 3 of 4 was killed by SIGKILL"):
        _exit_code({0: 1, 2: -signal.SIGTERM, 3: -signal.SIGKILL}, 4)
    with pytest.raises(ProcessLost, match=r"process 1 of 2 was killed by SIGTERM"):
        _exit_code({1: -signal.SIGTERM}, 2)
    with pytest.raises(ProcessLost, match=r"process 3 of 4 was killed by SIGSEGV, and the others"):
        _exit_code({0: 1, 3: -signal.SIGSEGV}, 4)


def test_another_number_than_were_started_is_refused(monkeypatch: pytest.MonkeyPatch):
    from residua.cli.train import _processes

    assert _processes(None, None) == 1
    assert _processes(3, None) == 3
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert _processes(None, None) == _processes(4, None) == 4
    with pytest.raises(BadSetting, match="torchrun started 4 processes, --processes says 2; leave it out"):
        _processes(2, None)
