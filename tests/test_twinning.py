"""The plain twin of a run: trained as the run was, once, and gone on with where it was stopped."""

import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from residua import configuration, twinning
from residua.errors import BadRun, BadSetting, Interrupted
from residua.networks.spec import NetworkSpec
from residua.training import fit as fitting
from residua.training import sitting
from residua.training.plan import plan
from residua.training.record import Record
from residua.training.spec import TrainSpec
from tests.training.conftest import TINY, Watcher

ASKED = TrainSpec(network=TINY, epochs=2, seed=4, settings=("precision=float32", "network.initialization=zero_last"))


@pytest.fixture(autouse=True)
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """No report is drawn: its place is written."""
    monkeypatch.setattr("residua.report.page.write_report", lambda run, pictures: (run / "report.html").write_text(""))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("twinning")
    fitting.fit(plan(ASKED), out=place / "tiny")
    with pytest.MonkeyPatch.context() as undrawn:
        undrawn.setattr("residua.report.page.write_report", lambda run, pictures: (run / "report.html").write_text(""))
        twinning.plain_twin(Record(place / "tiny"))
    return place


@pytest.fixture
def runs(trained: Path, tmp_path: Path) -> tuple[Record, Record]:
    """Copies of a run and its plain twin."""
    shutil.copytree(trained, tmp_path / "runs")
    return Record(tmp_path / "runs" / "tiny"), Record(tmp_path / "runs" / "tiny-plain")


def test_the_twin_is_the_same_but_for_its_shortcuts(runs: tuple[Record, Record]):
    residual, plain = runs
    spec = configuration.from_json(NetworkSpec, plain.read("specification"))
    assert spec == replace(TINY, initialization="zero_last").plain_twin()
    assert spec.initialization == "he_fan_out"
    assert plain.read("recipe") == residual.read("recipe")
    assert plain.read("data")["parts"] == residual.read("data")["parts"]
    assert (plain.read("run")["seed"], plain.read("run")["epochs"], plain.status) == (4, 2, "finished")
    assert plain.report.is_file()
    assert twinning.differences(residual, plain) == ()


def test_a_twin_that_is_there_is_not_trained_again(runs: tuple[Record, Record], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(fitting, "fit", None)
    assert twinning.plain_twin(runs[0]).path == runs[1].path


def test_a_twin_that_was_stopped_is_gone_on_with(runs: tuple[Record, Record], monkeypatch: pytest.MonkeyPatch):
    residual, plain = runs
    whole = plain.read("result")["parts"]
    shutil.rmtree(plain.path)

    def stop(event: Any) -> None:
        if event.step == 3:
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as stopping:
        stopping.setattr(twinning, "_shown", lambda: Watcher(stop))
        with pytest.raises(Interrupted):
            twinning.plain_twin(residual)
    assert plain.status == "stopped"
    assert twinning.plain_twin(residual).status == "finished"
    assert plain.read("result")["parts"] == whole


def test_what_else_is_in_the_twins_place_is_refused(runs: tuple[Record, Record]):
    residual, plain = runs
    plain.update(seed=5)
    with pytest.raises(BadRun, match="and its seed differ; move it away, or name the twin"):
        twinning.plain_twin(residual)
    assert twinning.pair(residual.path, plain.path)[2] == ("seed",)


def test_two_runs_are_a_pair_in_any_order(runs: tuple[Record, Record]):
    residual, plain = runs
    for one, other in ((residual, plain), (plain, residual)):
        first, second, different = twinning.pair(one.path, other.path)
        assert (first.path, second.path, different) == (residual.path, plain.path, ())
    for one in (residual, plain):
        with pytest.raises(BadSetting, match="is not the plain twin of"):
            twinning.pair(one.path, one.path)


def test_a_plain_run_has_no_plain_twin(runs: tuple[Record, Record]):
    with pytest.raises(BadSetting, match="is plain already; name the run of its residual twin"):
        twinning.plain_twin(runs[1])


def test_a_run_that_began_with_weights_has_none(runs: tuple[Record, Record]):
    runs[0].update(start={"weights": "torchvision:IMAGENET1K_V1"})
    with pytest.raises(BadSetting, match="began with torchvision:IMAGENET1K_V1, and its plain twin could not"):
        twinning.plain_twin(runs[0])


def test_a_run_that_has_not_finished_has_none(runs: tuple[Record, Record]):
    runs[0].update(status="stopped")
    with pytest.raises(BadRun, match="residua train --resume"):
        twinning.plain_twin(runs[0])


def test_the_demonstration_is_trained_once_for_each_seed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(twinning, "DEMONSTRATION", replace(ASKED, seed=0))
    first = twinning.demonstration(TrainSpec(seed=1))
    assert (first.status, first.read("run")["seed"], first.path.parent.name) == ("finished", 1, "runs")
    monkeypatch.setattr(sitting.Sitting, "run", None)
    assert twinning.demonstration(TrainSpec(seed=1)).path == first.path
