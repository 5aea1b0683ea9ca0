"""The rules of a forward pass, at both sides of their thresholds."""

from math import e, log

import pytest
import torch
from tests.diagnostics.rules.fabricated import activation, asked, diagnosis, flow, forward, norm

from residua.diagnostics.findings import Finding
from residua.diagnostics.rules import from_batch
from residua.diagnostics.rules.rule import Rule


def seen(rule: Rule, **parts) -> Finding:
    found = rule(diagnosis(**parts))
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("mean", "deviation"), [(0.0, 11.0), (-11.0, 1.0), (120.0, 70.0), (0.0, 0.009), (float("nan"), 1.0)]
)
def test_inputs_far_from_one_unit_are_found(mean, deviation):
    found = seen(from_batch.inputs_not_normalised, signals=forward(input_mean=mean, input_deviation=deviation))
    assert (found.severity, found.where) == ("serious", "input")


@pytest.mark.parametrize(("mean", "deviation"), [(0.0, 1.0), (0.5, 0.3), (9.9, 9.9), (0.1, 0.011)])
def test_inputs_of_about_one_unit_are_let_be(mean, deviation):
    given = forward(input_mean=mean, input_deviation=deviation)
    assert from_batch.inputs_not_normalised(diagnosis(signals=given)) is None


def test_tokens_are_no_inputs_to_normalise():
    given = forward(input_mean=3e4, input_deviation=1e4, has_whole_numbers=True)
    assert from_batch.inputs_not_normalised(diagnosis(signals=given)) is None


def test_a_norm_makes_large_inputs_a_warning():
    given = forward(input_deviation=70.0, has_norms=True)
    assert seen(from_batch.inputs_not_normalised, signals=given).severity == "warning"


def test_probabilities_before_a_softmax_are_found():
    assert seen(from_batch.softmax_before_the_loss, signals=forward(are_probabilities=True)).severity == "serious"
    assert from_batch.softmax_before_the_loss(diagnosis(signals=forward())) is None


def test_a_given_loss_that_falls_below_the_floor_wants_probabilities():
    given = {"signals": forward(are_probabilities=True), "loss_name": "the loss that was given"}
    stuck = asked(overfit=(2.3, 1.6, 1.46))
    assert seen(from_batch.softmax_before_the_loss, **given, questions=stuck).severity == "warning"
    assert from_batch.softmax_before_the_loss(diagnosis(**given, questions=asked())) is None
    # where the library chose the loss there is no doubt
    assert seen(from_batch.softmax_before_the_loss, signals=given["signals"], questions=asked()).severity == "serious"


def test_the_floor_of_cross_entropy_on_probabilities():
    """The loss of a one-hot answer p taken for logits is ln(e + k − 1) − 1, at least 0.45 ln k for every k."""
    for classes in (2, 3, 10, 1000):
        sure = torch.eye(classes, dtype=torch.float64)[:1]
        floor = float(torch.nn.functional.cross_entropy(sure, torch.tensor([0])))
        assert floor == pytest.approx(log(e + classes - 1) - 1)
        assert floor >= from_batch.FLOOR_SHARE * log(classes)


@pytest.mark.parametrize(
    ("place", "severity"),
    [
        (norm(in_eval=True, tracked=0), "serious"),
        (norm(in_eval=True, ratio=5.0), "serious"),
        (norm(in_eval=True, shift=1.5), "serious"),
        (norm(in_eval=True), "warning"),
    ],
)
def test_a_norm_that_does_not_train_is_found(place, severity):
    assert seen(from_batch.norm_in_evaluation_mode, signals=forward(norms=(norm(), place))).severity == severity


def test_norms_that_train_are_let_be():
    assert from_batch.norm_in_evaluation_mode(diagnosis(signals=forward(norms=(norm(tracked=0),)))) is None


def test_saturated_activations_are_found_and_serious_where_they_are_most():
    bad, good = activation("bad", "tanh", saturated=0.6), activation("good", "tanh", saturated=0.1)
    rule = from_batch.saturated_activations
    found = seen(rule, signals=forward(activations=(good, bad, bad)))
    assert (found.severity, found.where, found.measured) == ("serious", "bad", 0.6)
    assert seen(rule, signals=forward(activations=(bad, good))).severity == "warning"
    assert rule(diagnosis(signals=forward(activations=(activation(saturated=0.49),)))) is None


@pytest.mark.parametrize(("sigmoids", "relus", "ratio"), [(3, 2, 0.5**10), (5, 0, 0.69**10)])
def test_a_stack_of_sigmoids_is_found(sigmoids, relus, ratio):
    places = (*[activation(op="relu")] * relus, *[activation("s", "sigmoid")] * sigmoids)
    found = seen(from_batch.sigmoid_activations, signals=forward(activations=places), gradients=flow(ratio))
    assert (found.severity, found.where) == ("serious", "s")


@pytest.mark.parametrize(("sigmoids", "relus", "ratio"), [(2, 0, 1e-9), (3, 3, 1e-9), (5, 0, 0.71**10)])
def test_gates_and_sigmoids_that_pass_the_gradient_are_let_be(sigmoids, relus, ratio):
    places = (*[activation(op="relu")] * relus, *[activation(op="sigmoid")] * sigmoids)
    given = diagnosis(signals=forward(activations=places), gradients=flow(ratio))
    assert from_batch.sigmoid_activations(given) is None


def test_one_dead_activation_is_enough():
    found = seen(from_batch.dead_units, signals=forward(activations=(activation(), activation("x", dead=0.95))))
    assert (found.severity, found.where, found.measured) == ("serious", "x", 0.95)
    assert from_batch.dead_units(diagnosis(signals=forward(activations=(activation(dead=0.9),)))) is None


def test_the_first_number_that_is_not_finite_is_named():
    found = seen(from_batch.numbers_not_finite, signals=forward(is_finite=False, first_bad="layers.3"))
    assert (found.severity, found.where) == ("serious", "layers.3")
    assert from_batch.numbers_not_finite(diagnosis(signals=forward())) is None


def test_inputs_that_are_no_numbers_are_not_called_large():
    given = forward(is_finite=False, first_bad="input", input_mean=float("nan"), input_deviation=float("nan"))
    assert from_batch.inputs_not_normalised(diagnosis(signals=given)) is None
    assert seen(from_batch.numbers_not_finite, signals=given).where == "input"


@pytest.mark.parametrize("place", [norm(shift=1.1), norm(ratio=4.1), norm(ratio=0.24), norm(ratio=0.0)])
def test_statistics_of_other_data_are_found(place):
    assert seen(from_batch.norm_statistics_off, signals=forward(norms=(norm(), place))).severity == "warning"


@pytest.mark.parametrize("place", [norm(shift=0.9), norm(ratio=3.9), norm(ratio=0.26), norm(5.0, 9.0, tracked=0)])
def test_statistics_that_fit_or_never_were_are_let_be(place):
    assert from_batch.norm_statistics_off(diagnosis(signals=forward(norms=(place,)))) is None


def test_statistics_of_a_few_batches_say_nothing():
    for tracked, found in ((29, False), (30, True), (None, True)):
        given = diagnosis(signals=forward(norms=(norm(ratio=10.0, tracked=tracked),)))
        assert (from_batch.norm_statistics_off(given) is not None) == found
