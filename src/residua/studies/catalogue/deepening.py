"""Row 6: identity blocks change nothing and then learn; and a network may grow instead of starting deep."""

from math import log

from residua.studies import units
from residua.studies.claim import Claim, Term, Text
from residua.studies.design import Arm, Budget, FigureSpec, Study
from residua.studies.measures.course import COURSE
from residua.studies.measures.deepened import DEEPENED

_SMALL = ("network.stem.width=8", "network.widths=8,16,32", "label_smoothing=0", "choose=last")


def _arms(first: int, second: int, third: int, whole: int) -> tuple[Arm, ...]:
    """Returns a chain 8 → 20 → 56 and 56 from the start, with the epochs of each."""
    return (
        Arm(name="8", network="resnet8", epochs=first, group="grown", x=8.0),
        Arm(
            name="8 → 20",
            network="resnet20",
            begins="8",
            deepen=((1, 2), (2, 2), (3, 2)),
            epochs=second,
            group="grown",
            x=20.0,
        ),
        Arm(
            name="8 → 20 → 56",
            network="resnet56",
            begins="8 → 20",
            deepen=((1, 6), (2, 6), (3, 6)),
            epochs=third,
            group="grown",
            x=56.0,
        ),
        Arm(name="56", network="resnet56", epochs=whole, group="from the start", x=56.0),
    )


_DECIDES = ("identity", "reached", "learns", "growing")

STUDY = Study(
    name="deepening",
    title=Text("Identity deepening", "恒等加深"),
    question=Text(
        "Does adding identity blocks leave a trained network as it is, can they learn, and is growing better than "
        "starting deep?",
        "添加恒等块是否保持已训练网络不变？它们能否学习？逐步加深是否优于一开始就很深？",
    ),
    fairness=Text(
        "Every arm takes the same recipe, learning rate and schedule. The chain and the network that is deep from the "
        "start spend the same multiply-adds to within a tenth.",
        "所有实验臂采用相同的训练方案、学习率与调度。逐步加深的链与一开始就很深的网络所用乘加次数相差不超过一成。",
    ),
    claims=(
        Claim(
            name="identity",
            says=Text(
                "Adding identity blocks changes no logit of a trained network.",
                "添加恒等块不改变已训练网络的任何 logit。",
            ),
            source="He et al. 2015, §1 (by construction); Chen et al. 2016 (Net2DeeperNet)",
            effect=(Term("8 → 20", "logit_change"), Term("8 → 20 → 56", "logit_change")),
            smallest=1e-6,
            kind="within",
            learns=False,
            unit=Text("of a logit", "logit 的值"),
            published=Text("0, by construction.", "按构造为 0。"),
            why_smallest=Text("About the rounding of float32.", "约为 float32 的舍入误差。"),
        ),
        Claim(
            name="reached",
            says=Text(
                "The loss's gradient reaches the new blocks: they are not dead.",
                "损失的梯度能到达新块：它们并未“死去”。",
            ),
            source="residual-learning: what to zero so that an identity block learns",
            effect=(Term("8 → 20 → 56", "new_gradient"),),
            smallest=0.001,
            unit=Text("share of the gradient's norm", "占梯度范数的比例"),
            why_smallest=Text("A thousandth of the whole gradient.", "整个梯度的千分之一。"),
        ),
        Claim(
            name="learns",
            says=Text(
                "The deepened network's training loss falls below that of the network it grew from.",
                "加深后的网络训练损失低于其来源网络。",
            ),
            source="He et al. 2015, §1: a deeper model should have no higher training error",
            effect=(Term("8 → 20", "loss_before"), Term("8 → 20", "train_loss", -1.0)),
            smallest=0.01,
            unit=units.NATS,
            why_smallest=Text(
                "A hundredth of a nat is what one epoch moves at the end.", "0.01 nat 约为末期一个轮次的变化。"
            ),
        ),
        Claim(
            name="growing",
            says=Text(
                "For the same multiply-adds a network grown from 8 over 20 to 56 layers ends at a lower training loss "
                "than one of 56 layers from the start.",
                "在相同乘加次数下，由 8 层经 20 层长到 56 层的网络的最终训练损失低于一开始即 56 层的网络。",
            ),
            source="Chen et al. 2016 (Net2Net), of another architecture; open for residual networks",
            effect=(Term("56", "train_loss"), Term("8 → 20 → 56", "train_loss", -1.0)),
            smallest=log(1.1),
            transform="log",
            unit=Text("of the losses' ratio, logarithm", "损失之比的对数"),
            why_smallest=Text("A tenth of the loss.", "损失的十分之一。"),
        ),
    ),
    measures=(COURSE, DEEPENED),
    budgets={
        "quick": Budget(
            arms=_arms(8, 4, 4, 6),
            seeds=5,
            settings=(*_SMALL, "batch_size=64", "optimizer.learning_rate=0.05", "precision=float32"),
            epochs=8,
            minutes=0.8,
            decides=_DECIDES,
        ),
        "laptop": Budget(
            arms=_arms(8, 6, 6, 9),
            seeds=3,
            source="fashion-mnist",
            settings=(*_SMALL, "data.image_size=16", "batch_size=128", "optimizer.learning_rate=0.1"),
            epochs=9,
            minutes=27.0,
            decides=_DECIDES,
        ),
        "paper": Budget(
            arms=_arms(40, 40, 60, 77),
            seeds=5,
            source="cifar10",
            settings=("batch_size=128", "optimizer.learning_rate=0.1", "choose=last"),
            epochs=77,
            minutes=60.0 * 24 * 8,
            decides=_DECIDES,
        ),
    },
    figures=(
        FigureSpec(
            kind="course",
            title=Text("Training loss against compute", "训练损失与计算量"),
            x=Text("multiply-adds of the forward passes trained, 10⁹", "训练前向计算的乘加次数，10⁹"),
            y=Text("training loss in nats", "训练损失（nat）"),
            quantity="loss_by_compute",
            log_y=True,
        ),
    ),
    remarks=(
        Text(
            "Each link of the chain has a one-cycle schedule of its own, which begins with small steps.",
            "链上每一环都有自己的单周期调度，从小步长开始。",
        ),
    ),
)
