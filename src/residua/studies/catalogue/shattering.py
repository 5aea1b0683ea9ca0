"""Row 5: gradients of deep plain networks by neighbouring inputs resemble white noise; residual ones do not."""

from residua.studies import units
from residua.studies.claim import Claim, Term, Text
from residua.studies.dense import Dense
from residua.studies.design import Arm, Budget, FigureSpec, Study
from residua.studies.measures.shattering import SHATTERING

_SOURCE = "Balduzzi et al. 2017, The Shattered Gradients Problem, §2 and Fig. 1"
_FIFTH = Text("A fifth of the way from noise to equal gradients.", "从噪声到完全相同的梯度之间的五分之一。")
_TENTH = Text("A tenth of the way from noise to equal gradients.", "从噪声到完全相同的梯度之间的十分之一。")


def arms(width: int) -> tuple[Arm, ...]:
    """Returns plain and residual networks by depth, and a deep plain one without norm."""
    made = [
        Arm(
            name=f"{group}-{depth}",
            network=Dense(depth=depth, width=width, shortcuts=group == "residual"),
            group=group,
            x=float(depth),
        )
        for group in ("plain", "residual")
        for depth in (2, 24, 50)
    ]
    bare = Dense(depth=24, width=width, norm=False, shortcuts=False)
    return (*made, Arm(name="plain-24-no-norm", network=bare, group="plain without norm", x=24.0))


def lag(arm: str, weight: float = 1.0) -> Term:
    """Returns the correlation of neighbouring inputs' gradients as a term."""
    return Term(arm, "lag_1", weight)


CLAIMS = (
    Claim(
        name="plain_shatters",
        says=Text(
            "Gradients by neighbouring inputs are less alike in 24 plain layers than in 2.",
            "相邻输入处的梯度，在 24 层普通网络中比在 2 层中更不相似。",
        ),
        source=_SOURCE,
        effect=(lag("plain-2"), lag("plain-24", -1.0)),
        smallest=0.2,
        unit=units.CORRELATION,
        why_smallest=_FIFTH,
    ),
    Claim(
        name="deep_plain_is_white",
        says=Text("Those of 50 plain layers resemble white noise.", "50 层普通网络的梯度近似白噪声。"),
        source=_SOURCE,
        effect=(lag("plain-50"), Term("plain-50", "white_1", -1.0)),
        smallest=0.1,
        kind="within",
        unit=units.CORRELATION,
        why_smallest=_TENTH,
    ),
    Claim(
        name="residual_does_not",
        says=Text(
            "Those of 24 residual blocks are more alike than those of 24 plain layers.",
            "24 个残差块的梯度比 24 层普通网络的更相似。",
        ),
        source=_SOURCE,
        effect=(lag("residual-24"), lag("plain-24", -1.0)),
        smallest=0.2,
        unit=units.CORRELATION,
        why_smallest=_FIFTH,
    ),
    Claim(
        name="residual_is_brown",
        says=Text("Those of 50 residual blocks resemble brown noise.", "50 个残差块的梯度近似布朗噪声。"),
        source=_SOURCE,
        effect=(lag("residual-50"), Term("residual-50", "brown_1", -1.0)),
        smallest=0.1,
        kind="within",
        unit=units.CORRELATION,
        why_smallest=_TENTH,
    ),
    Claim(
        name="shatters_without_norm",
        says=Text(
            "24 plain layers without norm shatter their gradients, too.", "没有归一化的 24 层普通网络，其梯度同样破碎。"
        ),
        source="Balduzzi et al. 2017, Theorem 1: 2^−L between unrelated inputs, which is another distance",
        effect=(lag("plain-2"), lag("plain-24-no-norm", -1.0)),
        smallest=0.2,
        unit=units.CORRELATION,
        why_smallest=_FIFTH,
    ),
)
_ALL = tuple(one.name for one in CLAIMS)

STUDY = Study(
    name="shattering",
    title=Text("Shattered gradients", "梯度破碎"),
    question=Text(
        "Does the gradient still say the same of neighbouring inputs when a network is deep?",
        "网络很深时，梯度对相邻输入的指示是否仍然一致？",
    ),
    fairness=Text(
        "Nothing is trained, so there is no learning rate. All arms have dense units of norm–ReLU–linear, He's "
        "weights, and the same line of 256 inputs at a seed; norms keep the statistics of 64 other inputs, so "
        "that each input's gradient is its own.",
        "不涉及训练，因而没有学习率。所有实验臂均由归一化–ReLU–线性单元组成，采用 He 初始化，"
        "同一种子下使用同一条含 256 个输入的线段；归一化固定使用另外 64 个输入的统计量，使每个输入的梯度只属于自身。",
    ),
    claims=CLAIMS,
    measures=(SHATTERING,),
    budgets={
        "quick": Budget(arms=arms(128), seeds=5, minutes=0.3, decides=_ALL),
        "laptop": Budget(arms=arms(256), seeds=10, minutes=2.0, decides=_ALL),
    },
    figures=(
        FigureSpec(
            kind="course",
            title=Text("How alike the gradients of neighbouring inputs are", "相邻输入处梯度的相似程度"),
            x=Text("lag, in 255ths of the line", "间隔（线段的 1/255）"),
            y=Text("autocorrelation (white noise dashed)", "自相关（虚线为白噪声）"),
            quantity="autocorrelation",
            second="white",
            prediction="brown",
        ),
        FigureSpec(
            kind="lines",
            title=Text("By depth, between neighbours", "相邻输入，按深度"),
            x=Text("units", "单元数"),
            y=Text("correlation at lag 1", "间隔 1 的相关"),
            quantity="lag_1",
        ),
    ),
    remarks=(
        Text(
            "The line has 256 inputs between two unrelated ones: on a finer line every network looks smoother. White "
            "and brown noise are yardsticks, and no prediction.",
            "线段在两个无关输入之间取 256 点：线段越细，任何网络都显得越平滑。白噪声与布朗噪声仅作参照，并非预测。",
        ),
    ),
)
