"""How many images a Hessian is of: what fits, what was asked, and which are in which draw."""

import pytest
import torch
from tests.diagnostics.curvature.dense import images_case

from residua.diagnostics.curvature.draws import SECONDS, drawn, planned, seconds_of_an_image


def plan(images, draws, *, count=60, seconds=1e-3):
    return planned(images_case(count=count), images, draws, of_a_draw=50, seconds_of_an_image=seconds)


@pytest.mark.parametrize(("seconds", "images"), [(1e-6, 1024), (SECONDS / 150 / 600, 512), (1.0, 128)])
def test_the_most_images_that_fit_are_taken_and_128_at_least(seconds, images):
    found = plan(None, 3, count=4000, seconds=seconds)
    assert (found.images, found.draws, found.products) == (images, 3, 150)
    assert found.seconds == pytest.approx(images * seconds)
    assert ("more than fit" in found.says[0]) == (seconds == 1.0)
    assert (found.products * found.seconds <= SECONDS) == (seconds < 1.0)


def test_what_is_asked_for_is_taken_whatever_it_costs():
    found = plan(50, 1, seconds=100.0)
    assert (found.images, found.draws, found.says) == (50, 1, ())


def test_draws_have_no_image_in_common_where_there_are_enough():
    case, found = images_case(count=60), plan(20, 3)
    assert found.is_apart
    numbers = case.examples.args[0][:, 0, 0, 0]
    taken = torch.cat([one.args[0][:, 0, 0, 0] for one in drawn(case.examples, found, seed=0)])
    assert torch.equal(taken.sort().values, numbers.sort().values)
    again = torch.cat([one.args[0][:, 0, 0, 0] for one in drawn(case.examples, found, seed=0)])
    other = torch.cat([one.args[0][:, 0, 0, 0] for one in drawn(case.examples, found, seed=1)])
    assert torch.equal(taken, again)
    assert not torch.equal(taken, other)


def test_where_there_are_not_enough_draws_differ_and_it_is_said():
    case, found = images_case(count=60), plan(40, 3)
    assert not found.is_apart
    assert "share some" in found.says[0]
    sets = [set(one.args[0][:, 0, 0, 0].tolist()) for one in drawn(case.examples, found, seed=0)]
    assert [len(one) for one in sets] == [40, 40, 40]
    assert sets[0] != sets[1] != sets[2]


def test_all_images_are_one_draw_and_it_is_said():
    found = plan(100, 3)
    assert (found.images, found.draws) == (60, 1)
    assert "60 images, of the 100" in found.says[0]
    assert "is not known" in found.says[1]


def test_the_pace_is_of_a_product_of_few_images(monkeypatch):
    times = iter([10.0, 12.0])
    monkeypatch.setattr("residua.diagnostics.curvature.draws.time.perf_counter", lambda: next(times))
    assert seconds_of_an_image(images_case(count=60), policy="frozen", way="forward") == 2.0 / 32
