"""What is measured on a trained trial agrees with its own run, and with the slow obvious way."""

from dataclasses import replace
from math import inf, log
from typing import Any

import pytest
import torch
from torch.nn import functional

from residua.studies import performing
from residua.studies.design import Arm
from residua.studies.measures.course import COURSE, course
from residua.studies.measures.deepened import deepened
from residua.studies.measures.health import gradient_health, kept_information
from residua.studies.schedule import Schedule
from residua.studies.store import Store
from residua.studies.trial import Trial
from residua.training.record import Record
from tests.studies.tiny import NETWORK, budget, study

DEEP = replace(NETWORK, blocks=(3,))


@pytest.fixture(scope="module")
def trials(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Trial]:
    arms = (
        Arm(name="first", network=NETWORK),
        Arm(name="deep", network=DEEP, begins="first", deepen=((1, 2),), epochs=2),
    )
    store = Store(tmp_path_factory.mktemp("store"))
    made = Schedule(study(budget(arms=arms, decides=()), claims=()), "quick", store=store)
    found = {}
    for arm in arms:
        one = made.trial(arm, 0)
        assert one is not None
        performing.train(one, store, made)
        found[arm.name] = performing._as_seen(one, store, made)
    return found


def test_the_course_is_that_of_the_run(trials: dict[str, Trial]):
    trial = trials["first"]
    found, run = course(trial), trial.run
    assert run is not None
    kept = run.read("result")["parts"]["test"]
    assert found.numbers["test_error"] == 1 - kept["accuracy"]
    assert found.numbers["gap"] == found.numbers["test_error"] - found.numbers["train_error"]
    assert found.series["train_loss"] == ((1.0, run.epochs()[0]["train_loss"]),)
    images, labels = trial.case(10_000).examples.args[0], trial.case(10_000).examples.labels
    with torch.no_grad():
        logits = trial.network()(images)
    assert len(labels) == run.read("data")["parts"]["train"]["images"]
    assert found.numbers["train_loss"] == pytest.approx(float(functional.cross_entropy(logits, labels)), rel=1e-4)
    assert found.numbers["train_error"] == pytest.approx(float((logits.argmax(1) != labels).float().mean()), abs=2e-3)


def test_a_set_without_a_test_part_has_the_numbers_of_its_training_part(
    trials: dict[str, Trial], monkeypatch: pytest.MonkeyPatch
):
    whole, read = course(trials["first"]), Record.read

    def without_test(self: Record, name: str) -> dict[str, Any]:
        found = read(self, name)
        return {**found, "parts": {}} if name == "result" else found

    monkeypatch.setattr(Record, "read", without_test)
    found = course(trials["first"]).numbers
    assert found == {name: whole.numbers[name] for name in ("train_loss", "train_error", "seconds")}


def test_an_arm_that_diverged_is_worse_than_every_other_and_its_gap_unknown():
    assert dict(COURSE.diverged) == dict.fromkeys(("train_loss", "train_error", "test_loss", "test_error"), inf)


def test_identity_blocks_change_no_logit_and_gradient_reaches_them(trials: dict[str, Trial]):
    found = deepened(trials["deep"])
    assert found.numbers["logit_change"] == 0.0
    assert 0 < found.numbers["new_gradient"] < 1
    assert deepened(trials["first"]).numbers == {}


def test_the_loss_before_is_the_smaller_networks(trials: dict[str, Trial]):
    case = trials["first"].case(512)
    with torch.no_grad():
        loss = float(functional.cross_entropy(case.module.eval()(case.examples.args[0]), case.examples.labels))
    assert deepened(trials["deep"]).numbers["loss_before"] == pytest.approx(loss, rel=1e-5)


def test_compute_goes_on_where_the_smaller_network_ended(trials: dict[str, Trial]):
    """Multiply-adds of an image times images times epochs, in 10⁹, of both networks."""
    first, deep = trials["first"].run, trials["deep"].run
    assert first is not None
    assert deep is not None
    images = first.read("data")["parts"]["train"]["images"]
    small, large = (run.read("network")["multiply_adds"] * images / 1e9 for run in (first, deep))
    points = deepened(trials["deep"]).series["loss_by_compute"]
    assert [x for x, _ in points] == pytest.approx([small, small + large, small + 2 * large])


def test_health_is_of_the_network_before_its_first_step(trials: dict[str, Trial]):
    """Three layers move the gradient little before the first step; the trained network's ratio is another."""
    found = gradient_health(trials["first"]).numbers["gradient_growth"]
    assert abs(found) < log(100)
    trained = replace(trials["first"], beginning=trials["first"].network)
    assert gradient_health(trained).numbers["gradient_growth"] != found


def test_the_input_itself_is_read_out_whole(trials: dict[str, Trial]):
    found = kept_information(trials["first"])
    assert found.series["input_kept"][0] == (0.0, pytest.approx(1.0, abs=1e-3))
    assert found.numbers["input_kept"] == found.series["input_kept"][-1][1] < 1
