"""Row 4: a block's gradient is its shortcut's plus its branch's, and only identities pass the direct term whole."""

from math import log

from residua.networks.spec import NetworkSpec, Order, small_stem
from residua.studies import units
from residua.studies.claim import Claim, Term, Text
from residua.studies.design import Arm, Budget, FigureSpec, Study
from residua.studies.measures.additive import ADDITIVE

BLOCKS = 6


def network(order: Order, *, scale: float = 1.0) -> NetworkSpec:
    """Returns one stage of six blocks of equal shape, so that every shortcut is the identity, or that times a scale."""
    return NetworkSpec(
        stem=small_stem(8),
        blocks=(BLOCKS,),
        widths=(8,),
        order=order,
        shortcut="projection" if scale == 1 else "scaled",
        shortcut_scale=scale,
        norm_on_projection=False,
        in_channels=1,
        classes=10,
    )


ARMS = (
    Arm(name="original", network=network("original"), group="identity"),
    Arm(name="preactivation", network=network("full_preactivation"), group="identity"),
    Arm(name="scaled-0.9", network=network("full_preactivation", scale=0.9), group="scaled"),
    Arm(name="scaled-0.5", network=network("full_preactivation", scale=0.5), group="scaled"),
)


def adds_up(arm: str, says: Text) -> Claim:
    """Returns the claim that the two terms sum to the gradient."""
    return Claim(
        name=f"{arm}_adds_up",
        says=says,
        source="He et al. 2016, Eq. 5; the notes S1 and S4",
        effect=(Term(arm, "error"),),
        smallest=1e-9,
        kind="within",
        unit=Text("of the gradient's norm", "梯度范数"),
        published=Text("an identity: 0", "恒等式：0"),
        why_smallest=Text("Rounding in float64, some hundred times over.", "float64 舍入误差，并留出数百倍余量。"),
    )


def passes(name: str, arm: str, says: Text, *, source: str) -> Claim:
    """Returns the claim that all shortcuts together leave the product of their scales of the gradient."""
    return Claim(
        name=name,
        says=says,
        source=source,
        effect=(Term(arm, "direct"), Term(arm, "predicted_direct", -1.0)),
        smallest=1e-5,
        kind="within",
        transform="log",
        unit=units.NATS,
        why_smallest=Text("Rounding in float32.", "float32 的舍入误差。"),
    )


CLAIMS = (
    adds_up(
        "original",
        Text(
            "In the original order the gradient by a block's input is the shortcut's plus the branch's.",
            "在原始顺序中，块输入处的梯度等于捷径项与分支项之和。",
        ),
    ),
    adds_up(
        "preactivation",
        Text(
            "In full pre-activation the gradient by a block's input is the shortcut's plus the branch's.",
            "在完全预激活顺序中，块输入处的梯度等于捷径项与分支项之和。",
        ),
    ),
    passes(
        "identities_pass",
        "preactivation",
        Text(
            "Six identity shortcuts pass the gradient whole: no depth shrinks the direct term.",
            "六个恒等捷径完整传递梯度：直接项不随深度缩小。",
        ),
        source="He et al. 2016, Eq. 5",
    ),
    passes(
        "halves_multiply",
        "scaled-0.5",
        Text(
            "Shortcuts times 0.5 leave 0.5^6 of the direct term.",
            "捷径乘以 0.5 时，直接项只剩 0.5^6。",
        ),
        source="He et al. 2016, Eq. 8",
    ),
    passes(
        "tenths_multiply",
        "scaled-0.9",
        Text("Shortcuts times 0.9 leave 0.9^6 of it.", "捷径乘以 0.9 时，直接项只剩 0.9^6。"),
        source="He et al. 2016, Eq. 8",
    ),
    Claim(
        name="scaling_loses",
        says=Text(
            "Six shortcuts times 0.5 lose more than nine tenths of the direct term.",
            "六个乘以 0.5 的捷径损失直接项的九成以上。",
        ),
        source="He et al. 2016, §3.1",
        effect=(Term("preactivation", "direct"), Term("scaled-0.5", "direct", -1.0)),
        smallest=log(10),
        transform="log",
        unit=units.NATS,
        published=Text("6 ln 2 = 4.16 nats", "6 ln 2 = 4.16 nats"),
        why_smallest=Text("A factor of ten.", "十倍。"),
    ),
)
_ALL = tuple(one.name for one in CLAIMS)

STUDY = Study(
    name="additive",
    title=Text("The additive gradient", "梯度的加性分解"),
    question=Text(
        "Is the gradient behind a block the sum of a direct term and the branch's, and what do shortcuts leave of the "
        "first?",
        "经过一个块的梯度是否为直接项与分支项之和？捷径又为直接项保留了多少？",
    ),
    fairness=Text(
        "Nothing is trained, so there is no learning rate. All arms are drawn from the same seeds and see the same "
        "digits; each term is a vector–Jacobian product of its own, never total minus the other.",
        "不涉及训练，因而没有学习率。所有实验臂使用相同种子与相同数字图像；"
        "每一项各自由向量–雅可比积求得，而非以总量减去另一项。",
    ),
    claims=CLAIMS,
    measures=(ADDITIVE,),
    budgets={"quick": Budget(arms=ARMS, seeds=5, minutes=0.3, decides=_ALL)},
    figures=(
        FigureSpec(
            kind="course",
            title=Text("What each shortcut leaves of the gradient (branch dashed)", "各捷径保留的梯度（虚线为分支）"),
            x=Text("block", "块"),
            y=Text("‖J_sᵀ g‖ / ‖g‖", "‖J_sᵀ g‖ / ‖g‖"),
            quantity="direct",
            second="branch",
        ),
        FigureSpec(
            kind="intervals",
            title=Text("What all shortcuts together leave", "所有捷径共同保留的部分"),
            y=Text("product of the direct terms", "直接项之积"),
            quantity="direct",
            prediction="predicted_direct",
            log_y=True,
        ),
    ),
    remarks=(
        Text(
            "The terms are taken at the sum, before any later activation: in the original order the ReLU behind it "
            "cuts the direct term, too, which the product of the shortcuts does not show.",
            "各项均在求和处、后续激活之前取得：原始顺序中其后的 ReLU 也会削减直接项，捷径之积并不体现这一点。",
        ),
    ),
)
