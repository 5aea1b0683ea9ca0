"""The rate that an arm takes is decided by validation alone."""

from math import inf, nan

import pytest

from residua.studies.choice_of_rate import Tried, chosen


def tried(rate: float, loss: float, accuracy: float = 0.5) -> Tried:
    return Tried(learning_rate=rate, address=f"{rate}", loss=loss, accuracy=accuracy, seconds=2.0)


def test_the_lowest_loss_is_taken_and_the_cost_of_all_is_counted():
    choice = chosen([tried(0.1, 0.3), tried(0.01, 0.5), tried(0.03, 0.2)])
    assert (choice.learning_rate, choice.seconds, choice.edge) == (0.03, 6.0, "")
    assert [one.learning_rate for one in choice.tried] == [0.01, 0.03, 0.1]


def test_of_equal_losses_the_more_accurate_then_the_smaller_rate_is_taken():
    assert chosen([tried(0.1, 0.3, 0.8), tried(0.01, 0.3, 0.7)]).learning_rate == 0.1
    assert chosen([tried(0.1, 0.3), tried(0.01, 0.3)]).learning_rate == 0.01


@pytest.mark.parametrize(("losses", "edge"), [((0.1, 0.2, 0.3), "smallest"), ((0.3, 0.2, 0.1), "largest")])
def test_an_edge_of_the_grid_is_said(losses: tuple[float, float, float], edge: str):
    assert chosen([tried(rate, loss) for rate, loss in zip((0.01, 0.03, 0.1), losses, strict=True)]).edge == edge


def test_a_rate_that_diverged_is_never_taken_before_one_that_did_not():
    assert chosen([tried(0.01, inf, 0.0), tried(0.1, 9.0, 0.1)]).learning_rate == 0.1
    assert chosen([tried(0.01, nan, 0.0), tried(0.1, 9.0, 0.1)]).learning_rate == 0.1
