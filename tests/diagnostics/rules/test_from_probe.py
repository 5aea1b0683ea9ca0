"""The rules of short trainings, at both sides of their thresholds."""

from math import log, nan

import pytest
from tests.diagnostics.rules.fabricated import asked, diagnosis, updates

from residua.diagnostics.questions import FirstUpdate
from residua.diagnostics.rules import from_probe


def judged(rule, **changes):
    return rule(diagnosis(questions=asked(**changes)))


@pytest.mark.parametrize("ratios", [(0.11,), (0.2, 1e-9, 0.2), (nan, nan, 0.0), (0.0, 0.0, 0.0, 0.5, 0.6)])
def test_a_first_step_that_replaces_the_weights_is_found(ratios):
    """The median of what moves is what counts: layers of a zero-initialised branch do not, at first."""
    found = judged(from_probe.update_too_large, updates=updates(*ratios))
    assert found is not None
    assert found.severity == "serious"


def test_a_step_down_a_loss_that_was_no_number_before_is_not_to_blame():
    assert judged(from_probe.update_too_large, updates=updates(nan), first_loss=nan) is None


@pytest.mark.parametrize("ratios", [(), (0.09,), (1e-3, 0.09, 1e-3), (0.0, 0.0, 0.0)])
def test_other_steps_are_not_too_large(ratios):
    assert judged(from_probe.update_too_large, updates=updates(*ratios)) is None


def test_biases_say_nothing_of_the_update():
    """A bias that was zero is tiny after some steps, and one more step doubles it."""
    biases = tuple(FirstUpdate(name=f"{i}.bias", ratio=1.0) for i in range(5))
    assert judged(from_probe.update_too_large, updates=(*biases, *updates(1e-3))) is None
    assert judged(from_probe.update_too_large, updates=(*biases, *updates(0.5))) is not None


def test_the_remedy_brings_the_update_to_a_hundredth():
    found = judged(from_probe.update_too_large, updates=updates(1.0))
    assert found is not None
    assert found.remedy == "divide the learning rate by 100"


def test_a_first_step_that_moves_nothing_is_found():
    assert judged(from_probe.update_too_small, updates=updates(0.9e-6)) is not None
    assert judged(from_probe.update_too_small, updates=updates(1.1e-6)) is None
    assert judged(from_probe.update_too_small, updates=updates(nan)) is None


@pytest.mark.parametrize(("end", "found"), [(2.3, True), (2.24, True), (2.2, False), (nan, False)])
def test_labels_that_are_learned_no_better_than_permuted_ones_say_nothing(end, found):
    """0.95 × 2.35 = 2.2325."""
    assert (judged(from_probe.labels_say_nothing, learned=(2.4, end)) is not None) == found


def test_labels_are_not_blamed_by_a_network_that_cannot_learn():
    assert judged(from_probe.labels_say_nothing, learned=(2.4, 2.4), overfit=(2.4, 2.3)) is None
    assert judged(from_probe.labels_say_nothing, learned=(2.4, 2.4), permuted=None) is None


@pytest.mark.parametrize(("times", "found"), [(2.01, True), (1.99, False), (0.01, False)])
def test_the_first_loss_is_that_of_not_knowing(times, found):
    """ln k for k classes; a lower one belongs to a network that has learned."""
    assert (judged(from_probe.first_loss_off, first_loss=times * log(10)) is not None) == found


def test_without_classes_no_first_loss_is_expected():
    assert judged(from_probe.first_loss_off, first_loss=50.0, expected_first_loss=None) is None


@pytest.mark.parametrize("overfit", [(2.4, *[1.21] * 40), (2.4, nan), (2.4, *[3.0] * 40), (0.5, *[0.26] * 40)])
def test_a_batch_that_is_not_learned_by_heart_is_found(overfit):
    found = judged(from_probe.cannot_learn_one_batch, overfit=overfit)
    assert found is not None
    assert found.severity == "serious"


@pytest.mark.parametrize("overfit", [(), (2.4, 1.19), (2.4, 1.0, nan), (0.2, *[0.21] * 40)])
def test_a_batch_that_is_learned_or_was_known_is_let_be(overfit):
    """0.1 ln 10 = 0.23: below it a batch was known before."""
    assert judged(from_probe.cannot_learn_one_batch, overfit=overfit) is None


def test_little_time_is_no_evidence():
    """Of a large network a batch is shown a few times only; that a loss is no number shows at once."""
    assert judged(from_probe.cannot_learn_one_batch, overfit=(2.4,) * 19) is None
    assert judged(from_probe.cannot_learn_one_batch, overfit=(2.4,) * 20) is not None
    assert judged(from_probe.labels_say_nothing, learned=(2.4, 2.4), steps=19) is None
    assert judged(from_probe.inputs_do_not_matter, learned=(2.4, 2.4), steps=19) is None
    assert judged(from_probe.inputs_do_not_matter, learned=(2.4, 2.4), steps=20) is not None


def test_inputs_that_help_no_more_than_blank_ones_do_not_matter():
    stuck = {"overfit": (2.4,) * 40}
    serious = judged(from_probe.inputs_do_not_matter, learned=(2.4, 2.3), **stuck)
    warned = judged(from_probe.inputs_do_not_matter, learned=(2.4, 2.3))
    assert serious is not None
    assert warned is not None
    assert (serious.severity, warned.severity) == ("serious", "warning")
    assert judged(from_probe.inputs_do_not_matter, learned=(2.4, 2.1), **stuck) is None
    assert judged(from_probe.inputs_do_not_matter, learned=None) is None


def test_a_batch_whose_loss_still_falls_is_a_warning():
    """Slow, and on its way: from 2.4 to 1.5 in even steps; not so where it stopped falling long ago."""
    falling = tuple(2.4 - 0.9 * step / 40 for step in range(41))
    stuck = (*falling[:21], *[falling[20]] * 20)
    found = [judged(from_probe.cannot_learn_one_batch, overfit=losses) for losses in (falling, stuck)]
    assert [one.severity for one in found if one is not None] == ["warning", "serious"]
