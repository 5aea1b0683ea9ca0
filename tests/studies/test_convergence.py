"""Courses of a loss whose end is known."""

from math import exp, inf, nan

import numpy as np
import pytest

from residua.studies.convergence import FEWEST_EPOCHS, STILL_FALLS, is_converged, losses_of, relative_fall


def course(epochs: int, *, per_fifth: float, noise: float = 0.0, seed: int = 0) -> list[float]:
    """A loss that falls by a factor e^(−per_fifth) in a fifth of the epochs."""
    drawn = np.random.default_rng(seed).normal(0, 1, epochs) * noise
    return [exp(-5 * per_fifth * epoch / epochs) + one for epoch, one in enumerate(drawn)]


@pytest.mark.parametrize("epochs", [5, 6, 12, 25, 40, 200])
def test_the_fall_is_over_a_fifth_of_the_epochs(epochs):
    straight = [1.0 - 0.1 * epoch / epochs for epoch in range(epochs)]
    assert relative_fall(straight) == pytest.approx(0.02, rel=0.15)


@pytest.mark.parametrize("epochs", [5, 8, 20, 100])
def test_a_loss_that_still_falls_is_not_converged_and_one_that_stopped_is(epochs):
    assert not is_converged(course(epochs, per_fifth=3 * STILL_FALLS))
    assert is_converged(course(epochs, per_fifth=STILL_FALLS / 3))
    assert is_converged([0.5] * epochs)


def test_only_the_end_counts():
    assert is_converged([3.0 * 0.5**epoch + 1.0 for epoch in range(50)])


def test_a_loss_that_rises_is_not_falling():
    assert is_converged([1.0, 1.0, 1.0, 1.1, 1.2, 1.3, 1.4])


def test_fewer_epochs_and_numbers_that_are_none_are_unknown():
    assert not is_converged([1.0] * (FEWEST_EPOCHS - 1))
    assert not is_converged([])
    assert not is_converged([1.0, 1.0, 1.0, 1.0, nan])
    assert not is_converged([1.0, 1.0, 1.0, 1.0, inf, inf])


def test_noise_alone_is_seldom_a_fall():
    """100 flat courses whose noise makes lines of more than the threshold."""
    flat = [course(10, per_fifth=0.0, noise=0.1, seed=seed) for seed in range(100)]
    assert sum(relative_fall(one) > STILL_FALLS for one in flat) > 40
    assert sum(not is_converged(one) for one in flat) <= 35


def test_one_spike_hides_no_fall():
    falling = course(40, per_fifth=0.2)
    falling[-2] *= 3
    assert not is_converged(falling)


def test_a_loss_of_zero_has_nothing_left_to_fall():
    assert is_converged([0.0] * 6)


def test_losses_are_those_of_the_rows():
    assert losses_of([{"epoch": 1, "train_loss": 2.0}, {"epoch": 2, "train_loss": 1}]) == (2.0, 1.0)
