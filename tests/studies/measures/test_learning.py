"""The first step's change, the largest stable rate and stochastic depth, against closed forms and plain rewritings."""

import copy
import time
from dataclasses import replace
from math import log, sqrt

import pytest
import torch
from torch import Tensor, nn

from residua.diagnostics.case import Case, opened
from residua.errors import BadNetwork
from residua.networks.network import build
from residua.networks.spec import NetworkSpec, small_stem
from residua.studies.measures import largest_rate
from residua.studies.measures.first_change import first_change
from residua.studies.measures.largest_rate import is_stable, largest_stable
from residua.studies.measures.outcome import OUTCOME, outcome
from residua.studies.measures.responses import responses
from residua.studies.measures.survival import kept_share, predicted_kept_share, survival
from residua.studies.trial import Trial

SPEC = NetworkSpec(
    stem=small_stem(4), blocks=(2, 2), widths=(4, 8), shortcut="padded", in_channels=1, classes=3, last_survival=0.5
)


def case_of(network: nn.Module, shape: tuple[int, ...] = (1, 6, 6), *, dtype: torch.dtype = torch.float32) -> Case:
    images = torch.randn(12, *shape, generator=torch.Generator().manual_seed(1), dtype=dtype)
    return opened(network, images, torch.arange(12) % 3)


def trial_of(case: Case) -> Trial:
    return Trial(arm="arm", seed=0, network=lambda: case.module, case=lambda count: case, run=None)


def linear(scale: float = 0.0) -> nn.Linear:
    layer = nn.Linear(5, 3, bias=False)
    nn.init.constant_(layer.weight, scale)
    return layer


def test_the_change_of_a_linear_network_is_its_kernel():
    """z = Wx from W = 0: ∂L/∂W = (p − y)ᵀx/n with p = 1/3, so Δz/η = −x xᵀ(p − y)/n."""
    case = case_of(linear(), shape=(5,))
    (x,) = case.examples.args
    off = torch.full((12, 3), 1 / 3) - nn.functional.one_hot(case.examples.labels, 3)
    kernel = x @ x.T @ off / 12
    found = first_change(trial_of(case)).numbers["first_change"]
    assert found == pytest.approx(float(kernel.square().mean().sqrt()), rel=1e-5)


def test_the_change_is_the_limit_of_a_small_step_and_nothing_is_moved():
    network = build(replace(SPEC, last_survival=1.0), seed=3).double()
    case = case_of(network, dtype=torch.float64)
    before = copy.deepcopy(network.state_dict())
    found = first_change(trial_of(case)).numbers["first_change"]
    assert all(torch.equal(before[name], one) for name, one in network.state_dict().items())
    assert all(one.grad is None for one in network.parameters())
    rate = 1e-6
    stepped = copy.deepcopy(network).train()
    start = stepped(*case.examples.args)
    case.loss(start, case.examples.labels).backward()
    torch.optim.SGD(stepped.parameters(), lr=rate).step()
    with torch.no_grad():
        change = (stepped(*case.examples.args) - start) / rate
    assert found == pytest.approx(float(change.square().mean().sqrt()), rel=1e-3)


@pytest.mark.parametrize("edge", [16.0, 2.0**1.5, 0.9, 2.0**-7.5, 1.1e-6])
def test_the_search_finds_the_largest_rate_to_a_factor_of_root_two(edge):
    found = largest_stable(lambda rate: rate <= edge)
    assert edge / sqrt(2) * (1 - 1e-9) < found <= edge


def test_where_no_rate_is_stable_the_smallest_bounds_it():
    assert largest_stable(lambda rate: False) == 2.0**largest_rate.LOWEST


def test_rates_that_are_too_small_to_get_anywhere_do_not_mislead_the_search():
    assert 0.5 <= largest_stable(lambda rate: 0.1 < rate < 0.75) <= 0.75


def quadratic(logits: Tensor, labels: Tensor) -> Tensor:
    return 2.0 * logits.square().mean()


def test_gradient_descent_on_a_parabola_is_stable_up_to_two_over_its_curvature():
    """L = 2 w² has curvature 4: w ← (1 − 4η) w shrinks for η < 1/2."""
    network = nn.Linear(1, 1, bias=False)
    nn.init.constant_(network.weight, 0.5)
    case = opened(network, torch.ones(4, 1), torch.tensor([0, 1, 2, 3]), loss=quadratic)
    assert is_stable(case, 0.49)
    assert not is_stable(case, 0.51)
    assert largest_stable(lambda rate: is_stable(case, rate)) == pytest.approx(2.0**-1.5)
    assert float(network.weight.detach()) == 0.5


