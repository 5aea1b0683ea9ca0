"""Blocks that turn their input by 45°: the cosine to the stage's end is known at each."""

from math import cos, pi

import pytest
import torch
from torch import Tensor, nn

from residua.diagnostics.case import opened
from residua.studies.measures.estimation import estimation
from residua.studies.trial import Measurement, Trial


class Turning(nn.Module):
    """Adds to x what lies across it: the sum is turned by 45° and longer by √2."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 2, bias=False)
        self.linear.weight.data = torch.tensor([[0.0, -1.0], [1.0, 0.0]])

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x) + x


def measured(blocks: int) -> Measurement:
    network = nn.Sequential(*(Turning() for _ in range(blocks)))
    images = torch.randn(8, 2, generator=torch.Generator().manual_seed(0))
    case = opened(network, images)
    return estimation(Trial(arm="a", seed=0, network=lambda: network, case=lambda _: case, run=None))


def test_three_turns_rise_from_none_to_all_of_it():
    found = measured(3)
    assert [y for _, y in found.series["cosine"]] == pytest.approx([0, cos(pi / 4), 1], abs=1e-6)
    assert [x for x, _ in found.series["cosine"]] == [1, 2, 3]
    assert found.numbers["first_cosine"] == pytest.approx(0, abs=1e-6)
    assert found.numbers["largest_fall"] == 0
    assert found.numbers["largest_step"] == pytest.approx(cos(pi / 4), abs=1e-6)


def test_more_than_half_a_circle_falls_first():
    found = measured(7)
    assert found.numbers["first_cosine"] == pytest.approx(cos(6 * pi / 4), abs=1e-6)
    assert found.numbers["largest_fall"] == pytest.approx(cos(pi / 4), abs=1e-6)


def test_one_block_is_no_stage():
    with pytest.raises(ValueError, match="no stage"):
        measured(1)
