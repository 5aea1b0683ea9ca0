"""Several processes finish one study, each trial in one of them."""

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from residua.errors import BadRun, BadSetting
from residua.studies import studyfile, workers
from residua.studies.runner import Share
from residua.studies.schedule import Place
from residua.studies.trial import Measure, Measurement, Trial
from residua.studies.workers import Orders
from tests.studies.tiny import study

FILE = """
from residua.networks.spec import NetworkSpec, small_stem
from residua.studies.claim import Text
from residua.studies.design import Arm, Budget, Study
from residua.studies.trial import Measure, Measurement

def threads(trial):
    rows = trial.run.epochs()
    kept = trial.run.read("environment")["threads"]
    return Measurement(numbers={"threads": float(kept), "train_loss": rows[-1]["train_loss"]})

WORD = Text("word", "词")
NETWORK = NetworkSpec(stem=small_stem(4), blocks=(1,), widths=(4,))
STUDY = Study(
    name="own", title=WORD, question=WORD, fairness=WORD, claims=(), figures=(),
    measures=(Measure("threads", threads),),
    budgets={"quick": Budget(
        arms=(Arm(name="a", network=NETWORK),), seeds=3, epochs=1, minutes=0.1, decides=(),
        settings=("batch_size=512", "choose=last", "precision=float32"),
    )},
)
"""


class Ended:
    def __init__(self) -> None:
        self.names: list[str] = []

    def started(self, expected: Mapping[str, float], *, workers: int) -> None:
        assert (set(expected), workers) == ({"a, seed 0", "a, seed 1", "a, seed 2"}, 2)

    def began(self, trial: str) -> None: ...

    def ended(self, trial: str) -> None:
        self.names.append(trial)

    def failed(self, trial: str, error: str) -> None:
        raise AssertionError(error)


def orders(tmp_path: Path, asked: object) -> Orders:
    return Orders(
        study=asked,  # type: ignore[arg-type]
        scale="quick",
        seeds=None,
        store=tmp_path / "store",
        place=Place(device="cpu"),
        share=Share(),
        threads=1,
    )


@pytest.mark.slow
def test_workers_share_the_trials_of_a_users_file(tmp_path: Path):
    path, told = tmp_path / "own.py", Ended()
    path.write_text(FILE)
    found = workers.run(orders(tmp_path, studyfile.study(path)), 2, file=path, told=told)
    assert sorted(told.names) == ["a, seed 0", "a, seed 1", "a, seed 2"]
    assert [found.numbers["a"][seed]["threads"] for seed in range(3)] == [1.0] * 3
    assert len({found.numbers["a"][seed]["train_loss"] for seed in range(3)}) == 3
    assert list((tmp_path / "store" / "leases").iterdir()) == []


def test_workers_that_all_die_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(BadRun, match="--workers 1"):
        workers.run(orders(tmp_path, study()), 2)


def main_measure(trial: Trial) -> Measurement:
    return Measurement()


def test_a_study_of_the_program_itself_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(main_measure, "__module__", "__main__")
    own = replace(study(), measures=(Measure("own", main_measure),))
    with pytest.raises(BadSetting, match="file of its own"):
        workers.run(orders(tmp_path, own), 2)
    local = replace(study(), measures=(Measure("own", lambda trial: Measurement()),))
    with pytest.raises(BadSetting, match="level of their file"):
        workers.run(orders(tmp_path, local), 2)
