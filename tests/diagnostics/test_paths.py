"""Path lengths: closed forms, and the sampling."""

import math
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from residua.diagnostics.case import Case, opened
from residua.diagnostics.chain import Chain
from residua.diagnostics.paths import path_lengths, sampled_paths
from residua.diagnostics.trace import trace
from residua.errors import BadNetwork


class Scaling(nn.Module):
    """F(x) = fx beside s(x) = x."""

    def __init__(self, factor: float, width: int = 3) -> None:
        super().__init__()
        self.part = nn.Linear(width, width, bias=False)
        with torch.no_grad():
            self.part.weight.copy_(factor * torch.eye(width))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.part(x)


@pytest.fixture(autouse=True)
def _the_same_weights() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def drawn(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def summing(factor: float, blocks: int) -> Case:
    """The loss is the mean over the examples of the sum of three outputs: an example's gradient at the end is √3."""
    module = nn.Sequential(*(Scaling(factor) for _ in range(blocks)))
    return opened(module, drawn(8, 3), loss=lambda output, _: output.sum(1).mean())


@pytest.mark.parametrize("blocks", [4, 9, 30])
def test_a_branch_that_scales_gives_a_binomial_distribution(blocks):
    """J_F = f: a path of length k has norm fᵏ, and lengths are binomial with p = f / (1 + f), mean np."""
    factor = 0.5
    found = path_lengths(summing(factor, blocks))
    assert found.lengths == tuple(range(blocks + 1))
    assert found.norms == pytest.approx([math.sqrt(3) * factor**k for k in range(blocks + 1)], rel=1e-5)
    p = factor / (1 + factor)
    expected = [math.comb(blocks, k) * p**k * (1 - p) ** (blocks - k) for k in range(blocks + 1)]
    assert found.shares == pytest.approx(expected, rel=1e-4)
    assert (found.mean_length, found.binomial_mean) == pytest.approx((blocks * p, blocks / 2), rel=1e-4)


def test_a_branch_like_its_shortcut_has_half_of_the_blocks():
    found = path_lengths(summing(1.0, 12))
    assert found.mean_length == pytest.approx(found.binomial_mean) == 6


def test_blocks_that_are_zero_leave_the_path_of_length_0():
    found = path_lengths(summing(0.0, 5))
    assert found.shares == (1, 0, 0, 0, 0, 0)
    assert (found.norms[1:], found.mean_length) == ((0,) * 5, 0)


def test_norms_are_of_an_example_whatever_the_batch():
    case = summing(0.5, 4)
    assert path_lengths(case, examples=2).norms == pytest.approx(path_lengths(case, examples=8).norms)


class Drawn(nn.Module):
    def __init__(self, seed: int) -> None:
        super().__init__()
        self.inner, self.norm = nn.Linear(5, 5), nn.BatchNorm1d(5)
        nn.init.orthogonal_(self.inner.weight, generator=torch.Generator().manual_seed(seed))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.norm(self.inner(x)) + x)


def test_sampled_paths_estimate_all_paths():
    """Ten paths of each length, beside the mean norm over all 2¹⁰ paths."""
    case = opened(nn.Sequential(*(Drawn(seed) for seed in range(10))), drawn(16, 5), torch.arange(16) % 5)
    sampled = path_lengths(case, examples=16)
    assert sampled.sampled == (1, 10, 10, 10, 10, 10, 10, 10, 10, 10, 1)
    found = trace(case.module.train(), case.examples)
    chain = Chain.of(found)
    g = chain.at_the_end(case.loss(found.answer, case.examples.labels))
    norms: dict[int, list[float]] = {k: [] for k in range(11)}
    for path, log, _ in chain.follow(g, sampled_paths(10, 1000)):
        norms[len(path)].append(4 * math.exp(log))
    assert [len(norms[k]) for k in range(11)] == [math.comb(10, k) for k in range(11)]
    means = [sum(norms[k]) / len(norms[k]) for k in range(11)]
    assert sampled.norms == pytest.approx(means, rel=0.3)
    for k in (0, 1, 9, 10):  # of these all are taken
        assert sampled.norms[k] == pytest.approx(means[k], rel=1e-4)
    weights = [mean * math.comb(10, k) for k, mean in enumerate(means)]
    exact = sum(k * weight for k, weight in enumerate(weights)) / sum(weights)
    assert sampled.mean_length == pytest.approx(exact, abs=0.3)


def test_paths_are_drawn_without_repetition_and_all_where_they_are_few():
    paths = sampled_paths(6, 10)
    assert len(set(paths)) == len(paths)
    assert [sum(len(path) == k for path in paths) for k in range(7)] == [1, 6, 10, 10, 10, 6, 1]
    assert sampled_paths(6, 10) == paths
    halves = [path for path in sampled_paths(40, 200) if len(path) == 20]
    counts = [sum(place in path for path in halves) for place in range(40)]
    assert all(60 < count < 140 for count in counts)


def test_deep_networks_follow_fewer_paths():
    assert set(path_lengths(summing(0.5, 60), examples=2).sampled) == {1, 2}


def test_a_loss_of_its_own_is_given_what_the_module_gives():
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.block = Scaling(0.5)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            y = self.block(x)
            return y, 3 * y

    case = opened(Two(), drawn(8, 3), loss=lambda output, _: output[1].sum(1).mean())
    assert path_lengths(case).norms == pytest.approx([3 * math.sqrt(3), 1.5 * math.sqrt(3)])


def test_the_module_comes_back_as_it_was():
    module = nn.Sequential(*(Drawn(seed) for seed in range(3)), nn.Dropout(0.5)).eval()
    module[0].requires_grad_(False)
    before = {name: one.clone() for name, one in module.state_dict().items()}
    case = opened(module, drawn(16, 5), torch.arange(16) % 5)
    state = torch.get_rng_state()
    first = path_lengths(case)
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(3)
    assert path_lengths(case) == first
    assert not any(one.training for one in module.modules())
    assert [one.requires_grad for one in module[0].parameters()] == [False] * 4
    assert all(one.grad is None for one in module.parameters())
    assert all(torch.equal(one, before[name]) for name, one in module.state_dict().items())


def test_a_plain_network_is_refused_in_one_line():
    with pytest.raises(BadNetwork, match="residual blocks"):
        path_lengths(opened(nn.Sequential(nn.Linear(3, 3), nn.ReLU()), drawn(4, 3)))
