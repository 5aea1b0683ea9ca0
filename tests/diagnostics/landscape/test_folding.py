"""Norms folded into convolutions, against the same network without folding."""

from typing import get_args

import numpy as np
import pytest
import torch
from tests.diagnostics.landscape.surveyed import naive, network, normal, pictures, plane
from torch import Tensor, nn

from residua.diagnostics.case import Examples, opened
from residua.diagnostics.landscape.folding import foldable
from residua.diagnostics.landscape.moving import moving
from residua.diagnostics.landscape.survey import survey
from residua.networks.spec import Order

FOLDED = {
    "original": 6,  # all of them: the stem's, two in each block, and the projection's
    "bn_after_addition": 4,
    "relu_before_addition": 6,
    "relu_only_preactivation": 6,
    "full_preactivation": 3,  # the stem's and one in each block; the others are on the stream
}
"""How many norms directly follow a convolution that nobody else reads, by the five figures of He et al. 2016."""


@pytest.mark.parametrize("order", get_args(Order))
@pytest.mark.parametrize("statistics", [0.0, 0.1])
def test_a_folded_surface_is_the_unfolded_one(order: Order, statistics: float):
    """All of W, b, γ and β move; in half of the cases μ and σ, too."""
    module = network(order)
    case, grid = pictures(module), plane(module, buffers=statistics)
    found = survey(case, grid)
    np.testing.assert_allclose(found.cells[0].loss, naive(case, grid), rtol=1e-10)
    assert found.folded == FOLDED[order]


class Foreign(nn.Module):
    """Convolution and norm as attributes, called in sequence, and another pair that must not be folded."""

    def __init__(self, convolution: nn.Conv2d | None = None, norm: nn.Module | None = None) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(4)
        self.conv1 = nn.Conv2d(2, 4, 3, bias=True)
        self.other = convolution or nn.Conv2d(4, 4, 1)
        self.norm = norm or nn.BatchNorm2d(4)
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.last(self.bn1(self.conv1(x)).relu()).mean((2, 3)))

    def last(self, x: Tensor) -> Tensor:
        return self.norm(self.other(x))


class ReadTwice(Foreign):
    def last(self, x: Tensor) -> Tensor:
        z = self.other(x)
        return self.norm(z) + z


class CalledTwice(Foreign):
    def last(self, x: Tensor) -> Tensor:
        return self.norm(self.other(self.norm(self.other(x))))


class Between(Foreign):
    def last(self, x: Tensor) -> Tensor:
        return self.norm(self.other(x).relu())


class WeightReadElsewhere(Foreign):
    def last(self, x: Tensor) -> Tensor:
        return self.norm(self.other(x)) + nn.functional.conv2d(x, self.other.weight)


class Circular(Foreign):
    """Pads in an operation of its own before it convolves."""

    def __init__(self) -> None:
        super().__init__(nn.Conv2d(4, 4, 3, padding=1, padding_mode="circular"))


class Beside(Foreign):
    """Gives what a convolution gave, too: a loss may read it."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        z = self.conv1(x)
        return self.head(self.last(self.bn1(z).relu()).mean((2, 3))), z


class OwnConvolution(nn.Conv2d):
    pass


def hooked() -> Foreign:
    def doubled(_module: nn.Module, _inputs: object, output: Tensor) -> Tensor:
        return 2 * output

    module = Foreign()
    module.norm.register_forward_hook(doubled)
    return module


@pytest.mark.parametrize(
    ("make", "pairs"),
    [
        (Foreign, {"conv1", "other"}),
        (ReadTwice, {"conv1"}),
        (CalledTwice, {"conv1"}),
        (Between, {"conv1"}),
        (WeightReadElsewhere, {"conv1"}),
        (Circular, {"conv1", "other"}),
        (Beside, set()),
        (lambda: Foreign(OwnConvolution(4, 4, 1)), {"conv1"}),
        (lambda: Foreign(norm=nn.BatchNorm2d(4, track_running_stats=False)), {"conv1"}),
        (lambda: Foreign(norm=nn.GroupNorm(2, 4)), {"conv1"}),
        (hooked, {"conv1"}),
    ],
)
def test_only_what_is_certain_is_folded(make, pairs: set[str]):
    torch.manual_seed(0)
    module = make().double().eval()
    two = Examples(args=(normal(2, 2, 6, 6),))
    assert {convolution for convolution, _ in foldable(module, two)} == pairs
    case = opened(module, normal(8, 2, 6, 6), torch.arange(8) % 3)
    grid = plane(module, x=(-1.0, 1.0), y=(0.5, 1.0), scale=0.3)
    found = survey(case, grid)
    assert found.folded == len(pairs)
    np.testing.assert_allclose(found.cells[0].loss, naive(case, grid), rtol=1e-10)


def test_convolutions_that_share_a_weight_are_left_as_they_are():
    """Two norms cannot both be part of it."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2), nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2), nn.Flatten())
    module[2].weight = module[0].weight
    module = module.double()
    case = opened(module, normal(8, 2, 2, 2))
    grid = plane(module, buffers=0.1)
    found = survey(case, grid)
    assert found.folded == 0
    np.testing.assert_allclose(found.cells[0].loss, naive(case, grid), rtol=1e-10)


def test_nothing_is_folded_under_other_policies_or_where_the_pass_cannot_be_traced():
    module = network()
    for policy in ("batch", "recalibrated"):
        assert survey(pictures(module), plane(module, x=(0.0, 1.0)), policy=policy).folded == 0
    two = Examples(args=(normal(2, 3, 6, 6),))  # of three channels, for a network of two
    assert foldable(module, two) == ()


def test_the_users_module_keeps_its_norms():
    module = network()
    case = pictures(module)
    with moving(module, [], case.examples) as moved:
        moved.fold(case.examples)
        assert moved.folds
        moved.to([])
    assert all("forward" not in vars(one) for one in module.modules())
