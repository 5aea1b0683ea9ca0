"""Read-outs of the input: closed forms, and the ridge regression beside scikit-learn's."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge, RidgeCV
from torch import Tensor, nn
from torch.nn import functional

from residua.diagnostics.case import opened
from residua.diagnostics.information import information_kept, ridge
from residua.errors import BadData, BadNetwork


@pytest.fixture(autouse=True)
def _the_same_weights() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def drawn(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def kept(module: nn.Module, inputs: Tensor) -> dict[str, float]:
    return {place.name: place.r2 for place in information_kept(opened(module, inputs)).places}


@pytest.mark.parametrize("width", [5, 60])
def test_the_regression_is_that_of_scikit_learn(width):
    """Fewer and more numbers than examples; the penalty is the one of the least error when an example is left out."""
    x, new = drawn(40, width).double() + 3, drawn(9, width, seed=2).double() + 3
    y = x[:, :3] + 0.5 * drawn(40, 3, seed=3).double() - 7
    scale = float((x - x.mean(0)).square().sum()) / 40
    penalties = [scale * 10.0**power for power in range(-9, 3)]
    reference = RidgeCV(alphas=penalties).fit(x.numpy(), y.numpy())
    np.testing.assert_allclose(ridge(x, y, new).numpy(), reference.predict(new.numpy()), rtol=1e-6)
    worse = Ridge(alpha=penalties[-1]).fit(x.numpy(), y.numpy()).predict(new.numpy())
    assert not np.allclose(worse, reference.predict(new.numpy()), rtol=1e-2)


def test_an_input_that_passes_unchanged_is_read_out_whole():
    """Images of 16 × 16, pooled to 8 × 8 on both sides of the regression."""
    module = nn.Sequential(nn.Conv2d(2, 2, 1, bias=False), nn.Flatten(), nn.Linear(512, 3))
    nn.init.dirac_(module[0].weight)  # type: ignore[arg-type]
    found = kept(module, drawn(256, 2, 16, 16))
    assert list(found) == ["input", "0", "before 2"]
    assert found["input"] > 0.99
    assert found["0"] == pytest.approx(found["input"], abs=1e-6)


class Constant(nn.Module):
    """Throws the input away: y = 0x."""

    def forward(self, x: Tensor) -> Tensor:
        return 0 * x


def test_a_network_that_throws_its_input_away_keeps_nothing():
    module = nn.Sequential(Constant(), nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(72, 2))
    found = kept(module, drawn(64, 1, 8, 8))
    assert found.pop("input") > 0.5
    assert found == pytest.approx({"1": 0, "before 4": 0}, abs=1e-9)


def test_what_rounding_leaves_of_a_constant_is_not_read():
    x = drawn(64, 3).double()
    assert torch.equal(ridge(1 + 1e-9 * x[:40], x[:40], 1 + 1e-9 * x[40:]), x[:40].mean(0).expand(24, 3))


def test_the_mean_of_an_image_tells_one_direction_of_64():
    """White pixels, pooled to their mean: one of the 64 directions of an 8 × 8 image, so R² = 1/64."""
    module = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1, 2), nn.Linear(2, 2))
    assert kept(module, drawn(768, 1, 8, 8))["2"] == pytest.approx(1 / 64, abs=0.01)


def test_what_is_unlearnable_from_the_examples_is_no_better_than_their_mean():
    """Features drawn anew for every pixel: nothing is read out, and nothing is lost to fitting noise."""

    class Scrambled(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.sin(1e4 * x)

    module = nn.Sequential(Scrambled(), nn.Conv2d(1, 4, 1), nn.Flatten(), nn.Linear(256, 2))
    assert abs(kept(module, drawn(400, 1, 8, 8))["1"]) < 0.05


class Block(nn.Module):
    def __init__(self, into: int, out: int, stride: int) -> None:
        super().__init__()
        self.residual = nn.Conv2d(into, out, 3, stride, 1)
        self.shortcut = nn.Identity() if into == out else nn.Conv2d(into, out, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.residual(x) + self.shortcut(x), inplace=True)


def test_places_are_the_ends_of_the_stages_and_what_the_last_layer_reads():
    blocks = nn.Sequential(Block(4, 4, 1), Block(4, 4, 1), Block(4, 6, 2), Block(6, 6, 1))
    module = nn.Sequential(nn.Conv2d(1, 4, 1), blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3))
    found = kept(module, drawn(96, 1, 16, 16))
    assert list(found) == ["input", "1.1", "1.3", "before 4"]
    assert all(value <= 1 for value in found.values())
    assert found["input"] > found["before 4"]


def test_vectors_are_read_out_as_they_are_and_long_ones_by_64_projections():
    identity = nn.Linear(100, 100, bias=False)
    identity.load_state_dict({"weight": torch.eye(100)})
    module = nn.Sequential(identity, nn.ReLU(), nn.Linear(100, 2))
    found = kept(module, drawn(768, 100))
    assert found["0"] > 0.99
    assert (
        0.4 < found["before 2"] < 0.9
    )  # a ReLU keeps half of a symmetric number's sign, and a line reads 1/2 / (1 − 1/π)


def test_a_relu_leaves_of_a_normal_number_what_the_best_line_reads():
    """The squared correlation of x and max(x, 0) is 1/4 / (1/2 − 1/(2π)) = .733."""
    identity = nn.Linear(6, 6, bias=False)
    identity.load_state_dict({"weight": torch.eye(6)})
    found = kept(nn.Sequential(identity, nn.ReLU(), nn.Linear(6, 2)), drawn(768, 6))
    assert found["before 2"] == pytest.approx(0.733, abs=0.03)


def test_it_is_evaluation_mode():
    """Dropout of nine tenths would hide most of the input."""
    identity = nn.Linear(6, 6, bias=False)
    identity.load_state_dict({"weight": torch.eye(6)})
    assert kept(nn.Sequential(identity, nn.Dropout(0.9), nn.Linear(6, 2)), drawn(96, 6))["before 2"] > 0.99


def test_huge_and_tiny_values_are_read_as_well():
    def scaled(by: float) -> float:
        first = nn.Linear(5, 5, bias=False)
        first.load_state_dict({"weight": by * torch.eye(5)})
        return kept(nn.Sequential(first, nn.Linear(5, 2)), drawn(64, 5))["0"]

    assert scaled(1e30) == pytest.approx(scaled(1.0))
    assert scaled(1e-30) == pytest.approx(scaled(1.0))


@pytest.mark.parametrize(
    ("module", "inputs", "error", "said"),
    [
        (nn.Embedding(5, 3), torch.zeros(64, 1, dtype=torch.long), BadData, "whole numbers"),
        (nn.Linear(3, 2), drawn(31, 3), BadData, "32 examples"),
        (nn.Linear(3, 2), torch.ones(64, 3), BadData, "all alike"),
        (nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 2)), drawn(64, 3) * 1e38 * 8, BadData, "not finite"),
    ],
)
def test_what_cannot_be_read_is_refused_in_one_line(module, inputs, error, said):
    with pytest.raises(error, match=said):
        information_kept(opened(module, inputs))


def test_a_place_that_is_not_finite_is_named():
    first = nn.Linear(3, 3)
    nn.init.constant_(first.bias, torch.inf)
    with pytest.raises(BadNetwork, match="^0 holds numbers that are not finite"):
        information_kept(opened(nn.Sequential(first, nn.Linear(3, 2)), drawn(64, 3)))


def test_the_same_again_and_the_module_comes_back_as_it_was():
    module = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 2))
    before = {name: one.clone() for name, one in module.state_dict().items()}
    case = opened(module, drawn(100, 4))
    state = torch.get_rng_state()
    first = information_kept(case, examples=80)
    assert first == information_kept(case, examples=80)
    assert first.examples == 80
    assert torch.equal(torch.get_rng_state(), state)
    assert all(one.training for one in module.modules())
    assert all(torch.equal(one, before[name]) for name, one in module.state_dict().items())
