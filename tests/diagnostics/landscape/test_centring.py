"""The network at the centre: its loss, its gradient, and whether it is at a minimum."""

import math

import numpy as np
import pytest
import torch
from tests.diagnostics.landscape.surveyed import line, network, normal, pictures
from torch import Tensor, nn

from residua.diagnostics.case import opened
from residua.diagnostics.landscape.surface import Centre
from residua.diagnostics.landscape.survey import survey


def centre(module: nn.Module, *given, policy: str = "frozen", **about) -> Centre:
    return survey(opened(module, *given, **about), line(module, x=(0.0, 1.0)), policy=policy).cells[0].centre


class Weights(nn.Module):
    def __init__(self, *values: float) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor(values, dtype=torch.float64))

    def forward(self, images: Tensor) -> Tensor:
        return self.w.expand(len(images), -1)


def bowl(given: Tensor, _labels: object) -> Tensor:
    """½ (x² + 9 y²) + 1: its gradient is (x, 9 y), its minimum 1."""
    x, y = given.mean(0)
    return 1 + (x**2 + 9 * y**2) / 2


def test_the_gradients_norm_is_that_of_the_mean_loss():
    found = centre(Weights(3.0, 4.0), normal(8, 2), loss=bowl)
    assert found.loss == 1 + (9 + 144) / 2
    assert found.gradient_norm == pytest.approx(math.hypot(3, 36), rel=1e-12)
    assert not found.is_minimum


def test_images_in_batches_give_the_gradient_of_all_of_them(monkeypatch):
    monkeypatch.setattr("residua.diagnostics.landscape.evaluating._ON_PROCESSOR", 5)
    module = network().eval()
    case = pictures(module)
    loss = case.loss_of(case.examples)
    expected = torch.cat([g.reshape(-1) for g in torch.autograd.grad(loss, list(module.parameters()))]).norm()
    found = survey(case, line(module)).cells[0].centre
    assert found.gradient_norm == pytest.approx(float(expected), rel=1e-10)
    assert found.loss == pytest.approx(float(loss.detach()), rel=1e-12)


def test_under_batch_the_gradient_goes_through_the_statistics():
    module = network().train()
    case = pictures(module)
    grads = torch.autograd.grad(case.loss_of(case.examples), list(module.parameters()))
    expected = torch.cat([g.reshape(-1) for g in grads]).norm()
    again = network()
    found = survey(pictures(again), line(again), policy="batch").cells[0].centre
    assert found.gradient_norm == pytest.approx(float(expected), rel=1e-10)


def test_what_needs_no_gradient_is_left_out_unless_all_of_it_is():
    module = Weights(3.0, 4.0)
    module.register_parameter("still", nn.Parameter(torch.ones(1, dtype=torch.float64), requires_grad=False))
    assert centre(module, normal(8, 2), loss=bowl).gradient_norm == pytest.approx(math.hypot(3, 36))
    frozen = Weights(3.0, 4.0).requires_grad_(False)
    assert centre(frozen, normal(8, 2), loss=bowl).gradient_norm == pytest.approx(math.hypot(3, 36))
    assert not frozen.w.requires_grad


def test_a_minimum_is_where_no_step_against_the_gradient_gains_a_fiftieth():
    at = centre(Weights(1e-3, 1e-3), normal(8, 2), loss=bowl)
    assert at.is_minimum
    assert at.says.startswith("near a minimum: the gradient's norm is 0.00906, and no step against it gains 0.02")
    away = centre(Weights(0.0, 1.0), normal(8, 2), loss=bowl)
    assert not away.is_minimum
    assert away.says == (
        "no minimum: the gradient's norm is 9, and a step against it of 10 % of the weights' norm lowers the loss "
        f"from 5.5 to {1 + 9 * 0.81 / 2:.4g}"
    )


def test_at_the_exact_minimum_and_without_a_gradient():
    still = centre(Weights(0.0, 0.0), normal(8, 2), loss=bowl)
    assert still.gradient_norm == 0.0
    assert still.is_minimum

    class Detached(Weights):
        def forward(self, images: Tensor) -> Tensor:
            return super().forward(images).detach()

    found = centre(Detached(1.0, 1.0), normal(8, 2), loss=bowl)
    assert math.isnan(found.gradient_norm)
    assert found.says == "not known to be a minimum: no gradient passes the module, or it is no number"


def test_a_loss_that_is_no_number_is_no_minimum():
    found = centre(Weights(-1.0, 0.0), normal(8, 2), loss=lambda given, _: given.mean(0)[0].sqrt())
    assert found.loss == np.inf
    assert found.says == "no minimum: the loss is no number"
    assert not found.is_minimum
