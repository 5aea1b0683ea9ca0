"""Shortcut options A, B, C and D, where shapes change or everywhere (He et al. 2015, §4.1, Table 3; the notes' D)."""

from dataclasses import replace
from math import log

from residua.studies import units
from residua.studies.catalogue import degradation
from residua.studies.claim import Claim, Term, Text
from residua.studies.design import Arm, FigureSpec, Study
from residua.studies.measures.course import COURSE

_OPTIONS = {"A": "padded", "B": "projection", "C": "projection_everywhere", "D": "average_pooled"}
_HALF_A_POINT = Text(
    "Half a point: about three standard deviations of one network's error over its seeds.",
    "半个百分点：约为同一网络不同种子间错误率标准差的三倍。",
)
_TENTH = Text("A tenth of the loss.", "损失的十分之一。")
_TABLE_3 = Text(
    "ImageNet top-1 error of 34 layers, 10-crop: A 25.03 %, B 24.52 %, C 24.19 %.",
    "34 层网络的 ImageNet top-1 错误率（10-crop）：A 25.03 %，B 24.52 %，C 24.19 %。",
)


def _arms(*depths: int) -> tuple[Arm, ...]:
    return tuple(
        Arm(
            name=f"{option}-{depth}",
            network=f"resnet{depth}",
            settings=(f"network.shortcut={shortcut}",),
            group=f"option {option}",
            x=float(depth),
        )
        for depth in depths
        for option, shortcut in _OPTIONS.items()
    )


def _alike(worse: str, better: str, depth: int, *, says: Text) -> Claim:
    return Claim(
        name=f"{worse}_like_{better}_{depth}".lower(),
        says=says,
        source="He et al. 2015, §4.1 and Table 3: small differences among A, B and C",
        effect=(Term(f"{worse}-{depth}", "test_error"), Term(f"{better}-{depth}", "test_error", -1.0)),
        smallest=0.005,
        kind="within",
        unit=units.TEST_IMAGES,
        published=_TABLE_3,
        why_smallest=_HALF_A_POINT,
    )


def _fits(better: str, worse: str, *, says: Text, source: str) -> Claim:
    return Claim(
        name=f"{better}_fits_better_than_{worse}_20".lower(),
        says=says,
        source=source,
        effect=(Term(f"{worse}-20", "train_loss"), Term(f"{better}-20", "train_loss", -1.0)),
        smallest=log(1.1),
        transform="log",
        unit=units.RATIO,
        why_smallest=_TENTH,
    )


_FITS = ("b_fits_better_than_a_20", "c_fits_better_than_b_20", "d_fits_better_than_b_20")
_ERRORS = ("a_like_b_20", "c_like_b_20", "d_better_than_b_20")

