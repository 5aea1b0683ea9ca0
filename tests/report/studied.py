"""Studies made of seeded numbers: one with every kind of verdict and figure, for the pages that draw them."""

import random
from dataclasses import replace
from math import cos, exp, hypot
from typing import Literal

import numpy as np

from residua.studies.choice_of_rate import Choice, Tried
from residua.studies.claim import Claim, Term, Text
from residua.studies.design import Arm, Budget, FigureSpec, Study
from residua.studies.judging import judge_all
from residua.studies.measures.landscape import as_series
from residua.studies.results import Results, TrialRow

ARMS = tuple(
    Arm(name=f"{kind}-{depth}", network=f"{kind}{depth}", group=kind, x=float(depth))
    for kind in ("plain", "residual")
    for depth in (20, 32, 44, 56)
)
_WHY = Text("A tenth of a nat is less than one more epoch changes.", "不到再训练一轮所带来的变化。")


def claim(name: str, en: str, zh: str, *, smallest: float = 0.1, **terms: float) -> Claim:
    return Claim(
        name=name,
        says=Text(en, zh),
        source="He et al. 2015, Fig. 6 and Table 6",
        effect=tuple(Term(arm.replace("_", "-"), "train_loss", weight) for arm, weight in terms.items()),
        smallest=smallest,
        unit=Text("nats", "nat"),
        published=Text("13 % against 9 % training error", "训练误差 13 % 对 9 %"),
        why_smallest=_WHY,
    )


CLAIMS = (
    claim("plain", "A deeper plain network trains worse.", "更深的普通网络训练得更差。", plain_56=1.0, plain_20=-1.0),
    claim(
        "residual",
        "A deeper residual network trains worse.",
        "更深的残差网络训练得更差。",
        residual_56=1.0,
        residual_20=-1.0,
    ),
    claim(
        "narrow",
        "At 44 layers the plain network is worse than at 32.",
        "44 层普通网络比 32 层更差。",
        smallest=0.32,
        plain_44=1.0,
        plain_32=-1.0,
    ),
    replace(
        claim(
            "same", "Two seeds of one depth train alike.", "同一深度的训练彼此相近。", residual_32=1.0, residual_44=-1.0
        ),
        kind="within",
        published=None,
    ),
    claim("far", "At 110 layers the residual network is better still.", "110 层残差网络更好。", residual_56=1.0),
)


def study() -> Study:
    budget = Budget(
        arms=ARMS,
        seeds=3,
        epochs=6,
        recipe="sgd",
        settings=("batch_size=64",),
        learning_rates=(0.03, 0.1),
        minutes=1.3,
        decides=("plain", "residual", "narrow", "same"),
    )
    return Study(
        name="degradation",
        title=Text("Degradation", "退化问题"),
        question=Text(
            "Does a plain network train worse when it is deeper, and does a residual one?",
            "普通网络加深后会训练得更差吗？残差网络呢？",
        ),
        fairness=Text(
            "Every arm has the same small grid of learning rates, decided on validation at a seed of its own.",
            "各组使用同一小网格的学习率，由单独种子的验证集决定。",
        ),
        claims=CLAIMS,
        measures=(),
        budgets={"quick": budget, "laptop": replace(budget, decides=("far",), minutes=50.0)},
        figures=(
            FigureSpec(
                kind="course",
                title=Text("Loss over the epochs", "损失随轮数的变化"),
                x=Text("epoch", "轮数"),
                y=Text("loss", "损失"),
                quantity="test_loss",
                second="train_loss",
                log_y=True,
            ),
            FigureSpec(
                kind="lines",
                title=Text("Training loss over depth", "训练损失与深度"),
                x=Text("depth", "深度"),
                y=Text("training loss", "训练损失"),
                quantity="test_loss",
                second="train_loss",
                prediction="theory",
            ),
            FigureSpec(
                kind="intervals",
                title=Text("Training loss at the end", "最终训练损失"),
                y=Text("loss", "损失"),
                quantity="train_loss",
                second="test_loss",
                prediction="theory",
                published={"plain-20": 0.2, "residual-56": 0.05},
            ),
            FigureSpec(
                kind="surface",
                title=Text("Loss surfaces", "损失曲面"),
                y=Text("loss", "损失"),
                quantity="surface",
            ),
        ),
        remarks=(Text("Six epochs on small images are no ImageNet.", "小图像上的六轮训练并不等于 ImageNet。"),),
    )


def results(*, seeds: int = 3) -> Results:
    made, random_ = study(), random.Random(0)
    numbers = {arm.name: {seed: _numbers(arm, random_) for seed in range(seeds)} for arm in ARMS}
    series = {arm.name: {seed: _series(arm, numbers[arm.name][seed], random_) for seed in range(seeds)} for arm in ARMS}
    not_converged = ("plain-56",)
    converged = {arm.name: arm.name not in not_converged for arm in ARMS}
    return Results(
        study=made,
        scale="quick",
        budget=made.budgets["quick"],
        seeds=(0, 1, 2),
        numbers=numbers,
        series=series,
        trials=tuple(_row(arm, seed, "finished" if seed < seeds else "open") for arm in ARMS for seed in range(3)),
        choices={arm.name: _choice() for arm in ARMS},
        verdicts=judge_all(made, "quick", numbers, converged=converged),
        not_converged=not_converged,
        machine="2 cores, torch 2.8",
        commit="0123abc",
    )


def _row(arm: Arm, seed: int, status: Literal["finished", "open"]) -> TrialRow:
    wrong = "no loss is a number <b>after</b> step 12" if (arm.name, seed) == ("plain-44", 2) else ""
    return TrialRow(
        arm=arm.name,
        seed=seed,
        status="failed" if wrong else status,
        learning_rate=0.1,
        epochs=6,
        recipe="sgd",
        precision="float32",
        seconds=float(arm.x or 0) if status == "finished" else 0.0,
        error=wrong,
    )


def _choice() -> Choice:
    tried = (Tried(learning_rate=rate, address="", loss=0.3 - rate, accuracy=0.9, seconds=5.0) for rate in (0.03, 0.1))
    return Choice(learning_rate=0.1, tried=tuple(tried))


def _numbers(arm: Arm, random_: random.Random) -> dict[str, float]:
    depth = (arm.x or 0) / 20
    base = 0.05 * depth**3.2 if arm.group == "plain" else 0.05 + 0.012 * depth
    loss = base * random_.uniform(0.75, 1.25)
    return {"train_loss": loss, "test_loss": 1.3 * loss + 0.05, "theory": base}


def _series(arm: Arm, numbers: dict[str, float], random_: random.Random) -> dict:
    def falling(end: float) -> tuple[tuple[float, float], ...]:
        return tuple((float(epoch), end + 2.3 * exp(-epoch) * random_.uniform(0.8, 1.2)) for epoch in range(1, 7))

    surface = {}
    if arm.x in (20, 56):
        axis = np.linspace(-1, 1, 15).tolist()
        rough = 1.5 if arm.group == "plain" else 0.1
        losses = [[0.05 + 3 * hypot(a, b) ** 2 + rough * (1 - cos(9 * a) * cos(9 * b)) for a in axis] for b in axis]
        surface = as_series("surface", axis, axis, losses)
    return {"train_loss": falling(numbers["train_loss"]), "test_loss": falling(numbers["test_loss"]), **surface}
