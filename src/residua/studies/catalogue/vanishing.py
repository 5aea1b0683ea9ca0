"""Row 2: which networks of 50 layers pass a gradient at initialisation: activation, norm, shortcut, and theory."""

from math import log

from residua.diagnostics.gradients import HEALTHY
from residua.diagnostics.predictions import plain_with_norm, residual_with_norm, residual_without_norm
from residua.networks.layers import ActivationKind
from residua.studies import units
from residua.studies.claim import Claim, Term, Text
from residua.studies.dense import Dense
from residua.studies.design import Arm, Budget, FigureSpec, Study
from residua.studies.measures.growth import GROWTH

L = 50
_ACTIVATIONS: tuple[ActivationKind, ...] = ("sigmoid", "tanh", "relu", "leaky_relu", "prelu")
_THOUSAND = Text(
    "A factor of 1,000 over the depth: within it one learning rate can still serve both ends.",
    "整个深度上的 1000 倍：在此范围内，同一学习率仍可兼顾首尾两端。",
)
_FIVE_PERCENT = Text("5 % of the predicted logarithm.", "预测对数值的 5%。")
_DERIVED = "docs/predictions.md; mean-field theory as in Schoenholz et al. 2017 and Yang et al. 2019"


def arms(width: int) -> tuple[Arm, ...]:
    """Returns every activation, with norm and without, plain and residual; and four whose branches are special."""
    made = []
    for shortcuts in (False, True):
        for activation in _ACTIVATIONS:
            for norm in (False, True):
                group = "residual" if shortcuts else "plain"
                name = f"{group}-{activation}" + ("-norm" if norm else "")
                network = Dense(depth=L, width=width, activation=activation, norm=norm, shortcuts=shortcuts)
                made.append(Arm(name=name, network=network, group=group))
    tanh = Dense(depth=L, width=width, activation="tanh", gain=1.0, norm=False, shortcuts=False)
    special = {
        "residual-two-layers": Dense(depth=L, width=width, layers=2),
        "residual-scaled": Dense(depth=L, width=width, norm=False, scale=L**-0.5),
        "residual-zero": Dense(depth=L, width=width, norm=False, scale=0.0),
    }
    made.append(Arm(name="plain-tanh-glorot", network=tanh, group="plain"))
    return (*made, *(Arm(name=name, network=network, group="residual") for name, network in special.items()))


def ratio(arm: str, weight: float = 1.0) -> Term:
    """Returns ln(‖∂L/∂x_0‖ / ‖∂L/∂x_L‖) as a term."""
    return Term(arm, "gradient_ratio", weight)


def claim(name: str, says: Text, *, source: str, effect: tuple[Term, ...], published: Text | None = None) -> Claim:
    """Returns the claim that a logarithm is above ln 1,000."""
    return Claim(
        name=name,
        says=says,
        source=source,
        effect=effect,
        smallest=log(HEALTHY),
        transform="log",
        unit=units.NATS,
        published=published,
        why_smallest=_THOUSAND,
    )


def within(name: str, says: Text, *, source: str, arm: str) -> Claim:
    """Returns the claim that the gradient changes by less than a factor of 1,000, up or down."""
    return Claim(
        name=name,
        says=says,
        source=source,
        effect=(ratio(arm),),
        smallest=log(HEALTHY),
        kind="within",
        transform="log",
        unit=units.NATS,
        why_smallest=_THOUSAND,
    )


def as_predicted(name: str, says: Text, *, arm: str, predicted: float) -> Claim:
    """Returns the claim that a ratio is theory's, to 5 % of its logarithm; of 1 exactly, to rounding."""
    exact = predicted == 1
    return Claim(
        name=name,
        says=says,
        source=_DERIVED,
        effect=(ratio(arm), Term(arm, "predicted_gradient_ratio", -1.0)),
        smallest=1e-6 if exact else 0.05 * log(predicted),
        kind="within",
        transform="log",
        unit=units.NATS,
        published=Text(f"theory gives a ratio of {predicted:.4g}", f"理论给出的比值为 {predicted:.4g}"),
        why_smallest=Text("Rounding in float32.", "float32 的舍入误差。") if exact else _FIVE_PERCENT,
    )


