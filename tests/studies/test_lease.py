"""Exactly one process works on a name, and one that is gone is replaced."""

import json
import os
import platform
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from residua.studies import lease
from residua.studies.lease import Leases


def dead_process() -> int:
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    return done.pid


def leave(folder: Path, name: str, *, host: str, process: int) -> Path:
    """Writes what a process leaves that was killed."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(json.dumps({"host": host, "process": process}))
    return path


def test_of_many_that_want_a_name_at_once_one_gets_it(tmp_path: Path):
    together, got, let_go = threading.Barrier(8), [], threading.Event()

    def want() -> None:
        leases = Leases(tmp_path)
        together.wait()
        with leases.claim("a") as mine:
            got.append(mine)
            if mine:
                let_go.wait(10)

    threads = [threading.Thread(target=want) for _ in range(8)]
    for one in threads:
        one.start()
    while len(got) < 8:
        pass
    let_go.set()
    for one in threads:
        one.join()
    assert sorted(got) == [False] * 7 + [True]


def test_of_two_that_both_saw_nobody_one_gets_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The file decides, not the look at the folder before it."""
    with Leases(tmp_path).claim("a") as first:
        monkeypatch.setattr(Leases, "_generations", lambda self, name: [])
        with Leases(tmp_path).claim("a") as second:
            assert (first, second) == (True, False)


def test_a_lease_ends_with_its_block_even_where_that_fails(tmp_path: Path):
    leases = Leases(tmp_path)
    held = []

    def interrupted() -> None:
        with leases.claim("a"):
            held.extend(leases.held())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert (held, leases.held()) == (["a"], [])
    with leases.claim("a") as again:
        assert again


def test_other_names_are_free(tmp_path: Path):
    leases = Leases(tmp_path)
    with leases.claim("a"), leases.claim("b") as mine:
        assert mine


def test_a_process_of_this_machine_that_is_gone_is_not_waited_for(tmp_path: Path):
    leave(tmp_path, "a.0", host=platform.node(), process=dead_process())
    with Leases(tmp_path).claim("a") as mine:
        assert mine
        assert {path.name for path in tmp_path.iterdir()} == {"a.0", "a.1"}
    assert list(tmp_path.iterdir()) == []


def test_one_process_alone_takes_over(tmp_path: Path):
    leave(tmp_path, "a.0", host=platform.node(), process=dead_process())
    first, second = Leases(tmp_path), Leases(tmp_path)
    with first.claim("a") as mine, second.claim("a") as theirs:
        assert (mine, theirs) == (True, False)


def test_one_that_was_taken_for_gone_leaves_its_successors_lease(tmp_path: Path):
    """A laptop that slept: its lease was stale, another machine took over, and then it wakes and ends."""
    with Leases(tmp_path).claim("a"):
        leave(tmp_path, "a.1", host="elsewhere", process=1)
    assert {path.name for path in tmp_path.iterdir()} == {"a.1"}
    with Leases(tmp_path).claim("a") as mine:
        assert not mine


def test_a_process_of_this_machine_that_lives_is_waited_for(tmp_path: Path):
    leave(tmp_path, "a.0", host=platform.node(), process=os.getpid())
    with Leases(tmp_path).claim("a") as mine:
        assert not mine


def test_another_machine_is_believed_while_its_lease_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Its clock is not asked: what counts is when this process saw a change, by this process's own clock."""
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    path = leave(tmp_path, "a.0", host="elsewhere", process=1)
    os.utime(path, (0, 0))
    leases = Leases(tmp_path)
    assert leases.held() == ["a"]
    now = lease.STALE_SECONDS - 1
    assert leases.held() == ["a"]
    os.utime(path, (5, 5))
    assert leases.held() == ["a"]
    now += lease.STALE_SECONDS - 1
    assert leases.held() == ["a"]
    now += 2
    assert leases.held() == []
    with leases.claim("a") as mine:
        assert mine


def test_a_holder_shows_that_it_lives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(lease, "HEARTBEAT_SECONDS", 0.01)
    with Leases(tmp_path).claim("a"):
        os.utime(tmp_path / "a.0", (0, 0))
        for _ in range(500):
            if (tmp_path / "a.0").stat().st_mtime > 0:
                break
            threading.Event().wait(0.01)
        assert (tmp_path / "a.0").stat().st_mtime > 0
