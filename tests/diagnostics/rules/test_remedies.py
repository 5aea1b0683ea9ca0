from dataclasses import replace
from math import nan

from residua.diagnostics.findings import Finding
from residua.diagnostics.rules import RULES
from residua.diagnostics.rules.remedies import _OF_LEARNING, with_measured_remedies
from residua.diagnostics.what_if import WhatIf


def finding(rule: str) -> Finding:
    return Finding(
        rule=rule,
        severity="serious",
        says="so it is",
        where="the whole network",
        measured=None,
        predicted=None,
        threshold="",
        remedy="do this.",
        evidence="batch",
        source="",
    )


def row(name: str, last_loss: float, ratio: float | None = 1.0) -> WhatIf:
    says = "" if name == "as it is" else "changed"
    return WhatIf(
        name=name,
        says=says,
        ratio=ratio,
        per_layer=1.0,
        first_loss=2.3,
        last_loss=last_loss,
        steps=40,
        seconds=1.0,
    )


def remedy(rule: str, *rows: WhatIf) -> str:
    (told,) = with_measured_remedies([finding(rule)], rows)
    return told.remedy


def test_a_finding_about_gradients_is_told_the_twins_ratio_and_what_learned_best():
    rows = (row("as it is", 2.3), row("residual twin", 1.5, 0.9), row("norm", 1.2))
    assert remedy("gradients vanish", *rows) == (
        "do this; measured: the residual twin’s ratio is 0.9, and norm (changed) reaches a loss of 1.20 in 40 steps, "
        "beside 2.30"
    )


def test_a_variant_that_is_hardly_better_is_none():
    said = "do this; measured: no variant’s loss is lower by a tenth after 40 steps"
    assert remedy("cannot learn one batch", row("as it is", 2.0), row("norm", 1.81)) == said
    assert "norm (changed)" in remedy("cannot learn one batch", row("as it is", 2.0), row("norm", 1.79))


def test_other_findings_and_a_network_without_variants_are_left_alone():
    assert remedy("softmax before the loss", row("as it is", 2.0), row("norm", 1.0)) == "do this."
    assert remedy("gradients vanish", row("as it is", 2.0)) == "do this."


def test_what_another_finding_explains_is_left_alone():
    symptom = replace(finding("gradients vanish"), explained_by="sigmoid activations")
    assert with_measured_remedies([symptom], [row("as it is", 2.0), row("norm", 1.0)]) == (symptom,)


def test_a_twin_without_gradients_is_not_quoted():
    assert "ratio" not in remedy("gradients vanish", row("as it is", 2.0), row("residual twin", 1.0, None))


def test_every_rule_that_is_named_is_one():
    assert set(_OF_LEARNING) <= {rule.name for rule in RULES}


def test_a_loss_that_is_no_number_is_worst_as_a_variant_and_bettered_by_any_as_it_is():
    assert "rate (changed) reaches a loss of 0.10" in remedy(
        "update too large", row("as it is", nan), row("norm", nan), row("rate", 0.1)
    )
    assert "rate (changed)" in remedy("update too large", row("as it is", 2.3), row("norm", nan), row("rate", 0.1))


def test_variants_that_have_learned_nothing_are_compared_with_the_network_drawn_anew():
    rows = (row("as it is", 0.2), row("drawn anew", 2.0), row("norm", 1.0), row("rate", 0.19))
    assert "norm (changed)" in remedy("cannot learn one batch", *rows)
