"""What may have gone wrong in a deep network: its gradients before the first step, and what it lost of its input."""

from dataclasses import replace
from math import log

from residua.diagnostics.gradients import gradient_flow
from residua.diagnostics.information import information_kept
from residua.studies.trial import Measure, Measurement, Trial

_BATCH = 128
_IMAGES = 768


def gradient_health(trial: Trial) -> Measurement:
    """Measures how far the gradient's norm changes over the depth before the first step.

    Numbers: ``gradient_growth``, ln(‖∂L/∂x₁‖ / ‖∂L/∂x_L‖), above 0 where it explodes towards the input and below where
    it vanishes (median of three batches of 128; He et al. 2015, §4.1 look at this); ``predicted_growth`` where theory
    says one.

    Raises:
        ValueError: If the trial does not know its beginning.
    """
    if trial.beginning is None:
        raise ValueError("gradient_health is of a network of which the beginning is known")
    case = replace(trial.case(3 * _BATCH), module=trial.beginning())
    flow = gradient_flow(case, size=_BATCH)
    numbers = {"gradient_growth": log(flow.ratio.median)}
    if flow.prediction is not None:
        numbers["predicted_growth"] = log(flow.prediction.value)
    return Measurement(numbers=numbers)


def kept_information(trial: Trial) -> Measurement:
    """Measures how much of the input, pooled to 8 × 8 pixels, a ridge regression reads out of each stage's end.

    Numbers: ``input_kept``, the held-out R² at the last place, which the head reads. Series: ``input_kept`` by stage, 0
    being the input itself.
    """
    found = information_kept(trial.case(_IMAGES), examples=_IMAGES)
    r2 = [one.r2 for one in found.places]
    return Measurement(
        numbers={"input_kept": r2[-1]},
        series={"input_kept": tuple((float(stage), one) for stage, one in enumerate(r2))},
    )


GRADIENT_HEALTH = Measure("gradient_health", gradient_health)
KEPT_INFORMATION = Measure("kept_information", kept_information)
