"""Results come back from JSON as they were, and add up what was spent."""

import json
import subprocess
from dataclasses import replace
from math import inf
from pathlib import Path

import pytest

from residua.studies import gathering
from residua.studies.choice_of_rate import Choice, Tried
from residua.studies.claim import Text, Verdict
from residua.studies.results import Results, TrialRow, seconds_of_all
from tests.studies.tiny import budget, study

TRIED = tuple(
    Tried(learning_rate=rate, address="a", loss=loss, accuracy=0.5, seconds=3.0)
    for rate, loss in ((0.1, 1.0), (0.2, inf))
)
RESULTS = Results(
    study=study(),
    scale="quick",
    budget=budget(),
    seeds=(0, 1),
    numbers={"plain": {0: {"train_loss": inf}, 1: {"train_loss": 2.0}}, "residual": {}},
    series={"plain": {0: {"train_loss": ((1.0, 3.0), (2.0, inf))}}, "residual": {}},
    trials=(
        TrialRow(arm="plain", seed=0, status="failed", error="no", diverged=True, learning_rate=0.1, seconds=1.0),
        TrialRow(
            arm="plain", seed=1, status="finished", address="b", learning_rate=0.1, seconds=2.0, precision="float32"
        ),
        TrialRow(arm="residual", seed=0, status="open"),
    ),
    choices={"plain": Choice(learning_rate=0.1, tried=TRIED)},
    verdicts=(
        Verdict(
            claim="lower",
            answer="inconclusive",
            n=1,
            effect=0.5,
            low=None,
            high=None,
            detectable=inf,
            reason=Text("few", "少"),
        ),
    ),
    not_converged=("plain",),
    machine="a machine",
    commit="abc",
)


def test_results_come_back_as_they_were():
    text = json.dumps(RESULTS.to_json(), allow_nan=False)
    again = Results.from_json(json.loads(text), study())
    assert {**vars(again), "study": 0, "budget": 0} == {**vars(RESULTS), "study": 0, "budget": 0}
    assert json.dumps(again.to_json()) == json.dumps(RESULTS.to_json())


def test_what_an_arm_cost_includes_its_grid():
    assert RESULTS.seconds == {"plain": 9.0, "residual": 0.0}
    assert RESULTS.rates == {"plain": 0.1}
    assert RESULTS.precision == "float32"


def test_a_loss_that_diverged_is_a_result_and_no_error():
    assert RESULTS.failures == {"plain, seed 0": "no"}
    assert not RESULTS.has_errors
    assert not RESULTS.is_complete


def test_a_run_that_two_studies_share_is_counted_once():
    row = TrialRow(arm="plain", seed=0, status="finished", address="run", seconds=11.0, training_seconds=10.0)
    one = replace(RESULTS, trials=(row,), choices={})
    assert seconds_of_all([one, one]) == 10 + 1 + 1
    grid = replace(one, choices={"plain": Choice(learning_rate=0.1, tried=TRIED[:1])})
    assert seconds_of_all([grid, grid]) == 10 + 1 + 1 + 3


def test_a_rate_that_failed_is_said_for_the_choice_was_made_without_it():
    failed = replace(TRIED[1], error="no space left")
    found = replace(RESULTS, choices={"plain": Choice(learning_rate=0.1, tried=(TRIED[0], failed))})
    assert found.failures == {"plain at rate 0.2": "no space left", "plain, seed 0": "no"}
    assert found.has_errors


def test_a_checkout_of_something_else_is_not_the_commit_of_the_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """As where the library is installed into a virtual environment that lies in somebody's repository."""
    (tmp_path / "gathering.py").write_text("")
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    for words in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "theirs"]):
        subprocess.run([*git, *words], check=True)
    monkeypatch.setattr(gathering, "__file__", str(tmp_path / "gathering.py"))
    assert gathering._commit() == ""
    for words in (["add", "."], ["commit", "-q", "-m", "ours"]):
        subprocess.run([*git, *words], check=True)
    assert len(gathering._commit()) >= 7
