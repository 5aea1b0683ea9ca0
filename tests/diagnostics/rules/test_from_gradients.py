"""The rules of the gradient, at both sides of their thresholds."""

from dataclasses import replace
from math import inf

import pytest
from tests.diagnostics.rules.fabricated import deviations, diagnosis, flow, forward

from residua.diagnostics.additive import AdditiveBlock, AdditiveCheck
from residua.diagnostics.predictions import Prediction
from residua.diagnostics.rules import from_gradients


def test_a_vanishing_gradient_is_told_with_its_numbers():
    """The issue's sentence: factor a layer, layers, the number at the first place and its name."""
    found = from_gradients.gradients_vanish(diagnosis(gradients=flow(0.71**54, layers=54)))
    assert found is not None
    assert found.says == "gradients vanish: ×0.71 a layer over 54 layers, 9.3e-09 at layers.0"
    assert found.measured == pytest.approx(0.71**54)
    assert found.severity == "serious"


def test_the_prediction_stands_beside():
    predicted = Prediction(value=1500.0, quantity="ratio", source="a paper", conditions=())
    found = from_gradients.gradients_explode(diagnosis(gradients=flow(2000.0, prediction=predicted)))
    assert found is not None
    assert found.predicted == 1500.0
    assert "predicted for the ratio 1.5e+03, measured 2e+03" in found.says


@pytest.mark.parametrize(("ratio", "vanish", "explode"), [(0.9e-3, True, False), (1.1e3, False, True)])
def test_the_ratio_decides(ratio, vanish, explode):
    given = diagnosis(gradients=flow(ratio))
    assert (from_gradients.gradients_vanish(given) is not None) == vanish
    assert (from_gradients.gradients_explode(given) is not None) == explode


@pytest.mark.parametrize("ratio", [1.1e-3, 1.0, 0.9e3])
def test_a_ratio_within_a_thousand_is_let_be(ratio):
    given = diagnosis(gradients=flow(ratio), signals=forward())
    rules = (from_gradients.gradients_vanish, from_gradients.gradients_explode, from_gradients.wrong_initialisation)
    assert [rule(given) for rule in rules] == [None] * 3


def test_the_place_is_the_first_of_those_that_the_fit_is_over():
    made = flow(1e-6, scales=(1.0, 1.0, 1.0), along="additions")
    found = from_gradients.gradients_vanish(diagnosis(gradients=made, additions=3))
    assert found is not None
    assert found.where == "blocks.0"
    assert "shortcuts" not in found.remedy


@pytest.mark.parametrize(
    ("scales", "severity"),
    [((0.5,) * 2, "warning"), ((0.5,) * 4, "serious"), ((1.2,) * 3, "warning"), ((1.2,) * 13, "serious")],
)
def test_scales_multiply(scales, severity):
    """He et al. 2016, §3.1: what is left is the product."""
    found = from_gradients.shortcuts_are_scaled(diagnosis(gradients=flow(scales=scales)))
    assert found is not None
    assert found.severity == severity
    assert found.measured == pytest.approx(scales[0] ** len(scales))


@pytest.mark.parametrize("scales", [(), (0.5,), (1.0, 0.3, 1.0), (1.0,) * 50, (0.91, 1.09)])
def test_identities_and_a_projection_among_them_are_let_be(scales):
    assert from_gradients.shortcuts_are_scaled(diagnosis(gradients=flow(scales=scales))) is None


@pytest.mark.parametrize("factor", [0.6, 1.7])
def test_outputs_that_change_a_hundredfold_are_found(factor):
    """0.6^10 = 1/165 and 1.7^10 = 202; He's initialisation keeps the factor at 1."""
    found = from_gradients.wrong_initialisation(diagnosis(signals=forward(layer_deviations=deviations(factor))))
    assert found is not None
    assert found.measured == pytest.approx(factor)
    assert found.severity == "serious"


