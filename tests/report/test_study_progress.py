"""The time left of a study counts workers, follows the trials that ended, and is never less than the longest left."""

import pytest
from tests.report.studied import results

from residua.report.study_progress import StudyProgress, answer, study_progress


class Shown:
    def __init__(self) -> None:
        self.lines: list[str] = []
        self.status = self.left = ""
        self.done = 0
        self.stopped = False

    def say(self, line: str) -> None:
        self.lines.append(line)

    def start(self, steps: int, done: int) -> None:
        self.lines.append(f"start {steps} {done}")

    def update(self, done: int, status: str, left: str) -> None:
        self.done, self.status, self.left = done, status, left

    def epoch(self, line: str) -> None:
        self.lines.append(line)

    def stop(self) -> None:
        self.stopped = True


@pytest.fixture
def now() -> list[float]:
    return [0.0]


def test_workers_share_what_is_left(now):
    told = StudyProgress(Shown(), dict.fromkeys("abcd", 10.0), workers=2, clock=lambda: now[0])
    assert told.seconds_left() == 20
    told.began("a")
    told.began("b")
    now[0] = 4.0
    assert told.seconds_left() == (6 + 6 + 10 + 10) / 2


def test_the_longest_trial_is_not_shared(now):
    told = StudyProgress(Shown(), {"long": 100.0, "short": 2.0}, workers=8, clock=lambda: now[0])
    assert told.seconds_left() == 100


def test_what_ended_twice_as_slowly_as_expected_doubles_the_rest(now):
    told = StudyProgress(Shown(), dict.fromkeys("abc", 10.0), clock=lambda: now[0])
    told.began("a")
    now[0] = 20.0
    told.ended("a")
    assert told.seconds_left() == 2 * 20


def test_a_trial_that_runs_longer_than_expected_takes_nothing_from_the_others(now):
    told = StudyProgress(Shown(), {"a": 10.0, "b": 10.0}, clock=lambda: now[0])
    told.began("a")
    now[0] = 50.0
    assert told.seconds_left() == 10


def test_a_trial_that_was_never_expected_changes_no_pace(now):
    told = StudyProgress(Shown(), {"a": 10.0}, clock=lambda: now[0])
    told.began("other")
    now[0] = 99.0
    told.ended("other")
    assert told.seconds_left() == 10


def test_it_says_what_is_done_what_runs_and_what_failed(now):
    shown = Shown()
    told = StudyProgress(shown, dict.fromkeys(("a", "b", "c", "d", "e"), 60.0), workers=4, clock=lambda: now[0])
    assert shown.lines == ["5 trials to run on 4 workers, about 1 min 15 s", "start 5 0"]
    for trial in "abcd":
        told.began(trial)
    assert shown.status == "0 of 5 trials · running a, b, c and 1 more"
    now[0] = 60.0
    told.failed("a", "its loss is no number")
    told.ended("b")
    assert shown.lines[2:] == [
        "a failed: its loss is no number",
        "b done · 2 of 5 trials, 1 failed · about 1 min 00 s left",
    ]
    assert shown.done == 2


def test_the_last_trial_leaves_nothing(now):
    shown = Shown()
    told = StudyProgress(shown, {"a": 1.0}, clock=lambda: now[0])
    told.began("a")
    told.ended("a")
    assert shown.left == "all trials are done"


def test_the_display_is_stopped_whatever_happens():
    shown = Shown()
    with pytest.raises(RuntimeError), study_progress({"a": 1.0}, display=shown):
        raise RuntimeError
    assert shown.stopped


def test_the_answer_has_every_claim_with_its_sign_and_what_to_run_next():
    text = answer(results(), "en", command=lambda scale: f"residua study degradation --scale {scale}")
    for sign, claim in (("✓", "A deeper plain"), ("✕", "A deeper residual"), ("?", "At 44"), ("→", "At 110 layers")):
        assert f"\n{sign} {claim}" in text
    assert text.endswith("next: residua study degradation --scale laptop")
    assert "plain-44, seed 2 failed: no loss is a number" in text
    assert max(map(len, text.splitlines())) <= 90
    assert "edge of the grid that was chosen: plain-20 0.1 (the grid’s largest), " in " ".join(text.split())


def test_the_answer_is_chinese_where_that_is_asked_for():
    assert "✓ 更深的普通网络训练得更差。" in answer(results(), "zh", command=str)
