"""Every trial runs once; what fails, diverges or is killed does not take the others with it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from math import inf
from pathlib import Path

import pytest
import torch
from torch import nn

from residua.errors import Interrupted
from residua.studies import performing, runner
from residua.studies.design import Arm, Budget, Study
from residua.studies.results import Results
from residua.studies.runner import Share
from residua.studies.schedule import Schedule
from residua.studies.store import Store
from residua.studies.trial import Measure, Measurement, Trial
from tests.studies.tiny import LAST_LOSS, NETWORK, SETTINGS, budget, claim, study


class Noted:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.expected: dict[str, float] = {}
        self.lines: list[str] = []

    def started(self, expected: Mapping[str, float], *, workers: int) -> None:
        self.expected = dict(expected)

    def began(self, trial: str) -> None:
        self.lines.append(f"began {trial}")

    def ended(self, trial: str) -> None:
        self.lines.append(f"ended {trial}")

    def failed(self, trial: str, error: str) -> None:
        self.lines.append(f"failed {trial}: {error}")


def ran(asked: Study, folder: Path, *, share: Share | None = None, told: Noted | None = None) -> Results:
    store = Store(folder)
    return runner.run(Schedule(asked, "quick", store=store), store, share=share, told=told or Noted())


def only(*arms: Arm, **values: object) -> Budget:
    return budget(arms=arms, decides=(), **values)


def test_a_trial_that_another_study_has_run_is_not_run_again(tmp_path: Path):
    """And one whose learning rate says the same in other words is the same."""
    first, told = Noted(), Noted()
    before = ran(study(only(Arm(name="a", network=NETWORK), seeds=1), claims=()), tmp_path, told=first)
    assert first.lines == ["began a, seed 0", "ended a, seed 0"]
    grown = only(Arm(name="b", network=NETWORK), seeds=1, learning_rates=(0.05,))
    after = ran(study(grown, claims=(), name="another"), tmp_path, told=told)
    assert (told.lines, told.expected) == ([], {})
    assert after.numbers["b"] == before.numbers["a"]


def counted(trial: Trial) -> Measurement:
    """Counts the parameters of a network that was drawn by its seed, and its images."""
    case = trial.case(8)
    weight = float(next(trial.network().parameters()).detach().flatten()[0])
    return Measurement(numbers={"images": float(len(case.examples)), "weight": weight})


def three(seed: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))


def test_networks_that_are_not_trained_are_drawn_by_their_seed(tmp_path: Path):
    drawn = only(Arm(name="a", network=NETWORK), Arm(name="f", network=three), epochs=None)
    state = torch.get_rng_state()
    found = ran(study(drawn, claims=(), measures=(Measure("counted", counted),)), tmp_path)
    assert torch.equal(torch.get_rng_state(), state)
    for arm in ("a", "f"):
        assert found.numbers[arm][0]["images"] == 8
        assert found.numbers[arm][0]["weight"] != found.numbers[arm][1]["weight"]
    assert found.not_converged == ()


def breaks(trial: Trial) -> Measurement:
    if trial.arm == "plain" and trial.seed == 0:
        raise RuntimeError("no such\nluck")
    return Measurement(numbers={"one": 1.0})


def test_a_trial_that_fails_is_reported_and_the_others_go_on(tmp_path: Path):
    told = Noted()
    measures = (LAST_LOSS, Measure("breaks", breaks))
    found = ran(study(measures=measures), tmp_path, told=told)
    assert "failed plain, seed 0: RuntimeError: no such luck" in told.lines
    assert [one.status for one in found.trials] == ["failed", "finished", "finished", "finished"]
    assert found.failures == {"plain, seed 0": "RuntimeError: no such luck"}
    assert found.has_errors
    assert found.is_complete
    assert set(found.numbers["plain"][0]) == {"train_loss"}


def also(trial: Trial) -> Measurement:
    return Measurement(numbers={"train_loss": 0.0})


def test_two_measures_that_give_one_name_fail_and_do_not_overwrite_each_other(tmp_path: Path):
    found = ran(study(budget(seeds=1), measures=(LAST_LOSS, Measure("also", also))), tmp_path)
    (error,) = set(found.failures.values())
    assert error == "measures last_loss and also both give train_loss; name one of them differently"
    assert found.numbers["plain"][0]["train_loss"] > 0


def test_a_loss_that_diverges_is_infinite_and_no_error(tmp_path: Path):
    wild = Arm(name="plain", network=NETWORK, settings=("optimizer.learning_rate=1e38",), epochs=3)
    calm = Arm(name="residual", network=NETWORK)
    found = ran(study(budget(arms=(wild, calm), seeds=1)), tmp_path)
    assert found.numbers["plain"][0] == {"train_loss": inf}
    assert (found.trials[0].diverged, found.has_errors) == (True, False)
    told = Noted()
    ran(study(budget(arms=(wild, calm), seeds=1)), tmp_path, told=told)
    assert told.lines == []


def test_a_deepened_arm_starts_from_the_weights_of_its_seed(tmp_path: Path):
    """Its beginning answers as the trained network does, to the bit, and has the blocks that were added."""
    first = Arm(name="first", network=NETWORK)
    deep = Arm(name="deep", network=replace(NETWORK, blocks=(3,)), begins="first", deepen=((1, 1), (1, 1)))

    def compare(trial: Trial) -> Measurement:
        if trial.begins is None or trial.beginning is None:
            return Measurement()
        images = trial.case(8).examples.args[0]
        with torch.no_grad():
            change = (trial.beginning()(images) - trial.begins.network()(images)).abs().max()
            learned = (trial.network()(images) - trial.beginning()(images)).abs().max()
        return Measurement(numbers={"change": float(change), "learned": float(learned)})

    chain = only(first, deep, seeds=1)
    found = ran(study(chain, claims=(), measures=(Measure("compare", compare),)), tmp_path)
    assert found.numbers["deep"][0]["change"] == 0.0
    assert found.numbers["deep"][0]["learned"] > 0


def test_arms_whose_beginning_fails_fail_with_it(tmp_path: Path):
    first = Arm(name="first", network=NETWORK, settings=("optimizer.learning_rate=1e38",), epochs=3)
    deep = Arm(name="deep", network=replace(NETWORK, blocks=(2,)), begins="first", deepen=((1, 1),))
    found = ran(study(only(first, deep, seeds=1), claims=()), tmp_path)
    assert "begins with first, seed 0" in found.failures["deep, seed 0"]


def test_another_depth_than_the_deepening_makes_is_refused(tmp_path: Path):
    first = Arm(name="first", network=NETWORK)
    deep = Arm(name="deep", network=replace(NETWORK, blocks=(3,)), begins="first", deepen=((1, 1),))
    found = ran(study(only(first, deep, seeds=1), claims=()), tmp_path)
    assert "(2,) blocks" in found.failures["deep, seed 0"]


def test_shares_together_are_the_whole_and_none_of_them_all(tmp_path: Path):
    lines = []
    for index in (1, 2):
        told = Noted()
        found = ran(study(), tmp_path, share=Share(index=index, of=2), told=told)
        assert found.is_complete == (index == 2)
        lines.append([line for line in told.lines if line.startswith("ended")])
    assert lines == [
        ["ended plain, seed 0", "ended plain, seed 1"],
        ["ended residual, seed 0", "ended residual, seed 1"],
    ]


def test_an_interrupt_says_what_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(performing, "train", interrupted)
    with pytest.raises(Interrupted, match="kept"):
        ran(study(), tmp_path)
    assert Store(tmp_path).held() == []


KILLED = """
import sys
from pathlib import Path
from tests.studies.test_runner import LONG, ran
ran(LONG, Path(sys.argv[1]))
"""
LONG = study(
    budget(
        arms=(Arm(name="plain", network=NETWORK),),
        seeds=1,
        epochs=6,
        settings=(*SETTINGS, "checkpoint_seconds=0"),
        decides=(),
    ),
    claims=(),
)


def test_a_study_that_is_killed_goes_on_to_the_identical_result(tmp_path: Path):
    root = Path(__file__).parents[2]
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join([str(root), str(root / "src")])}
    killed = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path / "a")], env=variables)
    while not list(tmp_path.glob("a/trials/*/checkpoints/step-*.pt")):
        assert killed.poll() is None
        time.sleep(0.02)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    assert list((tmp_path / "a" / "leases").iterdir())
    again, whole = ran(LONG, tmp_path / "a"), ran(LONG, tmp_path / "b")
    run = json.loads(next(tmp_path.glob("a/trials/*/run.json")).read_text())
    assert run["resumed_at"]
    assert again.numbers == whole.numbers
    assert again.series == whole.series
    assert claim().name == "lower"
