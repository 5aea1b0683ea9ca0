"""Row 15: without norm, Fixup and SkipInit should make a network's first steps the same at any depth.

Notation: L blocks, 3 in 8 layers, 9 in 20, 27 in 56.
"""

from math import log

from residua.studies import units
from residua.studies.claim import Claim, Term, Text
from residua.studies.design import Arm, Budget, FigureSpec, Study
from residua.studies.measures.first_change import FIRST_CHANGE
from residua.studies.measures.largest_rate import LARGEST_RATE

_GROUPS = {
    "fixup": ("network.norm=none", "network.initialization=fixup"),
    "skipinit": ("network.norm=none", "network.initialization=skipinit"),
    "he": ("network.norm=none", "network.initialization=he_fan_out"),
    "norm": (),
}
ARMS = tuple(
    Arm(name=f"{group}-{depth}", network=f"resnet{depth}", settings=settings, group=group, x=float(depth))
    for group, settings in _GROUPS.items()
    for depth in (8, 20, 56)
)
_SLOWER_THAN_ROOT = Text(
    "From 8 to 56 layers the blocks are nine times as many, and 3 is what √L would make of it: an effect of the depth "
    "that is weaker than √L does not limit how deep one can go.",
    "从 8 层到 56 层，块数增至九倍，按 √L 变化则为 3 倍：弱于 √L 的深度影响不会限制网络可达的深度。",
)
_FASTER_THAN_LINEAR = Text(
    "Nine times is what L blocks that each add a share of their own would make of it; more is compounding.",
    "若 L 个块各自贡献一份，则为九倍；超过九倍说明效应在块间逐层累乘。",
)


def independent(name: str, says: Text, *, group: str, quantity: str, source: str) -> Claim:
    """Returns the claim that a quantity changes by less than √L from 8 to 56 layers."""
    return Claim(
        name=name,
        says=says,
        source=source,
        effect=(Term(f"{group}-56", quantity), Term(f"{group}-8", quantity, -1.0)),
        smallest=log(3),
        kind="within",
        transform="log",
        unit=units.NATS,
        why_smallest=_SLOWER_THAN_ROOT,
    )


def compounding(name: str, says: Text, *, quantity: str, grows: float) -> Claim:
    """Returns the claim that with He's weights alone a quantity changes by more than L from 8 to 56 layers."""
    return Claim(
        name=name,
        says=says,
        source="Zhang et al. 2019 (Fixup), §2; De and Smith 2020, §2",
        effect=(Term("he-56", quantity, grows), Term("he-8", quantity, -grows)),
        smallest=log(9),
        transform="log",
        unit=units.NATS,
        why_smallest=_FASTER_THAN_LINEAR,
    )


CLAIMS = (
    independent(
        "fixup_change",
        Text(
            "With Fixup the first step changes the function by as much at 56 layers as at 8.",
            "采用 Fixup 时，第一步对函数的改变量在 56 层与 8 层相同。",
        ),
        group="fixup",
        quantity="first_change",
        source="Zhang et al. 2019 (Fixup), §3",
    ),
    independent(
        "skipinit_change",
        Text(
            "With SkipInit the first step changes the function by as much at 56 layers as at 8.",
            "采用 SkipInit 时，第一步对函数的改变量在 56 层与 8 层相同。",
        ),
        group="skipinit",
        quantity="first_change",
        source="De and Smith 2020, §2; claimed there of training, not of the first step",
    ),
    compounding(
        "he_change",
        Text(
            "With He's weights and no norm the change grows faster than the number of blocks.",
            "仅用 He 初始化且无归一化时，改变量的增长快于块数。",
        ),
        quantity="first_change",
        grows=1.0,
    ),
    independent(
        "fixup_rate",
        Text(
            "With Fixup the largest stable learning rate is the same at 56 layers as at 8.",
            "采用 Fixup 时，最大稳定学习率在 56 层与 8 层相同。",
        ),
        group="fixup",
        quantity="largest_rate",
        source="Zhang et al. 2019 (Fixup), abstract: as stable as with normalisation, at any depth",
    ),
    independent(
        "skipinit_rate",
        Text(
            "With SkipInit the largest stable learning rate is the same at 56 layers as at 8.",
            "采用 SkipInit 时，最大稳定学习率在 56 层与 8 层相同。",
        ),
        group="skipinit",
        quantity="largest_rate",
        source="De and Smith 2020, §2: trains deep residual networks without normalisation",
    ),
    compounding(
        "he_rate",
        Text(
            "With He's weights and no norm the largest stable rate falls faster than the number of blocks grows.",
            "仅用 He 初始化且无归一化时，最大稳定学习率的下降快于块数的增长。",
        ),
        quantity="largest_rate",
        grows=-1.0,
    ),
)
_ALL = tuple(one.name for one in CLAIMS)
_SMALL = ("network.stem.width=8", "network.widths=8,16,32")

