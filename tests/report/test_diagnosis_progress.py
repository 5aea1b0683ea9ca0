"""The time left of a diagnosis follows what the parts behind took."""

from residua.report.diagnosis_progress import diagnosis_progress


class Shown:
    def __init__(self) -> None:
        self.lines: list[str] = []
        self.stopped = False

    def say(self, line: str) -> None: ...

    def start(self, steps: int, done: int) -> None:
        self.lines.append(f"start {steps}")

    def update(self, done: int, status: str, left: str) -> None:
        self.lines.append(f"{done} {status}")

    def epoch(self, line: str) -> None:
        self.lines.append(line)

    def stop(self) -> None:
        self.stopped = True


def test_the_time_left_is_scaled_by_how_long_the_parts_behind_took():
    shown, now = Shown(), [0.0]
    with diagnosis_progress(shown, clock=lambda: now[0]) as told:
        told("gradients", 0, 30_000)
        now[0] = 20.0  # twice as long as the 10 s that were expected
        told("signals", 10_000, 30_000)
    assert shown.lines == [
        "start 30000",
        "0 gradients",
        "gradients · about 30 s left",
        "10000 signals",
        "signals · about 40 s left",
    ]
    assert shown.stopped