@pytest.mark.parametrize(("start", "learns"), [(0.5, True), (1.2, False)])
def test_an_answer_that_is_no_better_than_a_constant_is_none(start, learns):
    """Four labels, ln 4 = 1.386: from 2 w² = 2.88 a step that leaves it at 1.44 falls, and has learned nothing."""

    def settles(logits: Tensor, labels: Tensor) -> Tensor:
        return quadratic(logits, labels).clamp(min=0.3) if start < 1 else quadratic(logits, labels) / 2 + 1.44

    network = nn.Linear(1, 1, bias=False)
    nn.init.constant_(network.weight, start)
    case = opened(network, torch.ones(4, 1), torch.tensor([0, 1, 2, 3]), loss=settles)
    assert is_stable(case, 0.2) is learns


def test_predicted_blocks_are_huangs_and_the_specifications():
    for blocks in (27, 54):
        assert blocks * predicted_kept_share(blocks, 0.5) == pytest.approx((3 * blocks - 1) / 4)
    assert predicted_kept_share(4, 0.5) == pytest.approx(sum(SPEC.survivals) / 4)
    assert predicted_kept_share(9, 1.0) == 1.0


def test_blocks_are_counted_as_they_run():
    """σ of the mean of n passes over L blocks is √(Σ p_l (1 − p_l) / n) / L."""
    network = build(SPEC, seed=0)
    sigma = sqrt(sum(p * (1 - p) for p in SPEC.survivals) / 150) / 4
    before, state = copy.deepcopy(network.state_dict()), torch.get_rng_state()
    found = kept_share(case_of(network), seed=0, passes=150)
    assert abs(found - predicted_kept_share(4, 0.5)) < 4 * sigma
    assert kept_share(case_of(network), seed=0, passes=9) == kept_share(case_of(network), seed=0, passes=9)
    assert all(torch.equal(before[name], one) for name, one in network.state_dict().items())
    assert torch.equal(state, torch.get_rng_state())
    assert not any(module._forward_hooks for module in network.modules())
    assert kept_share(case_of(build(replace(SPEC, last_survival=1.0), seed=0)), seed=0, passes=3) == 1.0


def test_a_step_that_leaves_all_blocks_out_takes_the_rest_of_the_time(monkeypatch):
    """By a clock that counts convolutions: the stem's runs in every step, the one block's two never."""
    network = build(replace(SPEC, last_survival=1e-9, blocks=(1,), widths=(4,)), seed=0)
    ran: list[int] = []
    whole = nn.Conv2d.forward
    monkeypatch.setattr(nn.Conv2d, "forward", lambda self, x: (ran.append(1), whole(self, x))[1])
    monkeypatch.setattr(time, "perf_counter", lambda: float(len(ran)))
    numbers = survival(trial_of(case_of(network))).numbers
    assert numbers["time_saved"] == pytest.approx(2 / 3)
    assert numbers["predicted_time_saved"] == pytest.approx(1.0)
    assert numbers["kept_share"] == 0.0


def test_timing_moves_no_parameter():
    network = build(SPEC, seed=0)
    before = copy.deepcopy(network.state_dict())
    found = survival(trial_of(case_of(network))).numbers
    assert all(torch.equal(before[name], one) for name, one in network.state_dict().items())
    assert found["predicted_time_saved"] == pytest.approx(1 - 0.6875)
    assert -1 < found["time_saved"] < 1


def test_other_networks_have_no_survival():
    with pytest.raises(BadNetwork, match="arm: a Linear has no survival probabilities"):
        survival(trial_of(case_of(linear(), shape=(5,))))


def test_nothing_trained_has_no_outcome_and_one_that_diverged_has_no_loss():
    assert outcome(trial_of(case_of(linear(), shape=(5,)))).numbers == {}
    assert OUTCOME.diverged["train_loss"] == float("inf")


def test_labels_that_are_even_have_the_entropy_of_their_number():
    assert largest_rate._entropy(torch.arange(12) % 4) == pytest.approx(log(4))
    assert largest_rate._entropy(torch.tensor([0, 0, 0, 1])) == pytest.approx(-0.75 * log(0.75) - 0.25 * log(0.25))


def test_responses_are_what_the_norms_of_3x3_convolutions_give():
    """A fresh norm in evaluation mode divides by √(1 + ε): the first response is the stem's own deviation."""
    network = build(replace(SPEC, last_survival=1.0, shortcut="projection"), seed=0)
    case = case_of(network)
    found = responses(trial_of(case))
    with torch.no_grad():
        stem = network.get_submodule("stem.convolution")(*case.examples.args) / sqrt(1 + 1e-5)
    layers, values = zip(*found.series["response"], strict=True)
    assert layers == tuple(float(layer) for layer in range(1, 1 + 1 + 2 * 4))
    assert values[0] == pytest.approx(float(stem.double().std(correction=0)), rel=1e-5)
    assert found.numbers["mean_response"] == pytest.approx(sum(values) / len(values))
    assert network.training
    assert not any(module._forward_hooks for module in network.modules())


def test_without_norms_there_is_no_response():
    with pytest.raises(BadNetwork, match="arm: no batch norm follows"):
        responses(trial_of(case_of(build(replace(SPEC, norm="none"), seed=0))))
