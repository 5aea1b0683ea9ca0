"""A study that trains in about a second a trial, and measures that need no more than its run."""

from dataclasses import replace
from typing import Any

from residua.networks.spec import NetworkSpec, small_stem
from residua.studies.claim import Claim, Term, Text
from residua.studies.design import Arm, Budget, Study
from residua.studies.trial import Measure, Measurement, Trial

WORD = Text("word", "词")
NETWORK = NetworkSpec(stem=small_stem(4), blocks=(1,), widths=(4,))
PLAIN = replace(NETWORK, shortcut="none")
SETTINGS = ("batch_size=512", "choose=last", "precision=float32", "label_smoothing=0", "optimizer.learning_rate=0.05")


def last_loss(trial: Trial) -> Measurement:
    """Gives the last epoch's training loss, and all of them."""
    assert trial.run is not None
    rows = trial.run.epochs()
    return Measurement(
        numbers={"train_loss": rows[-1]["train_loss"]},
        series={"train_loss": tuple((float(row["epoch"]), row["train_loss"]) for row in rows)},
    )


LAST_LOSS = Measure("last_loss", last_loss, diverged={"train_loss": float("inf")})


def claim(name: str = "lower", arms: tuple[str, str] = ("plain", "residual")) -> Claim:
    return Claim(
        name=name,
        says=WORD,
        source="a test",
        effect=(Term(arms[0], "train_loss"), Term(arms[1], "train_loss", -1.0)),
        smallest=0.0,
        why_smallest=WORD,
    )


def budget(**values: Any) -> Budget:
    default = Budget(
        arms=(Arm(name="plain", network=PLAIN), Arm(name="residual", network=NETWORK)),
        seeds=2,
        epochs=1,
        settings=SETTINGS,
        minutes=0.1,
        decides=("lower",),
    )
    return replace(default, **values)


def study(quick: Budget | None = None, **values: Any) -> Study:
    default = Study(
        name="tiny",
        title=WORD,
        question=WORD,
        fairness=WORD,
        claims=(claim(),),
        measures=(LAST_LOSS,),
        budgets={"quick": quick or budget()},
        figures=(),
    )
    return replace(default, **values)
