"""Progress while a run trains, and before it."""

import io
import os
import re
import subprocess
import sys
from dataclasses import dataclass, field, replace

import pytest
import torch
from rich.console import Console

from residua.report.pace import Pace
from residua.report.terminal import ProgressObserver, transfer_progress
from residua.training.observers import EpochEnded, RunEnded, RunStarted, StepEnded

NETWORK = torch.nn.Linear(1, 1)


@dataclass
class Clock:
    now: float = 100.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Recorded:
    """A display that keeps what it was told."""

    said: list[str] = field(default_factory=list)
    updates: list[tuple[int, str, str]] = field(default_factory=list)
    epochs: list[str] = field(default_factory=list)
    began: tuple[int, int] | None = None
    stopped: int = 0

    def say(self, line: str) -> None:
        self.said.append(line)

    def start(self, steps: int, done: int) -> None:
        self.began = (steps, done)

    def update(self, done: int, status: str, left: str) -> None:
        self.updates.append((done, status, left))

    def epoch(self, line: str) -> None:
        self.epochs.append(line)

    def stop(self) -> None:
        self.stopped += 1


def started(*, epochs: int = 3, steps: int = 10, first: int = 1) -> RunStarted:
    return RunStarted(
        run="runs/a",
        headline="resnet8 on [digits]",
        notes=["few images"],
        epochs=epochs,
        steps_per_epoch=steps,
        first_epoch=first,
        steps_done=(first - 1) * steps,
        network=NETWORK,
        optimizer=torch.optim.SGD(NETWORK.parameters()),
    )


def step(epoch: int, number: int, loss: float | None = 1.25) -> StepEnded:
    return StepEnded(epoch=epoch, step=number, images=100, loss=loss, accuracy=None if loss is None else 0.5)


def epoch_end(epoch: int, validation: float | None = 0.75) -> EpochEnded:
    return EpochEnded(
        epoch=epoch,
        step=10 * epoch,
        train_loss=1.0,
        train_accuracy=0.5,
        validation_loss=None if validation is None else 0.5,
        validation_accuracy=validation,
        learning_rate=0.1,
        images_per_second=1234.5,
        seconds=1.0,
    )


ENDED = RunEnded(run="runs/a", part="test", accuracy=0.98333, interval=(0.9641, 0.9923), seconds=125.0)


def train(observer: ProgressObserver, clock: Clock, *, epochs: int = 3, first: int = 1) -> None:
    """Tells of a run whose steps take 1 s and whose evaluations take 5 s."""
    observer.run_started(started(epochs=epochs, first=first))
    for epoch in range(first, epochs + 1):
        for number in range(1, 11):
            clock.now += 1
            observer.step_ended(step(epoch, number))
        clock.now += 5
        observer.epoch_ended(epoch_end(epoch))
    observer.run_ended(ENDED)


def plain(width: int = 60) -> tuple[Console, io.StringIO]:
    out = io.StringIO()
    return Console(file=out, force_terminal=False, width=width), out


def test_time_left_is_a_lower_bound_until_an_evaluation_was_seen_and_then_holds_it():
    """Steps of 1 s, an evaluation of 5 s, three epochs of ten steps: 15 s an epoch."""
    clock, display = Clock(), Recorded()
    train(ProgressObserver(display=display, clock=clock), clock)
    left = [update[2] for update in display.updates]
    assert left[2] == "measuring the time left"
    assert left[3] == "100 images/s · at least 26 s left"
    assert left[10] == "100 images/s · 29 s left"
    assert left[29] == "100 images/s · 5.0 s left"
    assert display.epochs[0].endswith("30 s left")


def test_the_first_steps_do_not_spoil_the_estimate():
    """Three steps of 60 s that warm up, then steps of 1 s."""
    pace = Pace(epochs=1, steps_per_epoch=10, first_epoch=1, now=0.0)
    for number, now in enumerate((60.0, 120.0, 180.0, 181.0, 182.0), start=1):
        pace.step(number, 100, now)
    assert pace.seconds_left(182.0) == (5, True)
    assert pace.images_per_second == 100


def test_evaluation_does_not_slow_the_images_per_second():
    pace = Pace(epochs=2, steps_per_epoch=5, first_epoch=1, now=0.0)
    for number in range(1, 6):
        pace.step(number, 100, float(number))
    pace.epoch(1, 100.0)
    pace.step(1, 100, 101.0)
    assert pace.images_per_second == 100


def test_an_epoch_resumed_in_its_middle_counts_by_half():
    """Five of ten steps in 5 s: the next epoch takes 10 s."""
    pace = Pace(epochs=4, steps_per_epoch=10, first_epoch=3, now=0.0)
    for number in range(6, 11):
        pace.step(number, 100, number - 5.0)
    pace.epoch(3, 5.0)
    assert pace.seconds_left(5.0) == (10, False)


