"""Judging: the gravest first, and a cause before what it explains."""

from dataclasses import replace

import pytest
from tests.diagnostics.rules.fabricated import (
    activation,
    asked,
    deviations,
    diagnosis,
    flow,
    forward,
    healthy,
    step,
    trained,
)

from residua.diagnostics.rules import EXPLAINS, RULES, judge

NAMES = [rule.name for rule in RULES]
SEVERITIES = ("serious", "warning", "note")


def test_a_healthy_network_gives_its_run_a_note_and_nothing_else():
    assert [(one.rule, one.severity) for one in judge(healthy())] == [("fine", "note")]


def test_what_was_not_measured_gives_no_finding():
    assert judge(diagnosis()) == ()


@pytest.mark.parametrize("part", ["gradients", "signals", "questions", "first_step", "run"])
def test_each_part_may_be_missing(part):
    judge(replace(_everything_wrong(), **{part: None}))


def test_names_are_unique_and_the_table_knows_them():
    assert len(set(NAMES)) == len(NAMES)
    assert {*EXPLAINS, *(one for some in EXPLAINS.values() for one in some)} <= set(NAMES)


def test_causes_come_before_their_symptoms():
    """The order of the rules and the table agree, so that nothing explains its own cause."""
    for cause, symptoms in EXPLAINS.items():
        assert all(NAMES.index(cause) < NAMES.index(one) for one in symptoms), cause


def test_a_cause_explains_what_its_symptoms_explain():
    for cause, symptoms in EXPLAINS.items():
        further = {one for symptom in symptoms for one in EXPLAINS.get(symptom, ())}
        assert further <= set(symptoms), cause


def test_the_gravest_come_first():
    ranks = [SEVERITIES.index(one.severity) for one in judge(_everything_wrong())]
    assert len(ranks) > 8
    assert ranks == sorted(ranks)


def test_saturated_sigmoids_are_named_before_the_gradient_that_they_make_vanish():
    places = (activation("a", "sigmoid", saturated=0.9),) * 4
    given = diagnosis(signals=forward(activations=places), gradients=flow(1e-9), questions=asked(overfit=(2.3,) * 40))
    found = judge(given)
    assert found[0].rule == "saturated activations"
    assert {one.rule: one.explained_by for one in found} == {
        "saturated activations": "",
        "sigmoid activations": "",
        "wrong initialisation": "saturated activations",
        "gradients vanish": "saturated activations",
        "cannot learn one batch": "saturated activations",
    }


def test_a_cause_is_as_grave_as_its_symptoms():
    """A frozen layer alone is a warning; where the network cannot learn, it is serious and comes first."""
    alone = diagnosis(first_step=step(frozen=("stem",)), questions=asked())
    stuck = diagnosis(first_step=step(frozen=("stem",)), questions=asked(overfit=(2.3,) * 40))
    assert [(one.rule, one.severity) for one in judge(alone)] == [("frozen layers", "warning")]
    assert [(one.rule, one.severity) for one in judge(stuck)] == [
        ("frozen layers", "serious"),
        ("cannot learn one batch", "serious"),
    ]


def test_a_finding_tells_its_rule_and_its_threshold():
    found = judge(diagnosis(gradients=flow(1e-9)))[0]
    rule = next(one for one in RULES if one.name == found.rule)
    assert found.says.startswith("gradients vanish: ")
    assert (found.threshold, found.source, found.evidence) == (rule.asks, rule.source, rule.evidence)


@pytest.mark.parametrize("rule", RULES, ids=NAMES)
def test_every_rule_says_what_it_asks_for_and_why(rule):
    assert rule.asks
    assert rule.source
    assert rule.look.__doc__


def _everything_wrong():
    return diagnosis(
        gradients=flow(1e-9, layers=30, scales=(0.5,) * 9),
        signals=forward(
            input_deviation=70.0,
            is_finite=False,
            first_bad="x",
            are_probabilities=True,
            activations=(activation("a", "tanh", saturated=0.9), activation("b", dead=1.0)),
            layer_deviations=deviations(0.1),
        ),
        questions=asked(first_loss=50.0, overfit=(2.3,) * 40, learned=(2.3, 2.3), updates=asked().updates),
        first_step=step(frozen=("stem",), asleep=("b",), waking=("c",), decay_share=0.9),
        run=trained(train_accuracies=(0.1, 0.1, 0.1), training_examples=10),
        layers=30,
    )
