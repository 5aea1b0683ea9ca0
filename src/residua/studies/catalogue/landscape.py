"""Row 10: without shortcuts the loss around a deep network is chaotic, with them smooth (Li et al. 2018, Fig. 1)."""

from dataclasses import replace

from residua.studies import units
from residua.studies.catalogue import degradation
from residua.studies.claim import Claim, Term, Text
from residua.studies.design import Budget, FigureSpec, Scale, Study
from residua.studies.measures.course import COURSE
from residua.studies.measures.landscape import LANDSCAPE

_DECIDES = (
    "nearer",
    "nearer_recalibrated",
    "smoother",
    "smoother_recalibrated",
    "more_convex",
    "deeper_is_steeper",
    "alike_when_shallow",
)
_QUICK = ("alike_when_shallow",)
"""Where a plain network of 56 layers learns nothing, its surface is level, which says nothing of a trained one's."""
_SOURCE = "Li et al. 2018, Fig. 1"
_FIGURE = Text(
    "Fig. 1 draws both surfaces, without shortcuts jagged and with them a bowl; no number is given.",
    "图 1 画出两个曲面：无捷径时崎岖，有捷径时呈碗状；未给出数值。",
)
_MINUTES: dict[Scale, float] = {"quick": 1.3, "laptop": 3.0, "paper": 80.0}
"""Of the surfaces alone: processor time measured at quick, times the multiply-adds of an image and the trials."""
_POINTS = Text("share of the points", "占各点的比例")
_TENTH = Text("A tenth of the map: less could not be seen in it.", "图的十分之一：更小的差别在图中看不出来。")
_RIDGE = Text(
    "A tenth of one ridge as high as all else on its line, which counts 2.",
    "一条与整条线等高的山脊计为 2，此处取其十分之一。",
)


def _budget(scale: Scale) -> Budget:
    """Returns the budget of the degradation study, whose trials these are, with the time of the surfaces added."""
    claims = _QUICK if scale == "quick" else _DECIDES
    whole = degradation.deciding(degradation.STUDY.budgets[scale], claims)
    return replace(whole, minutes=whole.minutes + _MINUTES[scale])


def _twins(quantity: str, *, depth: int, plain_first: bool) -> tuple[Term, Term]:
    """Returns the difference of a quantity between the networks without and with shortcuts."""
    sign = 1.0 if plain_first else -1.0
    return Term(f"plain-{depth}", quantity, sign), Term(f"residual-{depth}", quantity, -sign)