STUDY = Study(
    name="fixup",
    title=Text("Depth without norm: Fixup and SkipInit", "无归一化的深度：Fixup 与 SkipInit"),
    question=Text(
        "Does the right start alone make a deep network without norm as easy to step as a shallow one?",
        "仅凭合适的初始化，能否使无归一化的深层网络与浅层网络一样易于迈出训练步？",
    ),
    fairness=Text(
        "No arm has a learning rate: the change is taken in the limit of small ones, and the largest stable one is "
        "measured, on the same grid for every arm. At a seed all arms see the same 64 images in every step, by "
        "gradient descent without momentum.",
        "各实验臂均不预设学习率：函数改变量取小学习率极限，而最大稳定学习率正是被测量的量，所有实验臂使用同一网格。"
        "同一种子下，所有实验臂每一步都使用相同的 64 幅图像，采用无动量的梯度下降。",
    ),
    claims=CLAIMS,
    measures=(FIRST_CHANGE, LARGEST_RATE),
    budgets={
        "quick": Budget(arms=ARMS, seeds=5, source="digits", settings=_SMALL, minutes=0.85, decides=_ALL),
        "laptop": Budget(arms=ARMS, seeds=5, source="cifar10", minutes=25.0, decides=_ALL),
    },
    figures=(
        FigureSpec(
            kind="lines",
            title=Text("What the first step changes", "第一步改变了多少"),
            x=Text("layers", "层数"),
            y=Text("change of the logits over the learning rate", "logit 改变量与学习率之比"),
            quantity="first_change",
            log_y=True,
        ),
        FigureSpec(
            kind="lines",
            title=Text("The largest stable learning rate", "最大稳定学习率"),
            x=Text("layers", "层数"),
            y=Text("learning rate", "学习率"),
            quantity="largest_rate",
            log_y=True,
        ),
    ),
    remarks=(
        Text(
            "With He's weights alone the loss of 56 layers starts so large that no rate learns the batch in ten steps; "
            "what is drawn and judged then is the grid's smallest, 1e-6, which is an upper bound.",
            "仅用 He 初始化时，56 层网络的初始损失极大，任何学习率都无法在十步内学会该批次；"
            "此时绘制与判定所用的是网格最小值 1e-6，即一个上界。",
        ),
        Text(
            "Fixup's head and last convolutions are zero, so that its first step moves the head alone, and what that "
            "changes does not know of the depth by construction; the largest stable rate is of ten steps, in which all "
            "layers move.",
            "Fixup 的输出层与各分支最后的卷积均为零，第一步只移动输出层，其改变量按构造即与深度无关；"
            "最大稳定学习率则取自十步，其间所有层都会移动。",
        ),
        Text(
            "Ten steps on one batch say what is stable, not what generalises.",
            "在一个批次上走十步只能说明是否稳定，不能说明泛化能力。",
        ),
    ),
)
