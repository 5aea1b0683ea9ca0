"""The time left of a surface follows from the cells of this sitting alone."""

from residua.report.landscape_progress import landscape_progress


class Shown:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None: ...

    def start(self, steps: int, done: int) -> None:
        self.lines.append(f"start {steps} {done}")

    def update(self, done: int, status: str, left: str) -> None:
        self.lines.append(f"{status} · {left}")

    def epoch(self, line: str) -> None:
        self.lines.append(f"line {line}")

    def stop(self) -> None:
        self.lines.append("stop")


def test_cells_of_an_earlier_sitting_count_as_done_and_took_no_time():
    """30 of 100 were there; 10 more took 5 s: 60 are left, which is 30 s."""
    shown, now = Shown(), [0.0]
    with landscape_progress(shown, clock=lambda: now[0]) as told:
        assert told("cells", 30, 100) is None
        now[0] = 5.0
        assert told("cells", 40, 100) == 30.0
    assert shown.lines == [
        "start 100 30",
        "cells, 30 of 100 · measuring the time left",
        "cells, 40 of 100 · about 30 s left",
        "line cells, 40 of 100 · about 30 s left",
        "stop",
    ]


def test_another_stage_begins_its_time_anew():
    shown, now = Shown(), [0.0]
    with landscape_progress(shown, clock=lambda: now[0]) as told:
        told("cells", 0, 10)
        now[0] = 100.0
        assert told("cells", 10, 10) == 0.0
        told("curvature", 0, 4)
        now[0] = 101.0
        assert told("curvature", 1, 4) == 3.0
    assert shown.lines.count("stop") == 2
    assert "start 4 0" in shown.lines


def test_without_a_terminal_at_most_ten_lines_are_written():
    shown, now = Shown(), [0.0]
    with landscape_progress(shown, clock=lambda: now[0]) as told:
        for done in range(1001):
            now[0] = float(done)
            told("cells", done, 1000)
    assert 9 <= sum(line.startswith("line ") for line in shown.lines) <= 10
    assert "line cells, 1,000 of 1,000 · about 0.0 s left" in shown.lines
