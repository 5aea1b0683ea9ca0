"""A diagnosis with every part filled, by numbers such as a network of 27 blocks might give; none was measured."""

from math import comb, exp, pi

from residua.diagnostics.additive import AdditiveBlock, AdditiveCheck
from residua.diagnostics.estimation import Estimation, StageEstimates
from residua.diagnostics.findings import Finding
from residua.diagnostics.first_step import FirstStep
from residua.diagnostics.gradients import GradientFlow, GradientPlace
from residua.diagnostics.information import Information, KeptAt
from residua.diagnostics.lesions import Lesion, Lesions
from residua.diagnostics.measured import Measured
from residua.diagnostics.paths import PathLengths
from residua.diagnostics.predictions import Prediction
from residua.diagnostics.questions import FirstUpdate, Questions
from residua.diagnostics.result import Diagnosis, RunFacts
from residua.diagnostics.shattering import Shattering
from residua.diagnostics.signals import ActivationPlace, NormPlace, Signals, StreamPlace

BLOCKS = 27
NAMES = tuple(f"stages.{stage}.{block}" for stage in range(3) for block in range(9))
CHANGES_SHAPE = (9, 18)
_C = 1 - 1 / pi


def findings() -> tuple[Finding, ...]:
    return (
        Finding(
            rule="gradients vanish",
            severity="serious",
            says="gradients vanish: ×0.71 a layer over 54 layers, 1.3e-8 at the stem",
            where="stem.convolution",
            measured=1.3e-8,
            predicted=0.12,
            threshold="a ratio between 0.01 and 100 over the whole depth",
            remedy="add shortcuts: `residua train --network resnet56` has the same layers with them",
            evidence="batch",
            source="He et al. 2015, §4.1",
        ),
        Finding(
            rule="units are dead",
            severity="warning",
            says="38 % of the units behind <stages.2.4.residual.activation> are zero for all 64 examples",
            where="stages.2.4.residual.activation",
            measured=0.38,
            predicted=0.0,
            threshold="under a fifth of the units of any activation",
            remedy="lower the learning rate, or start from `--set network.initialization=he`",
            evidence="batch",
            source="He et al. 2015b, §2.2",
        ),
        Finding(
            rule="fits its training data",
            severity="note",
            says="one small batch is learned to a loss of 0.004 in 40 steps: nothing is cut",
            where="the whole network",
            measured=0.004,
            predicted=None,
            threshold="below a tenth of the first loss",
            remedy="nothing to do",
            evidence="probe",
            source="docs/diagnose.md",
        ),
    )


def gradients() -> GradientFlow:
    def spread(value: float) -> Measured:
        return Measured((0.8 * value, value, 1.3 * value))

    def layer(depth: int) -> GradientPlace:
        norm = 2e-3 * 1.09 ** (54 - depth)
        return GradientPlace(
            name=f"layer{depth}",
            kind="layer",
            layers_before=depth,
            stream=spread(norm),
            weights=spread(0.01 * exp(-depth / 40)),
        )

    def addition(number: int) -> GradientPlace:
        norm = 4e-3 * 1.09 ** (2 * (BLOCKS - number))
        return GradientPlace(
            name=NAMES[number],
            kind="addition",
            layers_before=2 * number + 3,
            stream=spread(norm),
            source=spread(1.15 * norm),
            branch=spread(0.35 * norm),
            shortcut=spread(norm),
        )

    return GradientFlow(
        places=(*(layer(depth) for depth in range(1, 56)), *(addition(number) for number in range(BLOCKS))),
        along="additions",
        per_layer=1.087,
        per_layer_interval=(1.081, 1.094),
        layers=54,
        ratio=spread(92.4),
        prediction=Prediction(
            value=84.0,
            quantity="‖∂L/∂x₀‖ / ‖∂L/∂x_L‖",
            source="docs/predictions.md, Eq. 3",
            conditions=("identity shortcuts", "batch norm", "He initialisation"),
        ),
        no_prediction="",
        as_theory=True,
        is_healthy=False,
        examples=64,
    )


def signals() -> Signals:
    def place(number: int) -> StreamPlace:
        variance = 1 + 0.97 * _C * (number % 9 + 1)
        return StreamPlace(
            name=NAMES[number],
            squared_mean=0.2 * variance,
            variance=variance,
            share_of_moment=1 / (number % 9 + 2),
            share_of_variance=0.97 * _C / variance,
            predicted_variance=1 + _C * (number % 9 + 1),
            predicted_share=_C / (1 + _C * (number % 9 + 1)),
        )

    return Signals(
        input_mean=0.01,
        input_deviation=1.0,
        output_deviation=1.9,
        is_finite=True,
        first_bad=None,
        are_probabilities=False,
        stream=tuple(map(place, range(BLOCKS))),
        activations=tuple(
            ActivationPlace(
                name=f"{name}.activation", op="relu", units=64, dead=0.38 if i == 22 else 0.02, saturated=0.0
            )
            for i, name in enumerate(NAMES)
        ),
        norms=tuple(
            NormPlace(name=f"{name}.norm1", mean_shift=0.1, variance_ratio=1.1, tracked=420, in_eval=False)
            for name in NAMES
        ),
        layer_deviations=tuple((f"{name}.conv1", 1.4 - i / 40) for i, name in enumerate(NAMES)),
        has_norms=True,
    )


