"""The rules that judge a diagnosis, and which finding explains which.

Causes come before their symptoms in `RULES`, and the gravest first among what does not explain each other.
"""

from dataclasses import replace

from residua.diagnostics.findings import Finding
from residua.diagnostics.result import Diagnosis
from residua.diagnostics.rules import from_batch, from_first_step, from_gradients, from_probe, from_run
from residua.diagnostics.rules.rule import Rule

RULES: tuple[Rule, ...] = (
    from_run.loss_is_no_number,
    from_run.does_not_fit,
    from_run.does_not_generalise,
    from_run.data_too_small_or_doubtful,
    from_gradients.gradient_not_additive,
    from_batch.inputs_not_normalised,
    from_batch.softmax_before_the_loss,
    from_batch.norm_in_evaluation_mode,
    from_first_step.blocks_that_never_wake,
    from_batch.dead_units,
    from_batch.saturated_activations,
    from_batch.sigmoid_activations,
    from_gradients.shortcuts_are_scaled,
    from_gradients.wrong_initialisation,
    from_gradients.deep_plain_network,
    from_batch.numbers_not_finite,
    from_gradients.gradients_vanish,
    from_gradients.gradients_explode,
    from_probe.update_too_large,
    from_first_step.weight_decay_too_strong,
    from_probe.first_loss_off,
    from_first_step.frozen_layers,
    from_probe.labels_say_nothing,
    from_probe.update_too_small,
    from_probe.cannot_learn_one_batch,
    from_probe.inputs_do_not_matter,
    from_batch.norm_statistics_off,
    from_first_step.blocks_start_at_zero,
    from_run.fine,
)
_STANDSTILL = ("labels say nothing", "update too small", "cannot learn one batch", "inputs do not matter")
_STEPS = ("update too large", "weight decay too strong", "first loss off", *_STANDSTILL)
_SCALE = ("numbers not finite", "gradients vanish", "gradients explode", *_STEPS)
_LAYERS = ("wrong initialisation", "deep plain network", *_SCALE)
EXPLAINS: dict[str, tuple[str, ...]] = {
    "inputs not normalised": ("dead units", "saturated activations", "norm statistics off", *_LAYERS),
    "softmax before the loss": ("gradients vanish", *_STEPS),
    "norm in evaluation mode": ("saturated activations", "norm statistics off", *_LAYERS),
    "blocks that never wake": _STANDSTILL,
    "dead units": _LAYERS,
    "saturated activations": _LAYERS,
    "sigmoid activations": _LAYERS,
    "shortcuts are scaled": _LAYERS,
    "wrong initialisation": ("deep plain network", *_SCALE),
    "deep plain network": _SCALE,
    "numbers not finite": ("gradients vanish", "gradients explode", *_STEPS),
    "gradients vanish": _STEPS,
    "gradients explode": _STEPS,
    "update too large": _STANDSTILL,
    "weight decay too strong": _STANDSTILL,
    "frozen layers": _STANDSTILL,
    "labels say nothing": ("inputs do not matter",),
    "update too small": ("cannot learn one batch", "inputs do not matter"),
    "cannot learn one batch": ("inputs do not matter",),
}
"""By a rule's name: what its fault brings about, so that it is the cause where both are found."""
_GRAVEST_FIRST = ("serious", "warning", "note")


def judge(diagnosis: Diagnosis) -> tuple[Finding, ...]:
    """Returns what the rules find, gravest first, each cause before what it explains.

    A cause is as grave as the gravest of its symptoms, so the first finding is what to mend first.
    """
    found = [finding for rule in RULES if (finding := rule(diagnosis)) is not None]
    told = [_with_cause(_as_grave_as_symptoms(one, found), found) for one in found]
    return tuple(sorted(told, key=lambda one: _GRAVEST_FIRST.index(one.severity)))


def _as_grave_as_symptoms(cause: Finding, found: list[Finding]) -> Finding:
    symptoms = (one.severity for one in found if one.rule in EXPLAINS.get(cause.rule, ()))
    return replace(cause, severity=min((cause.severity, *symptoms), key=_GRAVEST_FIRST.index))


def _with_cause(symptom: Finding, found: list[Finding]) -> Finding:
    cause = next((one.rule for one in found if symptom.rule in EXPLAINS.get(one.rule, ())), "")
    return replace(symptom, explained_by=cause)