@pytest.mark.parametrize("factor", [0.64, 1.0, 1.58])
def test_outputs_that_keep_their_scale_are_let_be(factor):
    """0.64^10 = 1/87 and 1.58^10 = 97."""
    given = diagnosis(signals=forward(layer_deviations=deviations(factor)), gradients=flow())
    assert from_gradients.wrong_initialisation(given) is None


def test_gradients_show_what_biases_hide():
    """Biases keep the outputs' deviation up where weights are too small; the gradient passes weights alone."""
    found = from_gradients.wrong_initialisation(diagnosis(signals=forward(), gradients=flow(1e-4)))
    assert found is not None
    assert "gradients by ×0.4" in found.says


def test_a_norm_makes_the_scale_of_weights_no_matter():
    given = forward(layer_deviations=deviations(0.1), has_norms=True)
    assert from_gradients.wrong_initialisation(diagnosis(signals=given, gradients=flow(1e-9))) is None


def test_no_number_is_no_healthy_ratio():
    given = diagnosis(signals=forward(), gradients=flow(float("nan")))
    assert from_gradients.wrong_initialisation(given) is not None


@pytest.mark.parametrize(
    ("layers", "additions", "ratio", "severity"),
    [(20, 0, 31.0, "warning"), (40, 0, 1.1e3, "serious"), (40, 0, 1 / 31, "warning")],
)
def test_a_deep_plain_network_whose_gradient_changes_is_found(layers, additions, ratio, severity):
    given = diagnosis(layers=layers, additions=additions, gradients=flow(ratio, layers=layers))
    found = from_gradients.deep_plain_network(given)
    assert found is not None
    assert (found.severity, found.measured) == (severity, ratio)


@pytest.mark.parametrize(("layers", "additions", "ratio"), [(19, 0, 1e5), (40, 1, 1e5), (40, 0, 29.0)])
def test_shallow_residual_and_even_networks_are_let_be(layers, additions, ratio):
    given = diagnosis(layers=layers, additions=additions, gradients=flow(ratio, layers=layers))
    assert from_gradients.deep_plain_network(given) is None


def test_a_backward_that_is_wrong_is_found():
    good, bad = (
        AdditiveBlock(name=name, kind="identity", total=1.0, shortcut=1.0, branch=0.5, error=error, slope_error=slope)
        for name, error, slope in (("good", 1e-12, 1e-7), ("bad", 1e-12, 0.3))
    )
    check = AdditiveCheck(blocks=(good, bad), precision="float64", tolerance=1e-9, slope_tolerance=1e-4)
    found = from_gradients.gradient_not_additive(diagnosis(additive=check))
    assert found is not None
    assert (found.severity, found.where, found.measured) == ("serious", "bad", 0.3)
    passed = AdditiveCheck(blocks=(good,), precision="float64", tolerance=1e-9, slope_tolerance=1e-4)
    assert from_gradients.gradient_not_additive(diagnosis(additive=passed)) is None


def test_a_very_deep_network_whose_outputs_explode_is_judged_without_overflow():
    """×16 a layer over 300 of them: infinite from the 33rd on in float32, and 16^299 in any float."""
    outputs = tuple((f"layers.{i}", 16.0**i if i < 32 else inf) for i in range(300))
    given = diagnosis(signals=forward(layer_deviations=outputs))
    assert from_gradients.wrong_initialisation(given) is not None


def test_what_projects_or_changes_shape_is_no_scaled_shortcut():
    """A fresh residual network passes less than all through its projections, and that is as it should be."""
    given = flow(scales=(0.6, 0.6, 0.6))
    blocks = tuple(replace(one, shortcut_kind="projection") if one.shortcut else one for one in given.places)
    assert from_gradients.shortcuts_are_scaled(diagnosis(gradients=given)) is not None
    assert from_gradients.shortcuts_are_scaled(diagnosis(gradients=replace(given, places=blocks))) is None
    strided = tuple(replace(one, keeps_shape=False) if one.shortcut else one for one in given.places)
    assert from_gradients.shortcuts_are_scaled(diagnosis(gradients=replace(given, places=strided))) is None