def lesions() -> Lesions:
    def one(number: int) -> Lesion:
        changes = number in CHANGES_SHAPE
        error = 0.7 if changes else 0.06 + 0.2 * exp(-(number % 9) / 2)
        return Lesion(names=(NAMES[number],), error=error, recalibrated=0.6 * error, changes_shape=changes)

    return Lesions(
        quantity="error",
        whole=0.051,
        chance=0.898,
        single=tuple(map(one, range(BLOCKS))),
        several=tuple(
            Lesion(names=NAMES[:k], error=min(0.9, 0.05 * k + 0.01 * draw), recalibrated=None)
            for k in (1, 2, 4, 8)
            for draw in range(5)
        ),
        swapped=tuple(
            Lesion(names=NAMES[: 2 * k], error=min(0.9, 0.03 * k + 0.008 * draw), recalibrated=None)
            for k in (1, 2, 4)
            for draw in range(5)
        ),
        examples=512,
        held_out=True,
    )


def paths() -> PathLengths:
    lengths = tuple(range(BLOCKS + 1))
    norms = tuple(0.3 * 0.42**length for length in lengths)
    weighed = [comb(BLOCKS, length) * norm for length, norm in zip(lengths, norms, strict=True)]
    shares = tuple(one / sum(weighed) for one in weighed)
    mean = sum(length * share for length, share in zip(lengths, shares, strict=True))
    return PathLengths(
        blocks=BLOCKS, lengths=lengths, norms=norms, shares=shares, mean_length=mean, binomial_mean=BLOCKS / 2
    )


def diagnosis() -> Diagnosis:
    lags = tuple(range(1, 16))
    steps = range(40)
    return Diagnosis(
        name="digits-resnet56-1",
        loss_name="cross-entropy of the logits",
        parameters=855_770,
        layers=56,
        additions=BLOCKS,
        examples=1024,
        remarks=("The run is failed: its network is that of its newest checkpoint, after step 1,200.",),
        gradients=gradients(),
        additive=AdditiveCheck(
            blocks=tuple(
                AdditiveBlock(
                    name=name, kind="identity", total=0.4, shortcut=0.38, branch=0.1, error=3e-16, slope_error=2e-9
                )
                for name in NAMES
            ),
            precision="float64",
            tolerance=1e-9,
            slope_tolerance=1e-3,
        ),
        signals=signals(),
        shattering=Shattering(
            lags=lags,
            autocorrelation=tuple(0.9 * exp(-lag / 5) for lag in lags),
            white=tuple(0.02 * (-1) ** lag for lag in lags),
            brown=tuple(1 - lag / 40 for lag in lags),
            points=256,
        ),
        paths=paths(),
        estimation=Estimation(
            stages=tuple(
                StageEstimates(
                    names=NAMES[9 * stage : 9 * stage + 9],
                    cosines=tuple(1 - 0.4 * (8 - block) / 8 for block in range(9)),
                    rises=stage != 1,
                )
                for stage in range(3)
            )
        ),
        information=Information(
            places=tuple(
                KeptAt(name=name, r2=r2)
                for name, r2 in (
                    ("input", 1.0),
                    ("stem", 0.98),
                    ("stages.0", 0.93),
                    ("stages.1", 0.6),
                    ("stages.2", 0.2),
                )
            ),
            examples=768,
        ),
        lesions=lesions(),
        questions=Questions(
            first_loss=2.41,
            expected_first_loss=2.303,
            overfit=tuple(2.4 * exp(-step / 6) for step in steps),
            overfit_examples=64,
            learned=tuple(0.5 + 1.8 * exp(-step / 10) for step in steps),
            blanked=tuple(2.3 for _ in steps),
            permuted=tuple(2.2 + 0.1 * exp(-step / 10) for step in steps),
            updates=tuple(
                FirstUpdate(name=f"{name}.conv1.weight", ratio=1e-3 * 1.05**i) for i, name in enumerate(NAMES)
            ),
            optimizer="SGD, as given",
            steps=40,
        ),
        first_step=FirstStep(
            frozen=("stem.convolution",), learning=NAMES, asleep=(), waking=NAMES[3:4], decay_share=0.02
        ),
        run=RunFacts(
            train_losses=(2.1, 1.2, 0.8),
            train_accuracies=(0.3, 0.6, 0.8),
            validation_losses=(2.0, 1.3, None),
            validation_accuracies=(0.35, 0.58, None),
            baseline=0.42,
            label_smoothing=0.1,
            training_examples=1258,
            finished=False,
        ),
        findings=findings(),
    )
