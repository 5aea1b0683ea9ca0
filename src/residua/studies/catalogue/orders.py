"""Row 12: where norm and activation stand around the convolutions and the addition (He et al. 2016, Table 2)."""

from dataclasses import replace
from math import log
from typing import Literal

from residua.studies import units
from residua.studies.catalogue import degradation
from residua.studies.claim import Claim, Term, Text
from residua.studies.design import Arm, FigureSpec, Study
from residua.studies.measures.course import COURSE

TABLE_2 = {
    "original": (6.61, 5.93),
    "bn_after_addition": (8.17, 6.50),
    "relu_before_addition": (7.84, 6.14),
    "relu_only_preactivation": (6.71, 5.91),
    "full_preactivation": (6.37, 5.46),
}
"""CIFAR-10 test error in per cent, 110 layers of basic blocks and 164 of bottlenecks; medians of five."""
_SAID = {
    "bn_after_addition": Text("batch norm after the addition", "将批归一化置于相加之后"),
    "relu_before_addition": Text("the ReLU before the addition", "将 ReLU 置于相加之前"),
    "relu_only_preactivation": Text("the ReLU alone before the convolutions", "仅将 ReLU 置于卷积之前"),
    "full_preactivation": Text("norm and ReLU before the convolutions", "将归一化与 ReLU 都置于卷积之前"),
}
_SIDES: dict[str, Literal["fewer", "more", "as many"]] = {
    "full_preactivation": "fewer",
    "bn_after_addition": "more",
    "relu_before_addition": "more",
    "relu_only_preactivation": "as many",
}
"""Test errors beside those of the original order, as Table 2 has them."""
_WARM_UP = ("schedule.warmup_fraction=0.006",)
"""About 400 steps at a lower rate, for every arm."""
_AT_56 = ("original", "bn_after_addition", "full_preactivation")

SMALL_ARMS = tuple(
    Arm(name=f"{order}-56", network="resnet56", settings=(f"network.order={order}",), group=order, x=56.0)
    for order in _AT_56
)


def _settings(order: str, depth: int) -> tuple[str, ...]:
    """Returns an order's settings; projections, which 110 layers of option A lack, have no norm on a free stream."""
    free = depth == 164 and order == "full_preactivation"
    return (*_WARM_UP, f"network.order={order}", *(("network.norm_on_projection=false",) if free else ()))


PAPER_ARMS = tuple(
    Arm(
        name=f"{order}-{depth}",
        network=f"resnet{depth}",
        settings=_settings(order, depth),
        group=order,
        x=float(depth),
    )
    for depth in (110, 164)
    for order in TABLE_2
)


def _published(order: str, depth: int) -> Text:
    place = (110, 164).index(depth)
    ours, original = TABLE_2[order][place], TABLE_2["original"][place]
    return Text(f"{ours:.2f} % against {original:.2f} % (CIFAR-10).", f"{ours:.2f} % 对 {original:.2f} %（CIFAR-10）。")


def _claim(order: str, depth: int, *, side: Literal["fewer", "more", "as many"]) -> Claim:
    """Returns what Table 2 says of an order beside the original one."""
    own, original = Term(f"{order}-{depth}", "test_error"), Term(f"original-{depth}", "test_error")
    zh = {"fewer": "少于原始顺序", "more": "多于原始顺序", "as many": "与原始顺序一样多"}[side]
    said, than = _SAID[order], "as" if side == "as many" else "than"
    return Claim(
        name=f"{order}_{depth}",
        says=Text(
            f"At {depth} layers, {said.en} makes {side} errors on test images {than} the original order.",
            f"{depth} 层时，{said.zh}，在测试图像上的错误{zh}。",
        ),
        source="He et al. 2016, Table 2",
        effect=(original, replace(own, weight=-1.0)) if side == "fewer" else (own, replace(original, weight=-1.0)),
        smallest=0.005 if side == "as many" else 0.001,
        kind="within" if side == "as many" else "above",
        unit=units.TEST_IMAGES,
        published=_published(order, depth),
        why_smallest=Text(
            "Half a point: about three standard deviations of one network's error over its seeds."
            if side == "as many"
            else "A tenth of a point: what the paper's Table 2 has between orders that it calls the same.",
            "半个百分点：约为同一网络不同种子间错误率标准差的三倍。"
            if side == "as many"
            else "十分之一个百分点：表 2 中被视为相当的两种顺序之差。",
        ),
    )


