"""The rules of what the first step moves."""

import pytest
from tests.diagnostics.rules.fabricated import asked, diagnosis, step

from residua.diagnostics.rules import from_first_step


def test_sleeping_blocks_are_found():
    found = from_first_step.blocks_that_never_wake(diagnosis(first_step=step(asleep=("b.3", "b.4")), additions=9))
    assert found is not None
    assert (found.severity, found.where, found.measured) == ("serious", "b.3", 2)
    assert "2 of 9" in found.says
    assert from_first_step.blocks_that_never_wake(diagnosis(first_step=step(waking=("b.3",)))) is None


def test_zero_initialised_blocks_that_wake_are_a_note():
    found = from_first_step.blocks_start_at_zero(diagnosis(first_step=step(waking=("b.3",)), additions=9))
    assert found is not None
    assert found.severity == "note"
    assert from_first_step.blocks_start_at_zero(diagnosis(first_step=step(asleep=("b.3",)))) is None


def test_a_frozen_layer_is_a_warning_and_nothing_but_frozen_ones_serious():
    one = from_first_step.frozen_layers(diagnosis(first_step=step(frozen=("stem",))))
    everything = from_first_step.frozen_layers(diagnosis(first_step=step(frozen=("stem",), learning=())))
    assert one is not None
    assert everything is not None
    assert (one.severity, one.where) == ("warning", "stem")
    assert everything.severity == "serious"
    assert from_first_step.frozen_layers(diagnosis(first_step=step())) is None


@pytest.mark.parametrize(("share", "found"), [(0.06, True), (0.04, False), (0.0, False), (None, False)])
def test_decay_that_makes_a_twentieth_of_the_step_is_found(share, found):
    judged = from_first_step.weight_decay_too_strong(diagnosis(first_step=step(decay_share=share), questions=asked()))
    assert (judged is not None) == found


def test_decay_may_balance_the_gradient_of_what_was_learned():
    given = {"first_step": step(decay_share=0.5)}
    learned = asked(first_loss=1.0, expected_first_loss=2.3)
    assert from_first_step.weight_decay_too_strong(diagnosis(**given, questions=learned)) is None
    assert from_first_step.weight_decay_too_strong(diagnosis(**given)) is not None
