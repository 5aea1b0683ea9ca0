"""Row 11: the loss bends more sharply at the weights of plain networks, and of deep ones."""

from dataclasses import replace
from math import log

from residua.studies import units
from residua.studies.catalogue import degradation
from residua.studies.claim import Claim, Term, Text
from residua.studies.design import Budget, FigureSpec, Scale, Study
from residua.studies.measures.course import COURSE
from residua.studies.measures.curvature import CURVATURE

_DECIDES = ("sharper", "trace", "deeper_is_sharper")
_MINUTES: dict[Scale, float] = {"quick": 2.3, "laptop": 5.5, "paper": 148.0}
"""Of the Hessians alone: processor time measured at quick, times the multiply-adds of an image and the trials."""
_TWOFOLD = Text(
    "Twofold: two draws of one network's images may differ as much.",
    "两倍：同一网络两次抽取的图像之间就可能相差这么多。",
)
_NONE = Text(
    "The surfaces are drawn; no eigenvalue of these networks is given.", "只画出曲面，未给出这些网络的特征值。"
)


def _budget(scale: Scale) -> Budget:
    """Returns the budget of the degradation study, whose trials these are, with the time of the Hessians added."""
    whole = degradation.deciding(degradation.STUDY.budgets[scale], _DECIDES)
    return replace(whole, minutes=whole.minutes + _MINUTES[scale])


STUDY = Study(
    name="curvature",
    title=Text("Curvature", "曲率"),
    question=Text(
        "Does the loss bend more sharply at the weights of a trained network when it has no shortcuts?",
        "没有捷径连接时，训练所得权重处的损失是否弯曲得更厉害？",
    ),
    fairness=degradation.STUDY.fairness,
    claims=(
        Claim(
            name="sharper",
            says=Text(
                "After the same training the Hessian of a network of 56 layers has a larger top eigenvalue without "
                "shortcuts than with.",
                "经过同样的训练，56 层网络的 Hessian 矩阵的最大特征值在没有捷径时比有捷径时更大。",
            ),
            source="Li et al. 2018 on shortcuts and smoothness, asked at the weights themselves",
            effect=(Term("plain-56", "top_eigenvalue"), Term("residual-56", "top_eigenvalue", -1.0)),
            smallest=log(2),
            transform="log",
            unit=units.EIGENVALUE,
            published=_NONE,
            why_smallest=_TWOFOLD,
        ),
        Claim(
            name="trace",
            says=Text(
                "After the same training the Hessian of a network of 56 layers has a larger trace, the sum of its "
                "bends over all directions, without shortcuts than with.",
                "经过同样的训练，56 层网络的 Hessian 矩阵的迹（各方向弯曲之和）在没有捷径时比有捷径时更大。",
            ),
            source="Li et al. 2018 on shortcuts and smoothness, asked at the weights themselves",
            effect=(Term("plain-56", "trace"), Term("residual-56", "trace", -1.0)),
            smallest=log(2),
            transform="log",
            unit=Text("nats of the trace", "迹的对数，nat"),
            published=_NONE,
            why_smallest=_TWOFOLD,
        ),
        Claim(
            name="deeper_is_sharper",
            says=Text(
                "Without shortcuts the top eigenvalue is larger with 56 layers than with 20.",
                "没有捷径时，56 层的最大特征值比 20 层的更大。",
            ),
            source="Li et al. 2018 on depth and smoothness, asked at the weights themselves",
            effect=(Term("plain-56", "top_eigenvalue"), Term("plain-20", "top_eigenvalue", -1.0)),
            smallest=log(2),
            transform="log",
            unit=units.EIGENVALUE,
            published=_NONE,
            why_smallest=_TWOFOLD,
        ),
    ),
    measures=(COURSE, CURVATURE),
    budgets={scale: _budget(scale) for scale in degradation.STUDY.budgets},
    figures=(
        FigureSpec(
            kind="lines",
            title=Text("The Hessian's largest eigenvalue by depth", "Hessian 最大特征值与深度"),
            x=Text("layers", "层数"),
            y=Text("largest eigenvalue", "最大特征值"),
            quantity="top_eigenvalue",
            log_y=True,
        ),
        FigureSpec(
            kind="intervals",
            title=Text("The Hessian's trace", "Hessian 的迹"),
            y=Text("trace", "迹"),
            quantity="trace",
        ),
        FigureSpec(
            kind="intervals",
            title=Text(
                "Directions that bend down: the lowest eigenvalue's size beside the largest one",
                "向下弯曲的方向：最小特征值的绝对值与最大特征值之比",
            ),
            y=Text("share of the largest eigenvalue", "占最大特征值的比例"),
            quantity="negative",
        ),
        FigureSpec(
            kind="intervals",
            title=Text("What each network has learned: its loss", "各网络学到了多少：损失"),
            y=Text("loss of the training images, nats", "训练图像的损失（nats）"),
            quantity="train_loss",
        ),
    ),
    remarks=(
        Text(
            "A plain network of 56 layers has learned little at quick scale. Far from a minimum a Hessian says how the "
            "loss bends where training stopped, not how sharp a minimum is: read each verdict beside the loss, and the "
            "size of the eigenvalues that bend down.",
            "在快速规模下，56 层普通网络学到的很少。远离极小点时，Hessian 描述的是训练停止处的弯曲，"
            "而非极小点的尖锐程度：请结合损失以及向下弯曲的特征值大小来理解每条结论。",
        ),
        Text(
            "The Hessian is of the mean loss over two draws of 64 training images, norms frozen; eigenvalues of few "
            "images are larger than those of all and vary between draws: their ratio is `draws_apart` in the table.",
            "Hessian 取自两次各抽取 64 张训练图像的平均损失，冻结归一化统计量；少量图像的特征值偏大，且随抽取而变："
            "两次之比见表中的 `draws_apart`。",
        ),
        Text(
            "Weights before a norm may be scaled without changing the network, and their curvature then changes: an "
            "eigenvalue compares networks trained alike, and is no property of the function.",
            "归一化之前的权重可以缩放而不改变网络，曲率却随之改变：特征值只宜比较训练方式相同的网络，并非函数本身的性质。",
        ),
    ),
)
