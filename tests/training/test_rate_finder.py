"""The range test finds where a network learns, and leaves everything as it was."""

import copy
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.training.conftest import TINY

from residua.data.loader import batches
from residua.training import fit as fitting
from residua.training import rate_finder
from residua.training.plan import plan
from residua.training.rate_finder import RateTest, TriedRate, find_learning_rate
from residua.training.sitting import Sitting
from residua.training.spec import TrainSpec


@pytest.fixture(scope="module")
def sitting() -> Sitting:
    asked = TrainSpec(source="digits", network=TINY, epochs=2, settings=("precision=float32",))
    return Sitting.begin(plan(asked), ())


@pytest.fixture(scope="module")
def found(sitting: Sitting) -> RateTest:
    return find_learning_rate(sitting.course, sitting.state)


def test_rates_rise_by_the_same_factor_about_the_recipes(found: RateTest, sitting: Sitting):
    """Six decades in a hundred steps, from a ten-thousandth of the recipe's rate."""
    rate = sitting.course.recipe.optimizer.learning_rate
    assert (found.recipe_rate, found.tried[0].rate) == (rate, pytest.approx(rate * 1e-4))
    factors = [after.rate / before.rate for before, after in zip(found.tried, found.tried[1:], strict=False)]
    assert factors == pytest.approx([10 ** (6 / 99)] * len(factors))


def test_the_test_outlasts_an_epoch(found: RateTest, sitting: Sitting):
    assert len(found.tried) == 100 > 2 * sitting.course.steps_per_epoch
    assert found.ended == "all rates tried"


def test_every_image_is_read_once_an_epoch(monkeypatch: pytest.MonkeyPatch, sitting: Sitting):
    """Batches are asked for once an epoch: asked for anew at each step, what is read ahead would be read again."""
    asked = []
    counted = "residua.training.loop.batches"
    monkeypatch.setattr(counted, lambda *given, **named: asked.append(1) or batches(*given, **named))
    find_learning_rate(sitting.course, sitting.state, steps=2 * sitting.course.steps_per_epoch + 1)
    assert len(asked) == 3


def test_the_test_ends_where_the_smoothed_loss_is_four_times_its_lowest(
    monkeypatch: pytest.MonkeyPatch, sitting: Sitting
):
    """Losses 1, 1 and then 10: the mean of three, weighted by 0.9 a step back, is (10 + 0.9 + 0.81) / 2.71 > 4."""
    losses = iter([1.0, 1.0, 10.0, 1.0])
    monkeypatch.setattr(rate_finder, "_losses", lambda course, trial: losses)
    found = find_learning_rate(sitting.course, sitting.state)
    assert (found.ended, [step.loss for step in found.tried]) == ("diverged", [1.0, 1.0, 10.0])
    assert found.tried[-1].smoothed == pytest.approx((10 + 0.9 + 0.81) / 2.71)


def test_the_suggestion_is_a_tenth_of_the_rate_of_lowest_smoothed_loss(found: RateTest):
    lowest = min(found.tried, key=lambda step: step.smoothed)
    assert found.suggested == pytest.approx(lowest.rate / 10, rel=0.05)
    assert lowest.smoothed < 0.9 * found.tried[0].smoothed
    assert not found.still_falls


def test_the_smoothed_loss_is_the_weighted_mean_of_all_losses_so_far():
    """Naive reference: Σ βⁱ lossᵢ / Σ βⁱ, i counting back; a constant loss stays itself."""
    losses, tried = [3.0, 1.0, 4.0, 1.0, 5.0], []
    for loss in losses:
        tried.append(TriedRate(rate=1.0, loss=loss, smoothed=rate_finder._smoothed(tried, loss)))
    for count, step in enumerate(tried, start=1):
        weights = [0.9 ** (count - 1 - index) for index in range(count)]
        mean = sum(w * x for w, x in zip(weights, losses, strict=False)) / sum(weights)
        assert step.smoothed == pytest.approx(mean)


def test_a_loss_that_never_falls_gets_no_suggestion():
    rising = tuple(TriedRate(rate=10.0**i, loss=2.0 + i, smoothed=2.0 + i) for i in range(4))
    assert RateTest(tried=rising, recipe_rate=0.1, ended="diverged").suggested is None
    assert RateTest(tried=(), recipe_rate=0.1, ended="not finite").suggested is None


def test_a_loss_that_is_no_number_ends_the_test(sitting: Sitting):
    """A head of NaN gives a loss of NaN at the first step; that is a result, no error."""
    network = copy.deepcopy(sitting.network)
    network.head.weight.data.fill_(math.nan)
    found = find_learning_rate(sitting.course, replace(sitting.state, network=network))
    assert (found.ended, found.tried, found.suggested) == ("not finite", (), None)


def test_nothing_that_training_reads_has_changed(sitting: Sitting):
    """Weights, buffers, optimizer, position and random states are those from before, to the bit.

    Python's own random state is left out: under pytest beartype draws from it.
    """

    def everything() -> dict:
        optimizer = sitting.state.optimizer.state_dict()
        return {
            **{f"network.{name}": tensor.clone() for name, tensor in sitting.network.state_dict().items()},
            "torch": torch.get_rng_state(),
            "numpy": repr(np.random.get_state()),
            "optimizer": repr(optimizer),
            "position": repr(sitting.state.position),
            "unread": len(sitting.state.unread),
            "mode": sitting.network.training,
        }

    before = everything()
    find_learning_rate(sitting.course, sitting.state, steps=5)
    after = everything()
    for name, value in before.items():
        same = torch.equal(value, after[name]) if isinstance(value, torch.Tensor) else value == after[name]
        assert same, name


def test_the_run_afterwards_is_the_same_to_the_bit(tmp_path: Path):
    """One plan is tested and then trained; another is trained alone."""
    asked = TrainSpec(source="digits", network=TINY, epochs=1, settings=("precision=float32",))
    searched = plan(asked)
    fitting.range_test(searched)
    with_test = fitting.fit(searched, out=tmp_path / "a")
    without = fitting.fit(plan(asked), out=tmp_path / "b")
    for name, tensor in without.network.state_dict().items():
        assert torch.equal(tensor, with_test.network.state_dict()[name]), name
    for name in ("predictions-test.jsonl", "steps.jsonl"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
