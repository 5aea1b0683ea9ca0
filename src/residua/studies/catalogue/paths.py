"""Row 8: most gradient of a residual network comes through short paths (Veit et al. 2016, Fig. 6)."""

from dataclasses import replace
from math import log

from residua.studies.catalogue import degradation
from residua.studies.claim import Claim, Term, Text
from residua.studies.design import Budget, FigureSpec, Scale, Study
from residua.studies.measures.paths import PATHS

_DECIDES = ("short", "decay", "few")
_SOURCE = "Veit et al. 2016, §4.3 and Fig. 6"


def _budget(scale: Scale) -> Budget:
    """Returns the budget of the degradation study with its residual arms alone: only they have paths."""
    whole = degradation.STUDY.budgets[scale]
    return replace(whole, arms=tuple(arm for arm in whole.arms if arm.group == "residual"), decides=_DECIDES)


STUDY = Study(
    name="paths",
    title=Text("Path lengths", "路径长度"),
    question=Text(
        "Through paths of which length does the gradient reach the first block of a trained residual network?",
        "在训练好的残差网络中，梯度经由多长的路径到达第一个块？",
    ),
    fairness=degradation.STUDY.fairness,
    claims=(
        Claim(
            name="short",
            says=Text(
                "The gradient comes through paths that are shorter than the paths are on average.",
                "梯度所经路径短于全部路径的平均长度。",
            ),
            source=_SOURCE,
            effect=(Term("residual-56", "half_the_blocks"), Term("residual-56", "path_length", -1.0)),
            smallest=2.7,
            unit=Text("blocks", "块"),
            published=Text(
                "Paths of 5 to 17 of 54 blocks carry it, where a path has 27 on average (CIFAR-10, 110 layers)",
                "54 个块中长 5 至 17 的路径承载梯度，而路径平均长 27（CIFAR-10，110 层）",
            ),
            why_smallest=Text("A tenth of the 27 blocks.", "27 个块的十分之一。"),
        ),
        Claim(
            name="decay",
            says=Text(
                "The gradient through one path is the smaller the more branches it takes, by a constant factor each.",
                "单条路径上的梯度随所经分支数按固定倍数减小。",
            ),
            source=_SOURCE,
            effect=(Term("residual-56", "decay"),),
            smallest=0.1,
            unit=Text("nats a branch", "每个分支，nat"),
            published=Text(
                "Fig. 6 (middle) falls exponentially; no factor is given", "图 6（中）呈指数下降，未给出倍数"
            ),
            why_smallest=Text(
                "Less than a tenth a branch would leave the longest of 27 branches a fifteenth.",
                "每个分支不足一成，则长 27 的路径仍余十五分之一。",
            ),
        ),
        Claim(
            name="few",
            says=Text(
                "Fewer than one path in ten is of a length that carries the gradient.",
                "长度足以承载梯度的路径不到十分之一。",
            ),
            source=_SOURCE,
            effect=(Term("residual-56", "effective_paths", -1.0),),
            smallest=log(10),
            transform="log",
            unit=Text("nats of the share of the paths", "路径占比的对数，nat"),
            published=Text(
                "0.45 % of the paths: 5.4 nats (CIFAR-10, 110 layers)",
                "占路径的 0.45 %：5.4 nats（CIFAR-10，110 层）",
            ),
            why_smallest=Text(
                "One in ten: most of the network's paths would then be idle.",
                "十分之一：此时网络的大多数路径都是闲置的。",
            ),
        ),
    ),
    measures=(PATHS,),
    budgets={scale: _budget(scale) for scale in degradation.STUDY.budgets},
    figures=(
        FigureSpec(
            kind="course",
            title=Text(
                "How much of the gradient comes through paths of each length (Veit et al. 2016, Fig. 6, right)",
                "各长度路径所承载的梯度份额（Veit 等 2016，图 6 右）",
            ),
            x=Text("branches on the path", "路径上的分支数"),
            y=Text("share (dashed: of the paths)", "份额（虚线：路径数目的份额）"),
            quantity="gradient_share",
            second="path_share",
        ),
        FigureSpec(
            kind="course",
            title=Text(
                "The gradient through one path (Veit et al. 2016, Fig. 6, middle)",
                "单条路径上的梯度（Veit 等 2016，图 6 中）",
            ),
            x=Text("branches on the path", "路径上的分支数"),
            y=Text("norm", "范数"),
            quantity="path_norm",
            log_y=True,
        ),
        FigureSpec(
            kind="intervals",
            title=Text("Mean path length, beside half the blocks", "平均路径长度与块数之半"),
            y=Text("branches", "分支数"),
            quantity="path_length",
            prediction="half_the_blocks",
        ),
    ),
    remarks=(
        Text(
            "The gradient is followed through at most 10 sampled paths of each length, at 8 training images, in "
            "training mode; a length's share is the mean norm times the number of such paths, as in the paper. "
            "Paths of one length may cancel, which a sum of norms does not show.",
            "每种长度最多抽取 10 条路径，用 8 张训练图像在训练模式下追踪梯度；某长度的份额为平均路径范数乘以路径数，"
            "与论文一致。同一长度的路径可能相互抵消，范数之和无法反映这一点。",
        ),
        Text(
            "The published network has 54 blocks, this one 27: the fewer blocks, the larger the share of the paths "
            "that any few lengths have.",
            "论文中的网络有 54 个块，此处为 27 个：块越少，任意几种长度所占的路径份额就越大。",
        ),
    ),
)
