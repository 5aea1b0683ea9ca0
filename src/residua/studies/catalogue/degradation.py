"""Row 1: a plain network that is deeper learns worse, and shortcuts undo that (He et al. 2015, Fig. 6, Table 6)."""

from dataclasses import replace

from residua.studies import units
from residua.studies.claim import Claim, Term, Text
from residua.studies.design import Arm, Budget, FigureSpec, Study
from residua.studies.measures.course import COURSE

ARMS = tuple(
    Arm(name=f"{group}-{depth}", network=f"{family}{depth}", group=group, x=float(depth))
    for group, family in (("plain", "plain"), ("residual", "resnet"))
    for depth in (20, 56)
)
"""Studies that look into trained networks take these, and the budgets below: their trials are then the same ones."""

QUICK = Budget(
    arms=ARMS,
    seeds=5,
    source="digits",
    epochs=10,
    settings=(
        "network.stem.width=8",
        "network.widths=8,16,32",
        "batch_size=64",
        "label_smoothing=0",
        "choose=last",
        "precision=float32",
    ),
    learning_rates=(0.03, 0.1),
    minutes=1.6,
    decides=("degrades", "repaired"),
)
LAPTOP = Budget(
    arms=ARMS,
    seeds=3,
    source="fashion-mnist",
    epochs=6,
    settings=(
        "network.stem.width=8",
        "network.widths=8,16,32",
        "data.image_size=16",
        "batch_size=128",
        "label_smoothing=0",
        "choose=last",
    ),
    learning_rates=(0.03, 0.1),
    minutes=48.0,
    decides=("degrades", "repaired"),
)
PAPER = Budget(
    arms=ARMS,
    seeds=5,
    source="cifar10",
    recipe="he2015",
    epochs=164,
    minutes=60.0 * 24 * 14,
    decides=("degrades", "repaired", "deeper_is_better"),
)


def deciding(budget: Budget, claims: tuple[str, ...]) -> Budget:
    """Returns a budget of the same trials for other claims; once these are run, it takes no more than a minute."""
    return replace(budget, decides=claims)


STUDY = Study(
    name="degradation",
    title=Text("Degradation", "退化问题"),
    question=Text(
        "Does a plain network that is deeper fit even its training images worse, and do shortcuts undo that?",
        "更深的普通网络是否连训练图像都拟合得更差？捷径连接能否消除这一现象？",
    ),
    fairness=Text(
        "Where a grid is given, every arm's learning rate is the one of the grid with the lowest validation loss, "
        "found at a seed that does not count; all else is the same for every arm. At scale paper every arm takes the "
        "published protocol.",
        "给出网格时，每个实验臂的学习率取网格中验证损失最低者，由不计入结果的种子选定；其余设置对所有实验臂相同。"
        "论文规模下所有实验臂均采用已发表的方案。",
    ),
    claims=(
        Claim(
            name="degrades",
            says=Text(
                "A plain network of 56 layers makes more errors on its training images than one of 20 layers.",
                "56 层的普通网络在训练图像上的错误多于 20 层的普通网络。",
            ),
            source="He et al. 2015, §4.2 and Fig. 6 (left)",
            effect=(Term("plain-56", "train_error"), Term("plain-20", "train_error", -1.0)),
            smallest=0.01,
            unit=units.TRAINING_IMAGES,
            published=Text(
                "Fig. 6 draws the curves and gives no table: plain-56 ends above plain-20 throughout.",
                "图 6 只有曲线而无表格：plain-56 始终高于 plain-20。",
            ),
            why_smallest=Text(
                "One image of a hundred: less could not be told in the published figure.",
                "百分之一的图像：更小的差别在原图中无法辨认。",
            ),
        ),
        Claim(
            name="repaired",
            says=Text(
                "With shortcuts the deeper network loses less on its training images than without, or gains.",
                "有捷径连接时，加深网络在训练图像上的损失小于没有捷径时，甚至有所改善。",
            ),
            source="He et al. 2015, §4.2 and Fig. 6 (middle)",
            effect=(
                Term("plain-56", "train_error"),
                Term("plain-20", "train_error", -1.0),
                Term("residual-56", "train_error", -1.0),
                Term("residual-20", "train_error"),
            ),
            smallest=0.01,
            unit=units.TRAINING_IMAGES,
            published=Text(
                "Fig. 6: residual networks from 20 to 110 layers have lower training error the deeper they are.",
                "图 6：20 至 110 层的残差网络越深，训练错误率越低。",
            ),
            why_smallest=Text("As for the claim before.", "同上一条断言。"),
        ),
        Claim(
            name="deeper_is_better",
            says=Text(
                "A residual network of 56 layers makes fewer errors on test images than one of 20 layers.",
                "56 层的残差网络在测试图像上的错误少于 20 层的残差网络。",
            ),
            source="He et al. 2015, Table 6",
            effect=(Term("residual-20", "test_error"), Term("residual-56", "test_error", -1.0)),
            smallest=0.005,
            unit=units.TEST_IMAGES,
            published=Text(
                "8.75 % against 6.97 %: 0.0178 (CIFAR-10, one run each).",
                "8.75 % 对 6.97 %：相差 0.0178（CIFAR-10，各一次）。",
            ),
            why_smallest=Text(
                "Half a point: about three standard deviations of one network's error over its seeds.",
                "半个百分点：约为同一网络不同种子间错误率标准差的三倍。",
            ),
        ),
    ),
    measures=(COURSE,),
    budgets={"quick": QUICK, "laptop": LAPTOP, "paper": PAPER},
    figures=(
        FigureSpec(
            kind="course",
            title=Text("Error by epoch", "各轮次的错误率"),
            x=Text("epoch", "轮次"),
            y=Text("error (training solid, validation dashed)", "错误率（实线为训练，虚线为验证）"),
            quantity="train_error",
            second="validation_error",
        ),
        FigureSpec(
            kind="lines",
            title=Text("Error by depth, at the end", "最终错误率与深度"),
            x=Text("layers", "层数"),
            y=Text("error (training solid, test dashed)", "错误率（实线为训练，虚线为测试）"),
            quantity="train_error",
            second="test_error",
        ),
    ),
    remarks=(
        Text(
            "Quick and laptop train networks half as wide as published, on digits of 8 × 8 pixels and on "
            "Fashion-MNIST at 16 × 16, for ten and six epochs: they show the effect, not its published size.",
            "quick 与 laptop 规模的网络宽度为论文的一半，分别使用 8 × 8 像素的数字图像与 16 × 16 像素的 Fashion-MNIST，"
            "训练十轮与六轮：它们展示现象本身，而非论文中的数值大小。",
        ),
    ),
)
