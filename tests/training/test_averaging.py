"""Averages of the weights: the moving average, and lookahead."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.training.conftest import TINY
from torch import nn

from residua.configuration import with_settings
from residua.training.averaging import Averaging, averaged, begun, update
from residua.training.fit import fit
from residua.training.plan import plan
from residua.training.recipe import recipe
from residua.training.spec import TrainSpec


def walk(spec: Averaging, values: list[float]) -> tuple[dict, nn.Linear, list[float]]:
    """Sets a weight to each of the values in turn, with an update after each."""
    network = nn.Linear(1, 1)
    nn.init.zeros_(network.weight)
    average, seen = begun(network, spec), []
    assert average is not None
    for step, value in enumerate(values, start=1):
        network.weight.data.fill_(value)
        update(average, network, spec, step=step, steps=len(values))
        seen.append(average["weight"].item())
    return average, network, seen


def test_a_moving_average_is_its_recursion():
    """v ← d·v + (1 − d)·w with d = min(decay, (1 + t)/(10 + t)); the weights themselves are left alone."""
    _, network, seen = walk(Averaging(kind="ema", decay=0.25), [1.0, 2.0, 4.0])
    expected, v = [], 0.0
    for t, w in enumerate([1.0, 2.0, 4.0], start=1):
        d = min(0.25, (1 + t) / (10 + t))
        v = d * v + (1 - d) * w
        expected.append(v)
    assert seen == pytest.approx(expected)
    assert network.weight.item() == 4.0


def test_lookahead_steps_back_every_so_many_steps_and_the_more_the_later():
    """After step t of T: v ← d·v + (1 − d)·w with d = decay · (t/T)³, and w ← v; in between nothing happens."""
    _, network, seen = walk(Averaging(kind="lookahead", decay=0.5, every=2), [1.0, 2.0, 3.0, 8.0])
    second = (1 - 0.5 * 0.125) * 2.0
    fourth = 0.5 * second + 0.5 * 8.0
    assert seen == pytest.approx([0.0, second, second, fourth])
    assert network.weight.item() == pytest.approx(fourth)


def test_what_is_not_given_follows_the_kind():
    """An average put in place of the lookahead of a recipe is one of every step, not one of every fifth."""
    for kind, decay, every in (("ema", 0.999, 1), ("lookahead", 0.774, 5)):
        spec = with_settings(recipe("fast"), [f"averaging.kind={kind}"]).averaging
        assert (spec.steps_between, spec.kept(10**6, 10**6)) == (every, decay)


@pytest.mark.parametrize("kind", ["ema", "lookahead"])
def test_a_run_too_short_for_an_average_is_trained_all_the_same(tmp_path: Path, kind: str):
    """What is kept are then the weights after the last step."""
    digits = TrainSpec(network=TINY, epochs=1, settings=("precision=float32", "choose=last", "batch_size=64"))
    looking = replace(digits, settings=(*digits.settings, f"averaging.kind={kind}", "averaging.every=1000"))
    kept = [fit(plan(asked), out=tmp_path / name).network for name, asked in (("a", digits), ("b", looking))]
    for ours, plain in zip(*(network.state_dict().values() for network in kept), strict=True):
        assert torch.equal(ours, plain)


def test_running_statistics_are_averaged_and_counters_copied():
    network, spec = nn.BatchNorm2d(2), Averaging(kind="ema", decay=0.5)
    average = begun(network, spec)
    assert average is not None
    network(torch.randn(4, 2, 3, 3) + 5)
    update(average, network, spec, step=9, steps=9)
    running_mean = network.get_buffer("running_mean")
    torch.testing.assert_close(average["running_mean"], running_mean * (1 - min(0.5, 10 / 19)))
    assert average["num_batches_tracked"] == 1


def test_the_network_gets_its_own_weights_back():
    network = nn.Linear(2, 2)
    own = network.weight.detach().clone()
    average = {"weight": torch.zeros(2, 2), "bias": torch.zeros(2)}
    with averaged(network, average):
        assert not network.weight.any()
    assert torch.equal(network.weight, own)
    with pytest.raises(RuntimeError), averaged(network, average):
        network(torch.zeros(3))
    assert torch.equal(network.weight, own)


def test_nothing_is_averaged_unless_asked():
    network = nn.Linear(2, 2)
    assert begun(network, Averaging()) is None
    with averaged(network, None):
        pass
