"""Paths of blocks that scale: everything that is said of them has a closed form."""

from math import comb, log

import pytest
import torch
from torch import Tensor, nn

from residua.diagnostics.case import opened
from residua.studies.measures.paths import paths
from residua.studies.trial import Measurement, Trial

BLOCKS, SCALE = 6, 0.25


class Scaling(nn.Module):
    """Adds a·x to x."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4, bias=False)
        nn.init.eye_(self.linear.weight)
        self.linear.weight.data *= SCALE

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x) + x


@pytest.fixture(scope="module")
def measured() -> Measurement:
    network = nn.Sequential(nn.Linear(4, 4), *(Scaling() for _ in range(BLOCKS)))
    images = torch.randn(8, 4, generator=torch.Generator().manual_seed(0))
    case = opened(network, images)
    return paths(Trial(arm="a", seed=0, network=lambda: network, case=lambda _: case, run=None))


def test_a_path_loses_the_same_factor_with_every_branch(measured):
    assert measured.numbers["decay"] == pytest.approx(-log(SCALE), rel=1e-4)


def test_the_mean_length_is_that_of_branches_taken_at_odds_of_the_scale(measured):
    """Σ k C(n,k) aᵏ / Σ C(n,k) aᵏ = n a / (1 + a)."""
    assert measured.numbers["path_length"] == pytest.approx(BLOCKS * SCALE / (1 + SCALE), rel=1e-4)
    assert measured.numbers["half_the_blocks"] == BLOCKS / 2


def test_effective_paths_are_those_of_the_strongest_lengths_up_to_95_parts_of_100(measured):
    """Binomial(6, 1/5): lengths 1, 0, 2, 3 carry 98.3 %, the first three of them 90.1 %."""
    assert measured.numbers["effective_paths"] == pytest.approx(sum(comb(6, k) for k in (0, 1, 2, 3)) / 2**6)


def test_the_series_are_shares_by_length(measured):
    for name in ("gradient_share", "path_share"):
        lengths, shares = zip(*measured.series[name], strict=True)
        assert lengths == tuple(range(BLOCKS + 1))
        assert sum(shares) == pytest.approx(1)
