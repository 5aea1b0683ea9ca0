"""Diagnoses made by hand: a healthy one of ten layers, and parts of it that differ."""

from dataclasses import replace
from math import log
from typing import Any

from residua.diagnostics.first_step import FirstStep
from residua.diagnostics.gradients import GradientFlow, GradientPlace
from residua.diagnostics.measured import Measured
from residua.diagnostics.questions import FirstUpdate, Questions
from residua.diagnostics.result import Diagnosis, RunFacts
from residua.diagnostics.signals import ActivationPlace, NormPlace, Signals


def flow(ratio: float = 1.0, *, layers: int = 10, scales: tuple[float, ...] = (), **changes: Any) -> GradientFlow:
    """Returns a gradient that changes evenly by ``ratio`` over the layers, with blocks whose shortcuts scale it."""
    per_layer = ratio ** (1 / layers)
    places = [layer(f"layers.{i}", i + 1, per_layer ** (layers - i)) for i in range(layers + 1)]
    blocks = [
        replace(layer(f"blocks.{i}", i + 1, 1.0), kind="addition", shortcut=Measured((one,)))
        for i, one in enumerate(scales)
    ]
    made = GradientFlow(
        places=(*places, *blocks),
        along="layers",
        per_layer=per_layer,
        per_layer_interval=(per_layer, per_layer),
        layers=layers,
        ratio=Measured((ratio,)),
        prediction=None,
        no_prediction="made by hand",
        as_theory=None,
        is_healthy=True,
        examples=64,
    )
    return replace(made, **changes)


def layer(name: str, depth: int, norm: float) -> GradientPlace:
    return GradientPlace(name=name, kind="layer", layers_before=depth, stream=Measured((norm,)))


def activation(name: str = "layers.1", op: str = "relu", *, dead: float = 0.0, saturated: float = 0.0):
    return ActivationPlace(name=name, op=op, units=32, dead=dead, saturated=saturated)


def norm(shift: float = 0.0, ratio: float = 1.0, *, tracked: int | None = 100, in_eval: bool = False) -> NormPlace:
    return NormPlace(name="norm", mean_shift=shift, variance_ratio=ratio, tracked=tracked, in_eval=in_eval)


def forward(**changes: Any) -> Signals:
    made = Signals(
        input_mean=0.0,
        input_deviation=1.0,
        output_deviation=1.0,
        is_finite=True,
        first_bad=None,
        are_probabilities=False,
        stream=(),
        activations=(activation(),),
        norms=(),
        layer_deviations=deviations(1.0),
    )
    return replace(made, **changes)


def deviations(factor: float, layers: int = 11) -> tuple[tuple[str, float], ...]:
    return tuple((f"layers.{i}", factor**i) for i in range(layers))


def asked(**changes: Any) -> Questions:
    made = Questions(
        first_loss=2.4,
        expected_first_loss=log(10),
        overfit=(2.4, 1.0, 0.1),
        overfit_examples=32,
        learned=(2.4, 1.0),
        blanked=(2.4, 2.3),
        permuted=(2.4, 2.35),
        updates=updates(1e-3),
        optimizer="SGD, as given",
        steps=40,
    )
    return replace(made, **changes)


def updates(*ratios: float) -> tuple[FirstUpdate, ...]:
    return tuple(FirstUpdate(name=f"{i}.weight", ratio=one) for i, one in enumerate(ratios))


def step(**changes: Any) -> FirstStep:
    made = FirstStep(frozen=(), learning=("layers.0", "layers.1"), asleep=(), waking=(), decay_share=0.01)
    return replace(made, **changes)


def trained(**changes: Any) -> RunFacts:
    made = RunFacts(
        train_losses=(1.0, 0.2, 0.05),
        train_accuracies=(0.7, 0.95, 0.99),
        validation_losses=(1.1, 0.3, 0.15),
        validation_accuracies=(0.68, 0.93, 0.96),
        baseline=0.5,
        label_smoothing=0.0,
        training_examples=1000,
        finished=True,
    )
    return replace(made, **changes)


def diagnosis(**parts: Any) -> Diagnosis:
    """Returns a diagnosis that holds the given parts alone."""
    about: dict[str, Any] = {
        "name": "network",
        "loss_name": "cross-entropy of the logits",
        "parameters": 1000,
        "layers": 11,
        "additions": 0,
        "examples": 640,
        "remarks": (),
    }
    return Diagnosis(**(about | parts))


def healthy() -> Diagnosis:
    return diagnosis(gradients=flow(), signals=forward(), questions=asked(), first_step=step(), run=trained())
