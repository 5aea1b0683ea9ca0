"""Row 3: how the stream's variance grows behind the blocks, and how much of it each branch still brings."""

from math import log

from residua.diagnostics.gradients import HEALTHY
from residua.studies import units
from residua.studies.claim import Claim, Term, Text
from residua.studies.dense import Dense
from residua.studies.design import Arm, Budget, FigureSpec, Study
from residua.studies.measures.signals import SIGNALS

_SOURCE = "De and Smith 2020, §3, with c = 1 − 1/π for their 1; docs/predictions.md"
_TENTH = Text("A tenth of the quantity.", "该量的十分之一。")


def arms(width: int) -> tuple[Arm, ...]:
    """Returns residual networks of 10 and 50 blocks with norm, and two of 50 without."""
    networks = {
        "norm-10": Dense(depth=10, width=width),
        "norm-50": Dense(depth=50, width=width),
        "no-norm-50": Dense(depth=50, width=width, norm=False),
        "scaled-50": Dense(depth=50, width=width, norm=False, scale=50**-0.5),
    }
    return tuple(Arm(name=name, network=one, group=name, x=float(one.depth)) for name, one in networks.items())


def as_predicted(quantity: str, says: Text) -> Claim:
    """Returns the claim that a quantity behind block 50 is theory's, to a tenth."""
    return Claim(
        name=f"{quantity}_as_predicted",
        says=says,
        source=_SOURCE,
        effect=(Term("norm-50", quantity), Term("norm-50", f"predicted_{quantity}", -1.0)),
        smallest=log(1.1),
        kind="within",
        transform="log",
        unit=units.NATS,
        why_smallest=_TENTH,
    )


CLAIMS = (
    as_predicted(
        "variance",
        Text(
            "Behind 50 blocks with norm the stream's variance is 1 + 50 c.",
            "经过 50 个带归一化的块，流的方差为 1 + 50c。",
        ),
    ),
    as_predicted(
        "share_of_variance",
        Text("The last branch brings c/(1 + 50 c) of it.", "最后一个分支贡献其中的 c/(1 + 50c)。"),
    ),
    as_predicted(
        "share_of_moment",
        Text("It brings 1/51 of the second moment.", "它贡献二阶矩的 1/51。"),
    ),
    Claim(
        name="later_matters_less",
        says=Text(
            "Block 50 brings less than half of what block 10 brings to its stream.",
            "第 50 块对流的贡献不到第 10 块的一半。",
        ),
        source="De and Smith 2020, §3: a residual block with norm is close to the identity, the closer the deeper",
        effect=(Term("norm-10", "share_of_variance"), Term("norm-50", "share_of_variance", -1.0)),
        smallest=log(2),
        transform="log",
        unit=units.NATS,
        published=Text("(1 + 50 c)/(1 + 10 c), 1.5 nats", "(1 + 50c)/(1 + 10c)，即 1.5 nats"),
        why_smallest=Text("A factor of two.", "两倍。"),
    ),
    Claim(
        name="explodes_without_norm",
        says=Text(
            "Without norm the stream's variance grows by more than 1,000 over 50 blocks.",
            "没有归一化时，流的方差在 50 个块上增长 1000 倍以上。",
        ),
        source="De and Smith 2020, §2; Zhang et al. 2019 (Fixup), §2",
        effect=(Term("no-norm-50", "variance"),),
        smallest=log(HEALTHY),
        transform="log",
        unit=units.NATS,
        published=Text("the second moment doubles at every block: 34.7 nats", "二阶矩每块翻倍：34.7 nats"),
        why_smallest=Text("A factor of 1,000 over the depth.", "整个深度上的 1000 倍。"),
    ),
    Claim(
        name="scaled_is_bounded",
        says=Text(
            "Branches times 1/√L keep the variance within a factor of e, without a norm.",
            "分支乘以 1/√L 时，无需归一化即可将方差保持在 e 倍之内。",
        ),
        source="De and Smith 2020, §4",
        effect=(Term("scaled-50", "variance"),),
        smallest=1.0,
        kind="within",
        transform="log",
        unit=units.NATS,
        published=Text("the second moment grows to (1 + 1/L)^L, which is below e", "二阶矩增长至 (1 + 1/L)^L，小于 e"),
        why_smallest=Text("A factor of e, whatever the depth.", "e 倍，与深度无关。"),
    ),
)
_ALL = tuple(one.name for one in CLAIMS)

STUDY = Study(
    name="signals",
    title=Text("Signal propagation", "信号传播"),
    question=Text(
        "How much of the stream does each branch still bring behind many blocks, and what keeps the stream in bounds?",
        "经过许多块之后，每个分支对流的贡献还有多少？又是什么使流保持有界？",
    ),
    fairness=Text(
        "Nothing is trained, so there is no learning rate. All arms have dense blocks of norm–ReLU–linear (without "
        "norm where the name says so), He's weights and the same 512 normal inputs at a seed.",
        "不涉及训练，因而没有学习率。所有实验臂均由归一化–ReLU–线性的全连接块组成（名称注明者无归一化），"
        "采用 He 初始化；同一种子下的 512 个正态输入相同。",
    ),
    claims=CLAIMS,
    measures=(SIGNALS,),
    budgets={
        "quick": Budget(arms=arms(128), seeds=5, minutes=0.3, decides=_ALL),
        "laptop": Budget(arms=arms(256), seeds=10, minutes=2.0, decides=_ALL),
    },
    figures=(
        FigureSpec(
            kind="course",
            title=Text("The stream's variance behind each block", "各块之后流的方差"),
            x=Text("block", "块"),
            y=Text("variance of a channel, mean over the channels", "通道方差（各通道平均）"),
            quantity="variance",
            prediction="predicted_variance",
            log_y=True,
        ),
        FigureSpec(
            kind="course",
            title=Text("What each branch brings", "各分支的贡献"),
            x=Text("block", "块"),
            y=Text("share of the variance", "方差占比"),
            quantity="share_of_variance",
            prediction="predicted_share_of_variance",
            log_y=True,
        ),
    ),
)