def test_time_left_never_falls_below_zero():
    pace = Pace(epochs=1, steps_per_epoch=1, first_epoch=1, now=0.0)
    pace.step(1, 100, 1.0)
    pace.epoch(1, 1.0)
    assert pace.seconds_left(50.0) == (0, False)


def test_the_status_tells_epoch_loss_accuracies_and_rate():
    clock, display = Clock(), Recorded()
    train(ProgressObserver(display=display, clock=clock), clock)
    done, status, _ = display.updates[15]
    assert done == 16
    assert status == ("epoch 2/3 · loss 1.250 · accuracy 50.0\u202f% · validation 75.0\u202f%")


def test_what_was_not_read_from_the_device_is_not_told():
    display = Recorded()
    observer = ProgressObserver(display=display, clock=Clock())
    observer.run_started(started())
    observer.step_ended(step(1, 1, loss=None))
    assert display.updates[0][1] == "epoch 1/3"


def test_a_resumed_run_starts_where_it_stopped():
    clock, display = Clock(), Recorded()
    train(ProgressObserver(display=display, clock=clock), clock, first=3)
    assert display.began == (30, 20)
    assert "  goes on with epoch 3 of 3" in display.said


def test_headline_notes_and_result_are_said_in_order():
    clock, display = Clock(), Recorded()
    train(ProgressObserver(display=display, clock=clock), clock)
    assert display.said == [
        "resnet8 on [digits]",
        "  few images",
        "test accuracy 98.3\u202f% (95 % interval 96.4–99.2) in 2 min 05 s: runs/a",
    ]


def test_a_run_no_better_than_a_baseline_says_the_next_step():
    said = {}
    for beats in (True, False):
        display = Recorded()
        ProgressObserver(display=display).run_ended(replace(ENDED, run="runs/a b", beats_baselines=beats))
        said[beats] = display.said
    assert said[False] == [*said[True], "next: residua diagnose 'runs/a b'"]


def test_a_stop_takes_the_bar_away_and_may_come_before_the_start():
    display = Recorded()
    ProgressObserver(display=display).run_stopped()
    assert display.stopped == 1
    console, out = plain()
    ProgressObserver(console).run_stopped()
    assert out.getvalue() == ""


def test_where_nobody_watches_an_epoch_is_one_unbroken_line():
    console, out = plain()
    clock = Clock()
    train(ProgressObserver(console, clock=clock), clock)
    lines = out.getvalue().splitlines()
    assert len(lines) == 6
    assert lines[0] == "resnet8 on [digits]"
    assert lines[2].startswith(
        "epoch 1/3 · train loss 1.000, accuracy 50.0\u202f% · validation loss 0.500, accuracy 75.0\u202f%"
    )
    assert "\x1b" not in out.getvalue()


def test_an_epoch_without_validation_tells_of_training_alone():
    console, out = plain()
    observer = ProgressObserver(console, clock=Clock())
    observer.run_started(started())
    observer.epoch_ended(epoch_end(1, validation=None))
    assert "validation" not in out.getvalue()


def test_on_a_terminal_the_bar_moves_and_is_gone_at_the_end():
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=80, legacy_windows=False, _environ={"TERM": "xterm"})
    clock = Clock()
    train(ProgressObserver(console, clock=clock), clock)
    written = out.getvalue()
    assert "━" in written
    assert "loss 1.250" in written
    assert "\x1b[2K" in written[written.rindex("loss 1.250") :]
    assert re.sub(r"\x1b\[[^A-Za-z]*[A-Za-z]", "", written).endswith("2 min 05 s: runs/a\n")


def test_a_reader_that_has_gone_does_not_end_what_is_told_of():
    """As in ``residua train | head -1``: a process of its own, for rich turns the standard output away."""
    code = (
        "from rich.console import Console\n"
        "from residua.report.displays import Lines\n"
        "lines = Lines(Console())\n"
        "for epoch in range(3):\n"
        "    lines.epoch('an epoch')\n"
        "raise SystemExit(7)\n"
    )
    reading, writing = os.pipe()
    os.close(reading)
    ended = subprocess.run([sys.executable, "-c", code], stdout=writing, stderr=subprocess.PIPE, text=True)
    os.close(writing)
    assert (ended.returncode, ended.stderr) == (7, "")


@pytest.mark.parametrize("terminal", [False, True])
def test_transfers_are_told_by_name_whatever_the_name_holds(terminal):
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=80, _environ={"TERM": "xterm"})
    with transfer_progress(console) as tell:
        for done in (1, 50, 100):
            tell("downloading [red].tar.gz", done, 100)
        tell("reading", 12_000_000, None)
    written = out.getvalue()
    assert "[red].tar.gz" in written
    assert ("100 %" in written) is terminal
    assert ("12.0 M" in written) is terminal


def test_where_nobody_watches_a_transfer_is_one_line():
    console, out = plain()
    with transfer_progress(console) as tell:
        for done in range(100):
            tell("reading the images", done, 100)
    assert out.getvalue() == "reading the images\n"
