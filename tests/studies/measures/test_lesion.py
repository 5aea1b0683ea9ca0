"""Blocks whose loss is known: some do nothing, one does everything."""

import pytest
import torch
from torch import Tensor, nn

from residua.diagnostics.case import opened
from residua.diagnostics.lesions import lesions
from residua.studies.measures.lesion import lesion
from residua.studies.trial import Measurement, Trial


class Adding(nn.Module):
    """Adds W x to x."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 2, bias=False)
        self.linear.weight.data = weight

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x) + x


def trial(*weights: Tensor) -> Trial:
    """Labels say which of two numbers is the smaller one, so that what only adds nothing is always wrong."""
    network = nn.Sequential(*(Adding(weight) for weight in weights))
    images = torch.rand(64, 2, generator=torch.Generator().manual_seed(0))
    labels = images.argmin(1)
    case = opened(network, images, labels, held_out=(images, labels))
    return Trial(arm="a", seed=0, network=lambda: network, case=lambda _: case, run=None)


@pytest.fixture(scope="module")
def measured() -> Measurement:
    return lesion(trial(torch.zeros(2, 2), -2 * torch.eye(2), torch.zeros(2, 2)))


def test_a_block_that_does_everything_is_missed_and_those_that_do_nothing_are_not(measured):
    assert measured.series["lesion_error"] == ((1.0, 0.0), (2.0, 1.0), (3.0, 0.0))
    assert measured.series["whole_error"] == ((1.0, 0.0), (2.0, 0.0), (3.0, 0.0))


def test_the_median_over_the_blocks_less_the_whole_is_the_rise(measured):
    assert measured.numbers["lesion_error"] == measured.numbers["lesion_rise"] == 0
    both = lesion(trial(-2 * torch.eye(2), -2 * torch.eye(2), -2 * torch.eye(2)))
    assert both.numbers["whole_error"] == 0
    assert both.numbers["lesion_rise"] == 1


def test_what_no_block_has_is_no_number(measured):
    assert "transition_rise" not in measured.numbers
    assert "recalibrated_rise" not in measured.numbers


def test_no_clock_has_a_say_in_what_is_measured(monkeypatch):
    """Timed, so slow a network would be given 16 examples and no draws."""
    monkeypatch.setattr("residua.diagnostics.lesions._seconds", lambda case: 1e6)
    case = trial(*(torch.zeros(2, 2) for _ in range(4))).case(64)
    whole, timed = lesions(case, examples=64, timed=False), lesions(case, examples=64)
    assert (whole.examples, bool(whole.several)) == (64, True)
    assert (timed.examples, bool(timed.several)) == (16, False)
