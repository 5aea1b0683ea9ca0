"""Muon: orthogonal steps for filters, torch's Nesterov SGD for all else."""

import pytest
import torch
from torch import nn

from residua import machine
from residua.networks import catalogue
from residua.networks.network import build
from residua.training.muon import Muon, orthogonalised
from residua.training.optimizers import optimizer_for
from residua.training.recipe import Optimizer, recipe


@pytest.mark.parametrize("shape", [(8, 40), (40, 8), (16, 16)])
def test_a_matrix_keeps_its_directions_and_loses_its_scales(shape: tuple[int, int]):
    """X = U S Vᵀ becomes U D Vᵀ with D near 1: UᵀXV stays diagonal, whatever S was over two orders of magnitude."""
    u, _, vt = torch.linalg.svd(torch.randn(*shape, generator=torch.Generator().manual_seed(0)), full_matrices=False)
    scales = torch.logspace(-1, 0, len(vt))
    found = u.T @ orthogonalised(u * scales @ vt) @ vt.T
    assert (found.diagonal() > 0.25).all()
    assert (found.diagonal() < 1.4).all()
    assert (found - found.diagonal().diag()).abs().max() < 0.05


def test_without_native_bfloat16_the_arithmetic_is_float32(monkeypatch: pytest.MonkeyPatch):
    """There a product in bfloat16 takes hundreds of times as long, and a step more in Muon than in all else."""
    matrix = torch.randn(8, 40, generator=torch.Generator().manual_seed(0))
    x = (matrix / matrix.norm()).double()
    for _ in range(3):
        gram = x @ x.T
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    monkeypatch.setattr(machine, "has_bfloat16", lambda _: False)
    torch.testing.assert_close(orthogonalised(matrix).double(), x, atol=1e-4, rtol=0)
    monkeypatch.setattr(machine, "has_bfloat16", lambda _: True)
    assert (orthogonalised(matrix) - x).abs().max() > 1e-3


def test_the_scale_of_a_gradient_changes_no_step():
    matrix = torch.randn(8, 40, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(orthogonalised(1000 * matrix), orthogonalised(matrix), atol=0.02, rtol=0)


def test_other_groups_step_as_torchs_sgd():
    ours, theirs = (nn.Linear(5, 3) for _ in range(2))
    theirs.load_state_dict(ours.state_dict())
    group = {"params": list(ours.parameters()), "orthogonal": False, "momentum": 0.85, "weight_decay": 0.1}
    muon = Muon([group], lr=0.3)
    sgd = torch.optim.SGD(theirs.parameters(), nesterov=True, momentum=0.85, weight_decay=0.1, lr=0.3)
    for step in range(4):
        x = torch.randn(7, 5, generator=torch.Generator().manual_seed(step))
        for layer, optimizer in ((ours, muon), (theirs, sgd)):
            optimizer.zero_grad()
            layer(x).square().sum().backward()
            optimizer.step()
    torch.testing.assert_close(ours.weight, theirs.weight)
    torch.testing.assert_close(ours.bias, theirs.bias)


def test_filters_turn_and_keep_their_norm():
    """Before each step a tensor of n filters has norm √n; a step of rate η moves it by η of an orthogonal matrix."""
    layer = nn.Conv2d(4, 6, 3, bias=False)
    before = layer.weight.detach() * (6**0.5 / layer.weight.detach().norm())
    muon = Muon([{"params": [layer.weight], "orthogonal": True, "momentum": 0.0}], lr=0.5)
    layer.weight.grad = torch.randn(layer.weight.shape, generator=torch.Generator().manual_seed(0))
    muon.step()
    moved = (before - layer.weight.detach()).flatten(1) / 0.5
    torch.testing.assert_close(moved, orthogonalised(layer.weight.grad.flatten(1)), atol=1e-5, rtol=1e-4)


def test_the_fast_recipe_gives_each_kind_of_tensor_its_rate():
    """Filters by Muon at 0.24; norms' and the stem's shifts 64 · 81 times the head's rate; the whitening has none."""
    network = build(catalogue.specification("fast-resnet8"), seed=0)
    optimizer = optimizer_for(network, recipe("fast").optimizer)
    rates = {
        id(parameter): (0.01 * group["rate_scale"], group["orthogonal"], group["weight_decay"])
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
    named = {name: rates[id(parameter)] for name, parameter in network.named_parameters() if id(parameter) in rates}
    assert "stem.convolution.weight" not in named
    assert named["stem.convolution.bias"] == pytest.approx((0.01 * 64 * 81, False, 0))
    assert named["stages.0.0.entry.convolution.weight"][:2] == pytest.approx((0.24, True))
    assert named["stages.0.0.residual.norm1.bias"] == pytest.approx((0.01 * 64 * 81, False, 0))
    assert named["stages.0.0.residual.norm1.weight"] == pytest.approx((0.01, False, 0))
    assert named["head.weight"] == pytest.approx((0.01, False, 0.2))


def test_a_faster_tensor_shrinks_no_faster():
    """Rate times decay is the same for every decayed tensor."""
    network = build(catalogue.specification("resnet8"), seed=0)
    spec = Optimizer(filter_scale=5.0, norm_bias_scale=3.0, decay_norm_and_bias=True, weight_decay=0.1)
    groups = optimizer_for(network, spec).param_groups
    assert {round(group["rate_scale"], 6) for group in groups} == {1, 3, 5}
    assert [group["rate_scale"] * group["weight_decay"] for group in groups] == pytest.approx([0.1] * 3)
