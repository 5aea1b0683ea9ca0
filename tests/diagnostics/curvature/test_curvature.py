"""A Hessian's summary beside the whole Hessian; what it says of itself; and the module as it was."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.diagnostics.curvature.dense import drawn, images_case, quadratic_case, small, symmetric, whole_hessian
from torch import nn

from residua.diagnostics.case import opened, undisturbed
from residua.diagnostics.curvature import curvature as curvature_file
from residua.diagnostics.curvature.curvature import curvature, leading
from residua.diagnostics.landscape.layout import layout_of
from residua.errors import BadNetwork, BadSetting


@pytest.fixture(autouse=True)
def _few_runs(monkeypatch):
    monkeypatch.setattr(curvature_file, "_RUNS_TIMES_PARAMETERS", 127)


@pytest.mark.parametrize("policy", ["frozen", "batch"])
def test_it_is_that_of_the_whole_hessian(policy):
    case = images_case()
    with undisturbed(case.module) as module:
        module.eval()
        small(case).norm.train(policy == "batch")
        dense = whole_hessian(case)
        gradient = torch.autograd.grad(case.loss_of(case.examples), list(module.parameters()))
    exact = torch.linalg.eigvalsh(dense)
    found = curvature(case, images=12, draws=1, policy=policy)
    assert [one.median for one in found.top] == pytest.approx(exact[-5:].flip(0).tolist(), rel=0.02)
    assert found.top[0].median == pytest.approx(float(exact[-1]), rel=1e-4)
    assert found.lowest.median == pytest.approx(float(exact[0]), rel=0.02)
    assert abs(found.trace.median - float(exact.sum())) < 4 * found.trace_error
    assert found.gradient_norm.median == pytest.approx(float(torch.cat([g.flatten() for g in gradient]).norm()))
    assert found.residual is not None
    assert found.residual.high < 0.02
    assert (found.parameters, found.images, found.draws, found.policy) == (127, 12, 1, policy)
    assert found.density is not None
    below = float((exact < -1e-6 * exact[-1]).double().mean())
    assert found.density.negative - 0.1 < below < found.density.negative + found.density.undecided + 0.1


def test_all_of_a_quadratic_is_exact():
    values = torch.linspace(-1, 3, 21, dtype=torch.float64)
    found = curvature(quadratic_case(symmetric(values)), draws=2, images=4)
    assert [one.values for one in found.top] == [pytest.approx((v, v)) for v in values.flip(0)[:5].tolist()]
    assert found.lowest.values == pytest.approx((-1, -1))
    assert found.trace.values == pytest.approx((21, 21))
    assert found.trace_error == 0


def labelled(scales: tuple[float, ...], of_each: int):
    """A linear model ½ (w x)² of numbers x: the Hessian of a draw is the mean of x²."""
    x = torch.cat([torch.full((of_each,), scale) for scale in scales]).double()[:, None]
    return opened(nn.Linear(1, 1, bias=False).double(), x, loss=lambda output, _: 0.5 * output.square().mean())


def test_every_draw_has_a_value_of_its_own_and_a_large_spread_is_said():
    case = labelled((0.1, 0.1, 0.1, 3.0), of_each=6)
    found = curvature(case, top=1, images=4, draws=6)
    means = found.top[0].values
    assert len(means) == 6
    assert np.mean(means) == pytest.approx((9 + 3 * 0.01) / 4)  # no image in two draws
    assert len(set(means)) > 1
    assert any("over 6 draws of 4 images: one draw says little" in one for one in found.remarks)
    even = curvature(labelled((3.0,), of_each=24), top=1, images=4, draws=6)
    assert even.top[0].values == pytest.approx((9,) * 6)
    assert not any("one draw says little" in one for one in even.remarks)


def test_doubling_the_data_by_repetition_changes_nothing():
    case = images_case()
    twice = replace(case, examples=case.examples.take(torch.arange(24) % 12))
    once, again = (curvature(one, top=2, images=n, draws=1) for one, n in ((case, 12), (twice, 24)))
    assert [one.median for one in once.top] == pytest.approx([one.median for one in again.top])
    assert once.trace.median == pytest.approx(again.trace.median)
    assert once.loss.median == pytest.approx(again.loss.median)


def test_what_did_not_settle_is_said_and_what_it_cost(monkeypatch):
    case, heard = images_case(), []
    settled = curvature(case, images=12, draws=1)
    assert not any("not every draw has settled" in one for one in settled.remarks)
    monkeypatch.setattr(curvature_file, "STEPS", 6)
    found = curvature(case, images=6, draws=2, told=lambda done, of: heard.append((done, of)))
    (said,) = [one for one in found.remarks if "not every draw has settled" in one]
    assert "After 6 steps" in said
    assert "number 5" in said
    assert any(one.startswith(f"{found.products} products of 6 images took") for one in found.remarks)
    assert [done for done, _ in heard] == list(range(1, found.products + 1))
    assert all(done <= of for done, of in heard)


def test_the_same_seed_gives_the_same_and_the_module_comes_back():
    case = images_case()
    case.module.train()
    before, state = copy.deepcopy(case.module.state_dict()), torch.get_rng_state()
    first, second, other = (curvature(case, top=1, images=6, draws=2, seed=seed) for seed in (0, 0, 1))
    assert (first.top[0].values, first.trace.values) == (second.top[0].values, second.trace.values)
    assert first.trace.values != other.trace.values
    assert all(torch.equal(one, before[name]) for name, one in case.module.state_dict().items())
    assert all(one.training for one in case.module.modules())
    assert all(one.grad is None and one.requires_grad for one in case.module.parameters())
    assert torch.equal(torch.get_rng_state(), state)


def test_leading_vectors_are_eigenvectors_in_the_order_of_the_layout():
    case = images_case()
    small(case).head.bias.requires_grad_(False)
    dense, whole = whole_hessian(_evaluated(case)), layout_of(case.module)
    learns = torch.cat([torch.full((one.numel(),), one.requires_grad) for one in case.module.parameters()])
    dense[~learns] = 0
    dense[:, ~learns] = 0
    found = leading(case, 3)
    exact = torch.linalg.eigvalsh(dense).flip(0)[:3].tolist()
    assert [value for _, value in found] == pytest.approx(exact, rel=1e-3)
    for vector, value in found:
        assert (vector.dtype, vector.shape) == (torch.float32, (len(whole),))
        assert float(vector.norm()) == pytest.approx(1)
        assert float((dense @ vector.double() - value * vector).norm()) < 0.03 * value
        assert vector[vector.abs().argmax()] > 0
        assert not vector[~learns].any()


def _evaluated(case):
    case.module.eval()
    return case


@pytest.mark.parametrize("given", [{"top": 0}, {"draws": 0}, {"images": 1}])
def test_numbers_that_are_too_small_are_refused(given):
    name = next(iter(given))
    with pytest.raises(BadSetting, match=f"{name} is {given[name]}; it takes"):
        curvature(images_case(), **given)


def test_a_loss_that_is_not_finite_has_no_curvature():
    case = images_case()
    with torch.no_grad():
        small(case).head.bias.fill_(float("inf"))
    with pytest.raises(BadNetwork, match="not finite"):
        curvature(case, images=12, draws=1)


def test_a_linear_loss_has_a_curvature_of_zero():
    found = curvature(opened(nn.Linear(3, 2).double(), drawn(8, 3)), images=8, draws=1)
    assert (found.top[0].median, found.lowest.median, found.trace.median) == (0, 0, 0)