CLAIMS = (
    claim(
        "sigmoid_vanishes",
        Text(
            "Through 50 plain layers of sigmoids the gradient shrinks by more than 1,000.",
            "经过 50 层普通 sigmoid 网络，梯度缩小 1000 倍以上。",
        ),
        source="the notes S1 and S3; Glorot and Bengio 2010, §3",
        effect=(ratio("plain-sigmoid", -1.0),),
        published=Text(
            "a sigmoid's derivative is at most 1/4, so at most 4^−50 for weights of norm 1, which is −69 nats",
            "sigmoid 导数不超过 1/4，权重范数为 1 时至多 4^−50，即 −69 nats",
        ),
    ),
    claim(
        "tanh_vanishes",
        Text(
            "Through 50 plain layers of tanh with Glorot's weights the gradient shrinks by more than 1,000.",
            "采用 Glorot 初始化，经过 50 层普通 tanh 网络，梯度缩小 1000 倍以上。",
        ),
        source="the notes S1 and S3",
        effect=(ratio("plain-tanh-glorot", -1.0),),
    ),
    within(
        "relu_passes",
        Text(
            "With ReLU and He's weights 50 plain layers change the gradient by less than 1,000.",
            "使用 ReLU 与 He 初始化，50 层普通网络对梯度的改变小于 1000 倍。",
        ),
        source="He et al. 2015, Delving Deep into Rectifiers, §2.2",
        arm="plain-relu",
    ),
    claim(
        "norm_explodes",
        Text(
            "Batch norm alone makes the gradient of 50 plain ReLU layers explode.",
            "仅有批归一化时，50 层普通 ReLU 网络的梯度会爆炸。",
        ),
        source="Yang et al. 2019, A Mean Field Theory of Batch Normalization",
        effect=(ratio("plain-relu-norm"),),
        published=Text("(π/(π − 1))^(L/2), 9.6 nats at 50 layers", "(π/(π − 1))^(L/2)，50 层时为 9.6 nats"),
    ),
    within(
        "norm_and_shortcuts_pass",
        Text(
            "With batch norm and shortcuts the gradient changes by less than 1,000 over 50 blocks.",
            "批归一化与捷径连接并用时，50 个块上梯度变化小于 1000 倍。",
        ),
        source="the notes S1 to S4; De and Smith 2020, §3",
        arm="residual-relu-norm",
    ),
    claim(
        "shortcuts_alone_explode",
        Text(
            "With shortcuts and without norm the gradient explodes over 50 blocks.",
            "只有捷径连接而无归一化时，50 个块上的梯度会爆炸。",
        ),
        source="De and Smith 2020, §2; Zhang et al. 2019 (Fixup), §2",
        effect=(ratio("residual-relu"),),
        published=Text("2^(L/2), 17.3 nats at 50 blocks", "2^(L/2)，50 个块时为 17.3 nats"),
    ),
    claim(
        "shortcuts_mend_sigmoid",
        Text(
            "Shortcuts bring at least 1,000 times more gradient back through 50 layers of sigmoids.",
            "捷径连接使回传经过 50 层 sigmoid 的梯度至少增大 1000 倍。",
        ),
        source="the notes S1 and S3",
        effect=(ratio("residual-sigmoid"), ratio("plain-sigmoid", -1.0)),
    ),
    claim(
        "norm_mends_sigmoid",
        Text(
            "Batch norm brings at least 1,000 times more gradient back through 50 plain layers of sigmoids.",
            "批归一化使回传经过 50 层普通 sigmoid 网络的梯度至少增大 1000 倍。",
        ),
        source="the notes S1; Ioffe and Szegedy 2015",
        effect=(ratio("plain-sigmoid-norm"), ratio("plain-sigmoid", -1.0)),
    ),
    claim(
        "leaky_passes_more",
        Text(
            "At initialisation leaky ReLU brings at least 1,000 times more gradient back than ReLU.",
            "初始化时，leaky ReLU 回传的梯度至少为 ReLU 的 1000 倍。",
        ),
        source="the notes S1, which name it a remedy",
        effect=(ratio("plain-leaky_relu"), ratio("plain-relu", -1.0)),
    ),
    claim(
        "prelu_passes_more",
        Text(
            "At initialisation PReLU brings at least 1,000 times more gradient back than ReLU.",
            "初始化时，PReLU 回传的梯度至少为 ReLU 的 1000 倍。",
        ),
        source="the notes S1, which name it a remedy",
        effect=(ratio("plain-prelu"), ratio("plain-relu", -1.0)),
    ),
    as_predicted(
        "plain_as_predicted",
        Text("A plain network with norm grows as theory says.", "带归一化的普通网络的增长与理论一致。"),
        arm="plain-relu-norm",
        predicted=plain_with_norm(L - 1),
    ),
    as_predicted(
        "residual_as_predicted",
        Text("A residual network with norm grows as theory says.", "带归一化的残差网络的增长与理论一致。"),
        arm="residual-relu-norm",
        predicted=residual_with_norm(L),
    ),
    as_predicted(
        "two_layers_as_predicted",
        Text(
            "A residual network with norm and branches of two layers grows as theory says.",
            "带归一化、残差分支为两层的残差网络的增长与理论一致。",
        ),
        arm="residual-two-layers",
        predicted=residual_with_norm(L, branch_layers=2),
    ),
    as_predicted(
        "scaled_as_predicted",
        Text("Branches times 1/√L, without norm, bring the growth to √e.", "分支乘以 1/√L（无归一化）使增长趋于 √e。"),
        arm="residual-scaled",
        predicted=residual_without_norm(L, scale=L**-0.5),
    ),
    as_predicted(
        "zero_is_exact",
        Text("Branches times 0 leave the gradient as it is.", "分支乘以 0 时梯度保持不变。"),
        arm="residual-zero",
        predicted=1.0,
    ),
)
_ALL = tuple(one.name for one in CLAIMS)

