"""A linear layer's Hessian under cross-entropy is small enough to be written down."""

import pytest
import torch
from torch import Tensor, nn

from residua.diagnostics.case import Case, opened
from residua.diagnostics.curvature.draws import drawn, planned
from residua.studies.measures.curvature import curvature
from residua.studies.trial import Measurement, Trial

SEED = 5
IMAGES, DRAWS = 64, 2


def linear() -> Case:
    generator, images = torch.Generator().manual_seed(0), IMAGES * DRAWS
    module = nn.Linear(4, 3, bias=False)
    with torch.no_grad():
        module.weight.copy_(torch.randn(3, 4, generator=generator))
    inputs = torch.randn(images, 4, generator=generator)
    inputs[: images // 2] *= 3
    return opened(module, inputs, torch.randint(0, 3, (images,), generator=generator))


def measured_of(case: Case) -> Measurement:
    return curvature(Trial(arm="a", seed=SEED, network=lambda: case.module, case=lambda _: case, run=None))


@pytest.fixture(scope="module")
def case() -> Case:
    return linear()


@pytest.fixture(scope="module")
def measured(case: Case) -> Measurement:
    return measured_of(case)


@pytest.fixture(scope="module")
def hessians(case: Case) -> list[Tensor]:
    """Σ over images of (diag p − p pᵀ) ⊗ x xᵀ, divided by their number, of each draw."""
    weight = case.module.weight.detach().double()  # type: ignore[union-attr]
    plan = planned(case, IMAGES, DRAWS, of_a_draw=1, seconds_of_an_image=0.0)
    found = []
    for some in drawn(case.examples, plan, SEED):
        total = torch.zeros(12, 12, dtype=torch.float64)
        for x in some.args[0].double():
            p = (weight @ x).softmax(0)
            total += torch.kron(torch.diag(p) - torch.outer(p, p), torch.outer(x, x))
        found.append(total / IMAGES)
    return found


def test_numbers_are_the_means_over_the_draws(measured, hessians):
    tops = [float(torch.linalg.eigvalsh(one)[-1]) for one in hessians]
    assert measured.numbers["top_eigenvalue"] == pytest.approx(sum(tops) / 2, rel=1e-4)
    assert measured.numbers["trace"] == pytest.approx(sum(float(one.trace()) for one in hessians) / 2, rel=1e-4)


def test_the_draws_are_told_apart(measured, hessians):
    tops = sorted(float(torch.linalg.eigvalsh(one)[-1]) for one in hessians)
    assert tops[1] / tops[0] > 1.01
    assert measured.numbers["draws_apart"] == pytest.approx(tops[1] / tops[0], rel=1e-4)


def test_a_convex_loss_bends_down_nowhere(measured):
    assert measured.numbers["negative"] == pytest.approx(0.0, abs=1e-5)
    assert measured.numbers["residual"] < 0.02


def test_loss_and_gradient_are_of_the_same_images(case, measured):
    with torch.no_grad():
        loss = float(case.loss_of(case.examples))
    assert measured.numbers["loss"] == pytest.approx(loss, rel=1e-5)
    assert measured.numbers["gradient_norm"] > 0
