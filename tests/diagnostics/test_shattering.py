"""Autocorrelation along a line: closed forms, the norms that are held, and the order of the paper's figures."""

import math
from collections.abc import Iterator
from statistics import median

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from residua.diagnostics.case import opened
from residua.diagnostics.shattering import FixedNorms, autocorrelation, shattering
from residua.errors import BadData, BadNetwork


@pytest.fixture(autouse=True)
def _the_same_weights() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def drawn(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_autocorrelation_is_the_slow_obvious_one():
    series = drawn(1, 50).double()
    z = [float(one) for one in series[0] - series[0].mean()]
    slow = [sum(z[t] * z[t + k] for t in range(50 - k)) / sum(one * one for one in z) for k in (1, 2, 3)]
    assert autocorrelation(series, 3) == pytest.approx(slow)


def test_a_cosine_is_correlated_with_itself_as_a_cosine():
    """Over many whole periods the autocorrelation of cos(ωt) at lag k is cos(ωk), but for the ends."""
    t = torch.arange(4000, dtype=torch.float64)
    found = autocorrelation(torch.cos(2 * math.pi * t / 8)[None], 8)
    assert found == pytest.approx([math.cos(2 * math.pi * k / 8) for k in range(1, 9)], abs=0.01)


def test_dimensions_count_by_their_variance():
    """A dimension a thousandth as large, or constant, is not heard beside the others."""
    one, other = drawn(1, 200).double(), drawn(1, 200, seed=2).double().cumsum(1)
    alone = autocorrelation(other, 5)
    assert autocorrelation(torch.cat([one / 1000, other, torch.full((1, 200), 7.0)]), 5) == pytest.approx(
        alone, rel=1e-5
    )
    assert autocorrelation(other * 1e-12 + 1e-9, 5) == pytest.approx(alone, rel=1e-4)


class Square(nn.Module):
    """f(x) = Σ x³ / 3 of each input, whose gradient is x²."""

    def forward(self, x: Tensor) -> Tensor:
        return (x**3 / 3).sum(1, keepdim=True)


def test_the_gradient_is_that_of_the_line_between_the_first_and_the_first_other_example():
    x = torch.tensor([[-1.0, 0.5], [-1.0, 0.5], [2.0, 3.0], [9.0, 9.0]])
    found = shattering(opened(Square(), x), points=64, lags=4)
    along = torch.linspace(0, 1, 64, dtype=torch.float64)
    points = torch.stack([-1 + 3 * along, 0.5 + 2.5 * along])
    assert found.autocorrelation == pytest.approx(autocorrelation(points**2, 4), rel=1e-5)
    assert (found.points, found.lags) == (64, (1, 2, 3, 4))


def test_what_rounding_leaves_of_a_constant_is_no_noise():
    series = 1 + 1e-7 * drawn(3, 200).double()
    assert autocorrelation(series, 5) == (1,) * 5
    assert abs(autocorrelation(series - 1, 5)[0]) < 0.3


def test_a_linear_function_has_one_gradient_along_the_line():
    module = nn.Sequential(nn.Linear(4, 16), nn.BatchNorm1d(16), nn.Linear(16, 3))
    assert shattering(opened(module, drawn(32, 4))).autocorrelation == (1,) * 15


def test_noise_is_drawn_and_as_theory_has_it():
    """White noise about its mean: −(n − k)/n² on average; running sums stay near 1 and fall with the lag."""
    found = shattering(opened(Square(), drawn(4, 3)))
    assert found.white == pytest.approx([-(256 - k) / 256**2 for k in range(1, 16)], abs=0.02)
    assert 0.95 < found.brown[0] < 0.99
    assert list(found.brown) == sorted(found.brown, reverse=True)
    again = shattering(opened(Square(), drawn(4, 3, seed=9)))
    assert (again.white, again.brown) == (found.white, found.brown)


def test_norms_hold_what_the_examples_gave_and_each_input_has_a_gradient_of_its_own():
    """With the statistics of 40 examples fixed, an input's output is that of training mode and none of its fellows'."""
    norm = nn.BatchNorm1d(3)
    nn.init.constant_(norm.weight, 2.0)
    x = drawn(40, 3) * 5 + 1
    norm.eval()
    held = FixedNorms()
    with held:
        met = norm(x)
        held.hold()
        alone = norm(x[:1])
    expected = 2 * (x - x.mean(0)) / (x.var(0, correction=0) + norm.eps).sqrt()
    torch.testing.assert_close(met, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(alone, expected[:1], rtol=1e-4, atol=1e-5)
    assert float(norm.running_mean.abs().sum()) == 0  # type: ignore[union-attr]


def test_several_norms_are_told_apart_in_every_pass():
    parts = nn.Sequential(nn.BatchNorm1d(3), nn.ReLU(), nn.BatchNorm1d(3)).eval()
    x = drawn(40, 3) * 5 + 1
    held = FixedNorms()
    with held:
        first = parts(x)
        held.hold()
        assert torch.equal(parts(x), first)
        assert torch.allclose(torch.cat([parts(x[:7]), parts(x[7:])]), first, atol=1e-6)
    assert torch.allclose(first, parts.train()(x), atol=1e-5)


def linear(into: int, out: int, generator: torch.Generator) -> nn.Linear:
    made = nn.Linear(into, out)
    weight = torch.randn(out, into, generator=generator) * (2 / into) ** 0.5
    made.load_state_dict({"weight": weight, "bias": torch.randn(out, generator=generator)})
    return made


class Block(nn.Module):
    def __init__(self, width: int, generator: torch.Generator) -> None:
        super().__init__()
        self.norm, self.inner = nn.BatchNorm1d(width), linear(width, width, generator)

    def forward(self, x: Tensor) -> Tensor:
        return x + 0.1 * self.inner(functional.relu(self.norm(x)))


def plain(layers: int, seed: int, width: int = 200) -> nn.Module:
    generator = torch.Generator().manual_seed(seed)
    hidden = [
        nn.Sequential(linear(1 if i == 0 else width, width, generator), nn.BatchNorm1d(width), nn.ReLU())
        for i in range(layers - 1)
    ]
    return nn.Sequential(*hidden, linear(width, 1, generator))


def residual(layers: int, seed: int, width: int = 200) -> nn.Module:
    generator = torch.Generator().manual_seed(seed)
    blocks = [Block(width, generator) for _ in range(layers - 2)]
    return nn.Sequential(linear(1, width, generator), *blocks, linear(width, 1, generator))


def test_deep_plain_gradients_are_noise_and_residual_ones_are_not():
    """Balduzzi et al. 2017, Fig. 1: f: R → R on 256 points of [−2, 2], width 200, batch norm, medians of five seeds.

    Measured at lag 1 and 5: plain, 2 layers, .98 and .92; plain, 24 layers, 0 and −.04; residual, 50 layers with its
    branch × 0.1, .90 and .47.
    """
    x = torch.linspace(-2, 2, 64)[[0, 63, *range(1, 63)], None]

    def lags(made: list[nn.Module]) -> tuple[float, float]:
        found = [shattering(opened(one, x)).autocorrelation for one in made]
        return median(one[0] for one in found), median(one[4] for one in found)

    shallow = lags([plain(2, seed) for seed in range(5)])
    deep = lags([plain(24, seed) for seed in range(5)])
    with_shortcuts = lags([residual(50, seed) for seed in range(5)])
    assert shallow[0] > 0.9
    assert shallow[1] > 0.6
    assert abs(deep[0]) < 0.3
    assert abs(deep[1]) < 0.3
    assert 0.6 < with_shortcuts[0] < 0.99
    assert 0.25 < with_shortcuts[1] < shallow[1]


def test_the_module_comes_back_as_it_was():
    module = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 2))
    before = {name: one.clone() for name, one in module.state_dict().items()}
    case = opened(module, drawn(32, 4))
    state = torch.get_rng_state()
    assert shattering(case) == shattering(case)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(one.training for one in module.modules())
    assert all(one.requires_grad for one in module.parameters())
    assert all(torch.equal(one, before[name]) for name, one in module.state_dict().items())


class Cut(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.detach() * 2


@pytest.mark.parametrize(
    ("module", "inputs", "error", "said"),
    [
        (nn.Embedding(5, 3), torch.tensor([[1], [2]]), BadData, "whole numbers"),
        (nn.Linear(3, 2), torch.ones(4, 3), BadData, "all examples are the same"),
        (nn.Sequential(nn.Linear(3, 2), nn.Threshold(1e9, 0.0)), drawn(4, 3), BadNetwork, "zero or not finite"),
        (Cut(), drawn(4, 3), BadNetwork, "no gradient passes"),
    ],
)
def test_what_has_no_line_or_no_gradient_is_refused_in_one_line(module, inputs, error, said):
    with pytest.raises(error, match=said):
        shattering(opened(module, inputs))
