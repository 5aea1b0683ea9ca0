"""Costs are those of the run; times are shortest ones, in turn; a printed error is subtracted by arm."""

import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from residua.diagnostics.case import Case, opened
from residua.networks.network import build
from residua.studies.measures import speed as measured
from residua.studies.measures.reproduced import reproduced
from residua.studies.measures.speed import cost, fastest, speed
from residua.studies.trial import Trial
from residua.training.record import Record
from tests.studies.tiny import NETWORK

SMALL = replace(NETWORK, in_channels=1, classes=10)


@pytest.fixture
def run(tmp_path: Path) -> Record:
    """Returns what a run wrote, as far as it is read here."""
    made = Record(tmp_path)
    made.write("network", {"parameters": 12, "multiply_adds": 345})
    made.write("result", {"parts": {"test": {"accuracy": 0.92}}})
    return made


def trial(arm: str = "resnet20", run: Record | None = None) -> Trial:
    def case(examples: int) -> Case:
        generator = torch.Generator().manual_seed(0)
        images = torch.randn(examples, 1, 8, 8, generator=generator)
        return opened(build(SMALL, seed=0), images, torch.arange(examples) % 10)

    return Trial(arm=arm, seed=0, network=lambda: build(SMALL, seed=0), case=case, run=run)


def test_costs_are_those_of_the_run(run: Record):
    assert cost(trial(run=run)).numbers == {"parameters": 12.0, "multiply_adds": 345.0}
    with pytest.raises(ValueError, match="trained"):
        cost(trial())


def test_a_printed_error_is_subtracted_where_the_arm_is_the_papers_network(run: Record):
    """8 % wrong beside the 8.75 % of 20 layers."""
    assert reproduced(trial(run=run)).numbers == {"over_published": pytest.approx(-0.0075)}
    assert reproduced(trial(arm="residual-20", run=run)).numbers == {}
    with pytest.raises(ValueError, match="trained"):
        reproduced(trial())


def test_the_shortest_time_counts_and_the_first_round_does_not():
    calls: list[str] = []

    def first() -> None:
        calls.append("first")
        if calls.count("first") != 1:  # the fast one is the warm-up
            time.sleep(0.003 if calls.count("first") == 3 else 0.02)

    def second() -> None:
        calls.append("second")

    mine, others = fastest((first, second))
    assert calls == ["first", "second"] * (1 + measured._ROUNDS)
    assert 0.003 <= mine < 0.02
    assert others < mine


def test_a_small_network_takes_less_than_its_yardstick(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(measured, "_ROUNDS", 2)
    found = speed(trial()).numbers
    assert set(found) == {"forward_seconds", "forward_ratio", "step_seconds", "step_ratio"}
    assert 0 < found["forward_seconds"] < found["step_seconds"]
    assert found["forward_ratio"] < 0.5
    assert found["step_ratio"] < 0.5


def test_seconds_are_an_images_and_ratios_the_yardsticks(monkeypatch: pytest.MonkeyPatch):
    """By a clock that ticks once a call, all works take as long, and an image a 64th of it."""
    ticks = iter(range(1000))
    monkeypatch.setattr(measured, "_ROUNDS", 1)
    monkeypatch.setattr(time, "perf_counter", lambda: float(next(ticks)))
    found = speed(trial()).numbers
    assert found == {"forward_seconds": 1 / 64, "forward_ratio": 1.0, "step_seconds": 1 / 64, "step_ratio": 1.0}
