"""The loss is multiplied in float16, so that small gradients do not vanish; nothing else changes."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.training.test_loop import CPU, RECIPE, begin
from torch import Tensor

from residua.data.dataset import Dataset
from residua.training import checkpoint, pace
from residua.training.loop import take_steps
from residua.training.state import State, scaler_for


def scaler(factor: float = 2.0**16) -> torch.amp.GradScaler:
    return torch.amp.GradScaler("cpu", init_scale=factor)


@pytest.mark.parametrize("clip", [None, 0.01], ids=["no clip", "clip"])
def test_multiplying_by_a_power_of_two_changes_no_bit(stripes: Dataset, clip: float | None):
    """In float32 such a factor is exact, and the norm that is clipped is that of the gradients without it."""
    recipe = replace(RECIPE, gradient_clip_norm=clip)
    course, plain = begin(stripes, recipe)
    _, scaled = begin(stripes, recipe)
    scaled.scaler = scaler()
    list(take_steps(course, plain))
    list(take_steps(replace(course, forward=scaled.network), scaled))
    ours, theirs = scaled.network.state_dict(), plain.network.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert scaled.scaler.get_scale() == 2.0**16


def test_a_step_whose_gradients_overflow_is_left_out_and_the_factor_halved(stripes: Dataset):
    course, state = begin(stripes)
    before = {name: parameter.clone() for name, parameter in state.network.named_parameters()}
    state.scaler = scaler()
    state.network.get_parameter("stem.convolution.weight").register_hook(lambda gradient: gradient * torch.inf)
    next(take_steps(course, state))
    assert all(torch.equal(before[name], parameter) for name, parameter in state.network.named_parameters())
    assert state.scaler.get_scale() == 2.0**15


def test_small_gradients_survive_in_float16(stripes: Dataset):
    """A head with weights near 1e-6 sends back less than float16 holds, unless the loss is multiplied."""
    arrived = {}
    for name, factor in (("without", None), ("with", scaler())):
        course, state = begin(stripes, replace(RECIPE, label_smoothing=0.0))
        state.scaler = factor or state.scaler
        with torch.no_grad():
            state.network.get_parameter("head.weight").mul_(1e-5)
        gradients: list[Tensor] = []
        state.network.get_parameter("stem.convolution.weight").register_hook(gradients.append)
        next(take_steps(replace(course, precision="float16"), state))
        arrived[name] = float(gradients[0].abs().max())
    assert arrived["without"] == 0
    assert arrived["with"] > 0


def test_the_factor_is_kept_in_a_checkpoint(stripes: Dataset, tmp_path: Path):
    _, state = begin(stripes)
    state.scaler = scaler(1024.0)
    state.scaler.scale(torch.ones(()))
    checkpoint.save(state, tmp_path)
    _, restored = begin(stripes)
    restored.scaler = scaler()
    checkpoint.restore(restored, tmp_path, CPU)
    assert restored.scaler.get_scale() == 1024.0


def test_the_loss_is_multiplied_in_float16_alone(stripes: Dataset):
    kept = [scaler_for(arithmetic, CPU).is_enabled() for arithmetic in ("float32", "bfloat16", "float16")]
    assert kept == [False, False, True]
    course, state = begin(stripes)
    _, trial = pace.trial(replace(course, precision="float16"), state)
    assert trial.scaler.is_enabled()
    assert isinstance(trial, State)