def _at_56(name: str, *, worse: str, better: str, says: Text, source: str) -> Claim:
    return Claim(
        name=name,
        says=says,
        source=source,
        effect=(Term(f"{worse}-56", "train_loss"), Term(f"{better}-56", "train_loss", -1.0)),
        smallest=log(1.1),
        transform="log",
        unit=units.RATIO,
        why_smallest=Text("A tenth of the loss.", "损失的十分之一。"),
    )


_SMALL = ("norm_after_hinders_56", "preactivation_eases_56")

STUDY = Study(
    name="orders",
    title=Text("Activation orders", "激活的位置"),
    question=Text(
        "Where should norm and activation stand around the convolutions and the addition?",
        "归一化与激活应置于卷积与相加的什么位置？",
    ),
    fairness=Text(
        "Where a grid is given, every arm's learning rate is the one of the grid with the lowest validation loss, "
        "found at a seed that does not count; all else is the same for every arm. At scale paper every arm takes the "
        "published protocol with the same warm-up.",
        "给出网格时，每个实验臂的学习率取网格中验证损失最低者，由不计入结果的种子选定；其余设置对所有实验臂相同。"
        "论文规模下所有实验臂均采用已发表的方案，并使用相同的预热。",
    ),
    claims=(
        _at_56(
            "norm_after_hinders_56",
            worse="bn_after_addition",
            better="original",
            says=Text(
                "At 56 layers and for the same epochs, batch norm after the addition leaves a higher training loss "
                "than the original order.",
                "56 层、轮次相同时，将批归一化置于相加之后，训练损失高于原始顺序。",
            ),
            source="after He et al. 2016, §4.1 and Fig. 6 (left), of 110 layers",
        ),
        _at_56(
            "preactivation_eases_56",
            worse="original",
            better="full_preactivation",
            says=Text(
                "At 56 layers and for the same epochs, norm and ReLU before the convolutions reach a lower training "
                "loss than the original order.",
                "56 层、轮次相同时，将归一化与 ReLU 都置于卷积之前，达到的训练损失低于原始顺序。",
            ),
            source="after He et al. 2016, §4.2, of 1001 layers",
        ),
        *(_claim(order, depth, side=side) for depth in (110, 164) for order, side in _SIDES.items()),
    ),
    measures=(COURSE,),
    budgets={
        "quick": replace(degradation.QUICK, arms=SMALL_ARMS, minutes=1.8, decides=_SMALL),
        "laptop": replace(degradation.LAPTOP, arms=SMALL_ARMS, minutes=62.0, decides=_SMALL),
        "paper": replace(
            degradation.PAPER,
            arms=PAPER_ARMS,
            minutes=60.0 * 24 * 105,
            decides=tuple(f"{order}_{depth}" for depth in (110, 164) for order in TABLE_2 if order != "original"),
        ),
    },
    figures=(
        FigureSpec(
            kind="intervals",
            title=Text("Test error", "测试错误率"),
            y=Text("share of the test images", "测试图像占比"),
            quantity="test_error",
            published={
                f"{order}-{depth}": error / 100
                for order, errors in TABLE_2.items()
                for depth, error in zip((110, 164), errors, strict=True)
            },
        ),
        FigureSpec(
            kind="course",
            title=Text("Error by epoch", "各轮次的错误率"),
            x=Text("epoch", "轮次"),
            y=Text("error (training solid, validation dashed)", "错误率（实线为训练，虚线为验证）"),
            quantity="train_error",
            second="validation_error",
        ),
    ),
    remarks=(
        Text(
            "The paper's differences are of 110 layers and more. What quick and laptop ask at 56 layers is another "
            "claim: how far the training loss comes in few epochs.",
            "论文中的差别出现在 110 层及以上。quick 与 laptop 在 56 层上检验的是另一断言："
            "少数轮次内训练损失能降到多低。",
        ),
    ),
)