STUDY = Study(
    name="landscape",
    title=Text("The landscape and its twin", "损失曲面与其孪生网络"),
    question=Text(
        "Do shortcuts make the loss around a trained network smooth?",
        "捷径连接是否使训练所得网络周围的损失曲面变得平滑？",
    ),
    fairness=degradation.STUDY.fairness,
    claims=(
        Claim(
            name="nearer",
            says=Text(
                "After the same training, more of the surroundings of a network of 56 layers has a loss within 1 of "
                "its own with shortcuts than without (norms frozen).",
                "经过同样的训练，56 层网络周围损失与中心相差不超过 1 的区域，有捷径时比没有时更大"
                "（冻结归一化统计量）。",
            ),
            source=_SOURCE,
            effect=_twins("near_frozen", depth=56, plain_first=False),
            smallest=0.1,
            unit=_POINTS,
            published=_FIGURE,
            why_smallest=_TENTH,
        ),
        Claim(
            name="nearer_recalibrated",
            says=Text(
                "After the same training, more of the surroundings of a network of 56 layers has a loss within 1 of "
                "its own with shortcuts than without (norms' statistics taken anew at every point).",
                "经过同样的训练，56 层网络周围损失与中心相差不超过 1 的区域，有捷径时比没有时更大"
                "（在每一点重新估计归一化统计量）。",
            ),
            source=f"{_SOURCE}, under another policy for batch norms",
            effect=_twins("near_recalibrated", depth=56, plain_first=False),
            smallest=0.1,
            unit=_POINTS,
            why_smallest=_TENTH,
        ),
        Claim(
            name="smoother",
            says=Text(
                "Along the lines of the map the loss of a network of 56 layers goes up and down less with shortcuts "
                "than without (norms frozen).",
                "沿图中各条直线，56 层网络的损失在有捷径时起伏比没有时更小（冻结归一化统计量）。",
            ),
            source=_SOURCE,
            effect=_twins("roughness_frozen", depth=56, plain_first=True),
            smallest=0.2,
            unit=units.ROUGHNESS,
            published=_FIGURE,
            why_smallest=_RIDGE,
        ),
        Claim(
            name="smoother_recalibrated",
            says=Text(
                "Along the lines of the map the loss of a network of 56 layers goes up and down less with shortcuts "
                "than without (norms' statistics taken anew at every point).",
                "沿图中各条直线，56 层网络的损失在有捷径时起伏比没有时更小（在每一点重新估计归一化统计量）。",
            ),
            source=f"{_SOURCE}, under another policy for batch norms",
            effect=_twins("roughness_recalibrated", depth=56, plain_first=True),
            smallest=0.2,
            unit=units.ROUGHNESS,
            why_smallest=_RIDGE,
        ),
        Claim(
            name="more_convex",
            says=Text(
                "The loss of a network of 56 layers bends down within the plane at fewer points with shortcuts than "
                "without.",
                "在该平面内，56 层网络的损失向下弯曲的点，有捷径时比没有时更少。",
            ),
            source="Li et al. 2018: deep surfaces become highly non-convex, with shortcuts only far deeper",
            effect=_twins("non_convex", depth=56, plain_first=True),
            smallest=0.1,
            unit=_POINTS,
            why_smallest=Text("About one of the nine points asked.", "约为所测九个点中的一个。"),
        ),
        Claim(
            name="deeper_is_steeper",
            says=Text(
                "Without shortcuts, less of the surroundings has a loss within 1 of the network's own with 56 layers "
                "than with 20 (norms frozen).",
                "没有捷径时，损失与中心相差不超过 1 的区域，56 层比 20 层更小（冻结归一化统计量）。",
            ),
            source="Li et al. 2018: deeper networks become chaotic where shallow ones are smooth",
            effect=(Term("plain-20", "near_frozen"), Term("plain-56", "near_frozen", -1.0)),
            smallest=0.1,
            unit=_POINTS,
            why_smallest=_TENTH,
        ),
        Claim(
            name="alike_when_shallow",
            says=Text(
                "With 20 layers the surroundings are alike with and without shortcuts (norms frozen).",
                "20 层时，有无捷径的损失曲面相差无几（冻结归一化统计量）。",
            ),
            source="Li et al. 2018: shallow networks have smooth surfaces",
            effect=_twins("near_frozen", depth=20, plain_first=False),
            smallest=0.1,
            kind="within",
            unit=_POINTS,
            why_smallest=_TENTH,
        ),
    ),
    measures=(COURSE, LANDSCAPE),
    budgets={scale: _budget(scale) for scale in degradation.STUDY.budgets},
    figures=(
        FigureSpec(
            kind="surface",
            title=Text(
                "The loss around each network at seed 0, norms frozen (after Li et al. 2018, Fig. 1)",
                "种子 0 下各网络周围的损失，冻结归一化统计量（仿 Li 等 2018，图 1）",
            ),
            y=Text("loss, nats", "损失（nats）"),
            quantity="frozen",
        ),
        FigureSpec(
            kind="surface",
            title=Text(
                "The same points with the norms' statistics taken anew at each",
                "相同的点，每一点重新估计归一化统计量",
            ),
            y=Text("loss, nats", "损失（nats）"),
            quantity="recalibrated",
        ),
        FigureSpec(
            kind="lines",
            title=Text("How much of the map is near the centre's loss", "图中损失接近中心的比例"),
            x=Text("layers", "层数"),
            y=Text("share within 1 nat (dashed: recalibrated)", "相差 1 nat 以内的比例（虚线：重新估计）"),
            quantity="near_frozen",
            second="near_recalibrated",
        ),
        FigureSpec(
            kind="intervals",
            title=Text("Roughness, frozen beside recalibrated", "粗糙度：冻结与重新估计"),
            y=Text("roughness", "粗糙度"),
            quantity="roughness_frozen",
            second="roughness_recalibrated",
        ),
        FigureSpec(
            kind="intervals",
            title=Text("What each network has learned: the loss at the centre", "各网络学到了多少：中心处的损失"),
            y=Text("loss of the training images, nats", "训练图像的损失（nats）"),
            quantity="centre_loss",
        ),
    ),
    remarks=(
        Text(
            "A plain network of 56 layers learns next to nothing at quick scale, and a network that answers alike for "
            "every image is flat wherever it stands: its surface is drawn there, and nothing is decided by it. Read "
            "each verdict beside the loss at the centre; the published networks were trained for far longer.",
            "在快速规模下，56 层普通网络几乎什么也没有学到；对所有图像给出相同回答的网络无论在何处都是"
            "平坦的：此处仅绘出其曲面，不据此下结论。"
            "请结合中心处的损失来理解每条结论；论文中的网络训练时间长得多。",
        ),
        Text(
            "With frozen norms the loss far from the centre is that of a network whose norms no longer fit its "
            "signals; taken anew, they do. The ranking may differ, so it is claimed under both.",
            "冻结统计量时，远离中心处的归一化已与信号不符；重新估计则相符。两者的排序可能不同，故分别提出断言。",
        ),
        Text(
            "Roughness has no unit: it is of each line's own range. Ripples of a tenth of a nat on a flat surface are "
            "as rough as ridges a thousand times as high.",
            "粗糙度没有单位，只相对于每条线自身的变化范围：平坦曲面上十分之一 nat 的波纹，与高出千倍的山脊同样粗糙。",
        ),
        Text(
            "One plane a trial, of 9 × 9 points and 128 training images; its directions are drawn with the trial's "
            "seed, so that the interval over the seeds holds the choice of the plane as well.",
            "每次试验一个平面，9 × 9 个点、128 张训练图像；方向由试验的种子抽取，故种子间的区间也包含了平面的选择。",
        ),
    ),
)
