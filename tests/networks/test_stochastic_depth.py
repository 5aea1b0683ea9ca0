"""Stochastic depth (Huang et al. 2016): residual functions that are dropped in a share of the training steps."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from residua.networks.blocks import ResidualBlock, StochasticDepth
from residua.networks.network import ResidualNetwork, build
from residua.networks.shortcuts import SHORTCUTS
from residua.networks.spec import NetworkSpec, small_stem

SPEC = NetworkSpec(stem=small_stem(4), blocks=(2, 2), widths=(4, 8), classes=3, last_survival=0.5)
ALL_SURVIVE = replace(SPEC, last_survival=1.0)


def doubling(survival: float) -> StochasticDepth:
    """F(x) = 2x, kept in a share of the steps."""
    layer = nn.Conv2d(1, 1, 1, bias=False)
    nn.init.constant_(layer.weight, 2.0)
    return StochasticDepth(nn.Sequential(layer), survival)


def blocks_of(network: ResidualNetwork) -> list[ResidualBlock]:
    return [block for stage in network.stages for block in stage.children() if isinstance(block, ResidualBlock)]


def branch(block: ResidualBlock, survival: float) -> StochasticDepth:
    """The block's residual function with another survival."""
    assert isinstance(block.residual, StochasticDepth)
    block.residual.survival = survival
    return block.residual


def input_of(block: ResidualBlock) -> Tensor:
    convolution = next(layer for layer in block.residual.modules() if isinstance(layer, nn.Conv2d))
    return torch.randn(2, convolution.in_channels, 5, 5)


def test_the_survival_of_each_block_falls_in_a_line() -> None:
    """Huang et al. 2016, Eq. 4: p_l = 1 − l/L · (1 − p_L) over the blocks of all stages."""
    survivals = [block.residual.survival for block in blocks_of(build(SPEC, seed=0))]
    assert survivals == pytest.approx([0.875, 0.75, 0.625, 0.5])
    assert survivals == pytest.approx(SPEC.survivals)


def test_where_all_survive_nothing_is_wrapped() -> None:
    assert not any(isinstance(module, StochasticDepth) for module in build(ALL_SURVIVE, seed=0).modules())


@pytest.mark.parametrize(
    "changes",
    [
        *({"shortcut": shortcut} for shortcut in SHORTCUTS),
        {"order": "bn_after_addition"},
        {"order": "relu_before_addition"},
        {"order": "full_preactivation", "norm_on_projection": False},
    ],
    ids=str,
)
def test_a_dropped_step_gives_exactly_the_activation_of_the_shortcut(changes: dict[str, Any]) -> None:
    """Eq. 2 with b = 0: ReLU(id(h)), behind an exclusive gate its share; nothing of F is computed."""
    for block in blocks_of(build(replace(SPEC, **changes), seed=0)):
        residual, x = branch(block, 0.0), input_of(block)
        torch.manual_seed(0)
        out = block(x)
        torch.manual_seed(0)
        torch.rand(())
        h = block.entry(x)
        expected = block.shortcut(h)
        if changes.get("shortcut") == "exclusive_gating":
            expected = (1 - block.merge.get_submodule("gate")(h).sigmoid()) * expected
        assert torch.equal(out, block.activation(expected))
        norms = [layer for layer in residual.modules() if isinstance(layer, nn.BatchNorm2d)]
        assert [int(norm.num_batches_tracked or 0) for norm in norms] == [0] * len(norms)


def test_a_kept_step_gives_the_sum_as_without_it() -> None:
    """Eq. 2 with b = 1: F is not scaled up for its survival."""
    network, usual = build(SPEC, seed=0), build(ALL_SURVIVE, seed=0)
    for block in blocks_of(network):
        branch(block, 1.0)
    images = torch.randn(2, 3, 6, 6)
    assert torch.equal(network(images), usual(images))


def test_in_evaluation_the_residual_functions_are_scaled_by_their_survival() -> None:
    """Eq. 5: ReLU(p·F(h) + h), nothing drawn."""
    network, usual = build(SPEC, seed=0).eval(), build(ALL_SURVIVE, seed=0).eval()
    for block, same, survival in zip(blocks_of(network), blocks_of(usual), SPEC.survivals, strict=True):
        x = input_of(block)
        before = torch.get_rng_state()
        assert torch.equal(block(x), same.activation(survival * same.residual(x) + same.shortcut(x)))
        assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("survival", [0.2, 0.7])
def test_over_many_steps_the_mean_is_what_evaluation_gives(survival: float) -> None:
    """E[b·F] = p·F; the mean of n draws is known to 2·√(p(1 − p)/n)."""
    residual, x, steps = doubling(survival), torch.ones(3, 1, 1, 1), 4000
    torch.manual_seed(0)
    with torch.no_grad():
        drawn = torch.stack([residual(x).expand(3, 1, 1, 1).flatten() for _ in range(steps)])
    assert set(drawn.unique().tolist()) == {0.0, 2.0}
    assert torch.equal(drawn[:, 0], drawn[:, 1]), "one draw decides for the whole batch"
    error = 2 * math.sqrt(survival * (1 - survival) / steps)
    assert drawn.mean().item() == pytest.approx(2 * survival, abs=4 * error)
    assert residual.eval()(x).unique().item() == pytest.approx(2 * survival)


def test_a_dropped_block_passes_the_gradient_of_its_shortcut_alone() -> None:
    block = blocks_of(build(replace(SPEC, order="full_preactivation", shortcut="padded"), seed=0))[1]
    branch(block, 0.0)
    x = input_of(block).requires_grad_(True)
    block(x).sum().backward()
    assert x.grad is not None
    assert x.grad.unique().tolist() == [1.0]
    assert all(parameter.grad is None for parameter in block.residual.parameters())


def test_the_tensors_keep_the_names_that_they_have_without_it() -> None:
    """Weights that were trained with it load into the network without it, and the other way round."""
    changes = {"squeeze_excitation": 2, "initialization": "skipinit", "shortcut": "scaled"}
    network = build(replace(SPEC, **changes), seed=0)
    usual = build(replace(ALL_SURVIVE, **changes), seed=1)
    assert list(network.state_dict()) == list(usual.state_dict())
    usual.load_state_dict(network.state_dict())
    network.load_state_dict(usual.state_dict())
    assert [name for name, _ in network.get_submodule("stages.0.1.residual").named_children()] == [
        name for name, _ in usual.get_submodule("stages.0.1.residual").named_children()
    ]


def test_a_seed_draws_the_same_steps_again() -> None:
    network, images = build(replace(SPEC, norm="group"), seed=0), torch.randn(2, 3, 6, 6)

    def steps(seed: int) -> Tensor:
        torch.manual_seed(seed)
        return torch.stack([network(images) for _ in range(8)])

    assert torch.equal(steps(1), steps(1))
    assert not torch.equal(steps(1), steps(2))
    assert steps(1).std(dim=0).max() > 0


def test_it_shows_its_survival() -> None:
    assert "survival=0.625" in repr(build(SPEC, seed=0))
