"""The CIFAR-10 depth table, 20 to 110 layers, with the paper's column beside ours (He et al. 2015, Table 6)."""

from dataclasses import replace
from itertools import pairwise

from residua.studies import units
from residua.studies.catalogue import degradation
from residua.studies.claim import Claim, Term, Text
from residua.studies.design import Arm, FigureSpec, Study
from residua.studies.measures.course import COURSE
from residua.studies.measures.reproduced import NAMED, PUBLISHED, REPRODUCED

_WARM_UP = ("schedule.warmup_fraction=0.006",)
"""Of 110 layers: about 400 steps at a lower rate (He et al. 2015, §4.2)."""
_STEPS = tuple(pairwise(PUBLISHED))

SMALL_ARMS = tuple(
    Arm(name=f"residual-{depth}", network=f"resnet{depth}", group="residual", x=float(depth))
    for depth in (20, 32, 44, 56)
)
"""Narrow ones at scales quick and laptop; 20 and 56 are those of degradation, and so are their trials."""
PAPER_ARMS = tuple(
    Arm(
        name=f"resnet{depth}",
        network=f"resnet{depth}",
        settings=_WARM_UP if depth == 110 else (),
        group="resnet",
        x=float(depth),
    )
    for depth in PUBLISHED
)


def _deeper(shallow: int, deep: int) -> Claim:
    before, after = PUBLISHED[shallow], PUBLISHED[deep]
    return Claim(
        name=f"better_{shallow}_{deep}",
        says=Text(
            f"On CIFAR-10, a residual network of {deep} layers makes fewer errors on test images than one "
            f"of {shallow}.",
            f"在 CIFAR-10 上，{deep} 层的残差网络在测试图像上的错误少于 {shallow} 层。",
        ),
        source="He et al. 2015, Table 6",
        effect=(Term(f"resnet{shallow}", "test_error"), Term(f"resnet{deep}", "test_error", -1.0)),
        smallest=0.0016,
        unit=units.TEST_IMAGES,
        published=Text(
            f"{100 * before:.2f} % against {100 * after:.2f} %: {before - after:.4f}.",
            f"{100 * before:.2f} % 对 {100 * after:.2f} %：相差 {before - after:.4f}。",
        ),
        why_smallest=Text(
            "The standard deviation that the paper gives over five networks of 110 layers.",
            "论文所给五个 110 层网络之间的标准差。",
        ),
    )


def _reproduced(depth: int) -> Claim:
    return Claim(
        name=f"reproduced_{depth}",
        says=Text(
            f"The published protocol gives the published test error of {depth} layers again.",
            f"按论文的方案训练，可重现 {depth} 层网络的已发表测试错误率。",
        ),
        source="He et al. 2015, Table 6",
        effect=(Term(f"resnet{depth}", "over_published"),),
        smallest=0.005,
        kind="within",
        unit=units.TEST_IMAGES,
        published=Text(f"{100 * PUBLISHED[depth]:.2f} %.", f"{100 * PUBLISHED[depth]:.2f} %。"),
        why_smallest=Text(
            "Half a point: three standard deviations of one run, and the paper printed one run, of 110 layers the best "
            "of five.",
            "半个百分点：单次运行标准差的三倍；论文只给出一次运行的数值，110 层则为五次中最好者。",
        ),
    )


_PAPER = (*(f"better_{a}_{b}" for a, b in _STEPS), *(f"reproduced_{depth}" for depth in PUBLISHED))

STUDY = Study(
    name="depth",
    title=Text("Depth: 20 to 110 layers", "深度：20 至 110 层"),
    question=Text(
        "Do residual networks get better with every step of depth from 20 to 110 layers, and are the published errors "
        "found again?",
        "从 20 层到 110 层，残差网络是否越深越好？已发表的错误率能否重现？",
    ),
    fairness=degradation.STUDY.fairness,
    claims=(
        Claim(
            name="no_degradation_56",
            says=Text(
                "A narrow residual network of 56 layers makes at most a hundredth more errors on its training images "
                "than one of 20 layers.",
                "窄的 56 层残差网络在训练图像上的错误率最多比 20 层的高一个百分点。",
            ),
            source="He et al. 2015, Fig. 6 (middle), of networks twice as wide",
            effect=(Term("residual-20", "train_error"), Term("residual-56", "train_error", -1.0)),
            smallest=-0.01,
            unit=units.TRAINING_IMAGES,
            published=Text(
                "Fig. 6: from 20 to 110 layers the training error falls with depth.",
                "图 6：20 至 110 层，训练错误率随深度下降。",
            ),
            why_smallest=Text(
                "A hundredth of the images, as for plain networks in the study of degradation.",
                "百分之一的图像，与退化研究中普通网络的标准相同。",
            ),
        ),
        Claim(
            name="narrow_20_56",
            says=Text(
                "A narrow residual network of 56 layers makes fewer errors on the test images of Fashion-MNIST than "
                "one of 20 layers.",
                "窄的 56 层残差网络在 Fashion-MNIST 测试图像上的错误少于 20 层。",
            ),
            source="after He et al. 2015, Table 6, of CIFAR-10 and networks twice as wide",
            effect=(Term("residual-20", "test_error"), Term("residual-56", "test_error", -1.0)),
            smallest=0.005,
            unit=units.TEST_IMAGES,
            why_smallest=Text(
                "Half a point: about three standard deviations of one network's error over its seeds.",
                "半个百分点：约为同一网络不同种子间错误率标准差的三倍。",
            ),
        ),
        *(_deeper(*step) for step in _STEPS),
        *(_reproduced(depth) for depth in PUBLISHED),
    ),
    measures=(COURSE, REPRODUCED),
    budgets={
        "quick": replace(degradation.QUICK, arms=SMALL_ARMS, minutes=1.6, decides=("no_degradation_56",)),
        "laptop": replace(
            degradation.LAPTOP, arms=SMALL_ARMS, minutes=55.0, decides=("no_degradation_56", "narrow_20_56")
        ),
        "paper": replace(degradation.PAPER, arms=PAPER_ARMS, minutes=60.0 * 24 * 25, decides=_PAPER),
    },
    figures=(
        FigureSpec(
            kind="lines",
            title=Text("Error by depth", "错误率与深度"),
            x=Text("layers", "层数"),
            y=Text("error (test solid, training dashed)", "错误率（实线为测试，虚线为训练）"),
            quantity="test_error",
            second="train_error",
        ),
        FigureSpec(
            kind="intervals",
            title=Text("Test error beside the paper's", "测试错误率与论文数值"),
            y=Text("share of the test images", "测试图像占比"),
            quantity="test_error",
            published=NAMED,
        ),
    ),
    remarks=(
        Text(
            "Narrow networks on other images have arms of other names than the paper's, so that no published number "
            "stands beside them.",
            "在其他图像上训练的窄网络使用与论文网络不同的名称，因此旁边不列已发表的数值。",
        ),
    ),
)