STUDY = Study(
    name="shortcuts",
    title=Text("Shortcuts A, B, C, D", "捷径方案 A、B、C、D"),
    question=Text(
        "Does it matter whether a shortcut pads with zeros (A), projects where shapes change (B), projects everywhere "
        "(C), or pools and then projects (D)?",
        "捷径用零填充（A）、仅在形状改变处投影（B）、处处投影（C），还是先池化再投影（D），是否有区别？",
    ),
    fairness=Text(
        "Where a grid is given, every arm's learning rate is the one of the grid with the lowest validation loss, "
        "found at a seed that does not count; all else is the same for every arm. At scale paper every arm takes the "
        "published protocol.",
        "给出网格时，每个实验臂的学习率取网格中验证损失最低者，由不计入结果的种子选定；其余设置对所有实验臂相同。"
        "论文规模下所有实验臂均采用已发表的方案。",
    ),
    claims=(
        _alike(
            "A",
            "B",
            20,
            says=Text(
                "At 20 layers, zero-padded shortcuts (A) and projections (B) have the same test error.",
                "20 层时，零填充捷径（A）与投影捷径（B）的测试错误率相同。",
            ),
        ),
        _alike(
            "C",
            "B",
            20,
            says=Text(
                "At 20 layers, projections everywhere (C) have the same test error as projections only where shapes "
                "change (B).",
                "20 层时，处处投影（C）与仅在形状改变处投影（B）的测试错误率相同。",
            ),
        ),
        _alike(
            "A",
            "B",
            56,
            says=Text(
                "At 56 layers, zero-padded shortcuts (A) and projections (B) have the same test error.",
                "56 层时，零填充捷径（A）与投影捷径（B）的测试错误率相同。",
            ),
        ),
        Claim(
            name="c_worse_than_b_56",
            says=Text(
                "At 56 layers, projections everywhere (C) make more errors on test images than B: between the 34 "
                "layers where they did no harm and the 110 where they did.",
                "56 层时，处处投影（C）在测试图像上的错误多于 B：介于无害的 34 层与有害的 110 层之间。",
            ),
            source="He et al. 2016, §3.1 and Table 1: harmful in 110 layers; open for 56",
            effect=(Term("C-56", "test_error"), Term("B-56", "test_error", -1.0)),
            smallest=0.005,
            unit=units.TEST_IMAGES,
            published=Text(
                "At 110 layers 12.22 % against 6.61 % of the identity (CIFAR-10).",
                "110 层时为 12.22 %，恒等捷径为 6.61 %（CIFAR-10）。",
            ),
            why_smallest=_HALF_A_POINT,
        ),
        Claim(
            name="d_better_than_b_20",
            says=Text(
                "At 20 layers, pooling before the projection (D) makes fewer errors on test images than a projection "
                "with a stride (B).",
                "20 层时，先池化再投影（D）在测试图像上的错误少于带步幅的投影（B）。",
            ),
            source="lecture notes S4; He et al. 2019, Bag of Tricks, Table 5",
            effect=(Term("B-20", "test_error"), Term("D-20", "test_error", -1.0)),
            smallest=0.002,
            unit=units.TEST_IMAGES,
            published=Text(
                "ImageNet top-1 accuracy of 50 layers: ResNet-C 76.87 %, ResNet-D 77.16 %.",
                "50 层网络的 ImageNet top-1 准确率：ResNet-C 76.87 %，ResNet-D 77.16 %。",
            ),
            why_smallest=Text(
                "A fifth of a point: the published gain is 0.29 points.",
                "五分之一个百分点：已发表的增益为 0.29 个百分点。",
            ),
        ),
        _fits(
            "B",
            "A",
            says=Text(
                "At 20 layers, projections (B) reach a lower training loss than zero-padding (A).",
                "20 层时，投影（B）达到的训练损失低于零填充（A）。",
            ),
            source="He et al. 2015, §4.1: B slightly better, as A's padded channels learn no residual",
        ),
        _fits(
            "C",
            "B",
            says=Text(
                "At 20 layers, projections everywhere (C) reach a lower training loss than B.",
                "20 层时，处处投影（C）达到的训练损失低于 B。",
            ),
            source="He et al. 2015, §4.1: C marginally better, by its extra parameters",
        ),
        _fits(
            "D",
            "B",
            says=Text(
                "At 20 layers, pooling before the projection (D) reaches a lower training loss than B.",
                "20 层时，先池化再投影（D）达到的训练损失低于 B。",
            ),
            source="lecture notes S4; He et al. 2019: a strided 1×1 ignores three quarters of its input",
        ),
    ),
    measures=(COURSE,),
    budgets={
        "quick": replace(degradation.QUICK, arms=_arms(20), minutes=0.9, decides=_FITS),
        "laptop": replace(
            degradation.LAPTOP,
            arms=_arms(20),
            seeds=5,
            minutes=40.0,
            decides=(*_FITS, *_ERRORS),
        ),
        "paper": replace(
            degradation.PAPER,
            arms=_arms(20, 56),
            minutes=60.0 * 24 * 28,
            decides=(*_FITS, *_ERRORS, "a_like_b_56", "c_worse_than_b_56"),
        ),
    },
    figures=(
        FigureSpec(
            kind="intervals",
            title=Text("Test error", "测试错误率"),
            y=Text("share of the test images", "测试图像占比"),
            quantity="test_error",
        ),
        FigureSpec(
            kind="intervals",
            title=Text("Training loss", "训练损失"),
            y=Text("nats", "nat"),
            quantity="train_loss",
        ),
    ),
    remarks=(
        Text(
            "The paper compares on ImageNet at 34 layers; the library trains on small images, and two stages change "
            "shape instead of three.",
            "论文在 ImageNet 上比较 34 层网络；本库使用小图像，只有两个而非三个阶段改变形状。",
        ),
    ),
)