STUDY = Study(
    name="vanishing",
    title=Text("Vanishing and exploding gradients", "梯度消失与爆炸"),
    question=Text(
        "Which networks of 50 layers pass a gradient before they learn, and is it activation, norm or shortcut that "
        "decides?",
        "在学习之前，哪些 50 层网络能传递梯度？起决定作用的是激活函数、归一化还是捷径连接？",
    ),
    fairness=Text(
        "Nothing is trained, so there is no learning rate. All arms have dense layers of one width, normal inputs, as "
        "many as a layer is wide, and normal weights of variance g²/width with the gain g that the literature gives "
        "each activation; a seed draws the same inputs for every arm.",
        "不涉及训练，因而没有学习率。所有实验臂均为同一宽度的全连接层，输入为标准正态（数量与层宽相同），"
        "权重为方差 g²/宽度的正态分布，g 为文献给出的各激活函数增益；同一种子对所有实验臂给出相同输入。",
    ),
    claims=CLAIMS,
    measures=(GROWTH,),
    budgets={
        "quick": Budget(arms=arms(128), seeds=5, minutes=0.3, decides=_ALL),
        "laptop": Budget(arms=arms(256), seeds=10, minutes=3.0, decides=_ALL),
    },
    figures=(
        FigureSpec(
            kind="course",
            title=Text("The gradient on its way back through 50 units", "梯度回传经过 50 个单元"),
            x=Text("unit", "单元"),
            y=Text("‖∂L/∂x_l‖ / ‖∂L/∂x_L‖", "‖∂L/∂x_l‖ / ‖∂L/∂x_L‖"),
            quantity="gradient",
            prediction="predicted_gradient",
            log_y=True,
        ),
        FigureSpec(
            kind="intervals",
            title=Text("What arrives at the input", "到达输入端的梯度"),
            y=Text("‖∂L/∂x_0‖ / ‖∂L/∂x_L‖", "‖∂L/∂x_0‖ / ‖∂L/∂x_L‖"),
            quantity="gradient_ratio",
            prediction="predicted_gradient_ratio",
            log_y=True,
        ),
    ),
    remarks=(
        Text(
            "A gradient that passes at initialisation is needed to learn, and not enough: tanh with the gain 5/3 even "
            "explodes a little, and no arm says how a network fares once it trains.",
            "初始化时梯度能够传递是学习的必要条件而非充分条件：增益为 5/3 的 tanh 甚至略有爆炸，"
            "且任何实验臂都不能说明训练开始之后的情形。",
        ),
    ),
)
