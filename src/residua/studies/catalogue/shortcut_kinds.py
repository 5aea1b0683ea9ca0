"""Row 12: what a shortcut may do to the stream besides leaving it alone (He et al. 2016, Table 1)."""

from dataclasses import dataclass, replace
from math import log
from typing import Literal

from residua.studies import units
from residua.studies.catalogue import degradation
from residua.studies.claim import Claim, Term, Text
from residua.studies.design import Arm, FigureSpec, Study
from residua.studies.measures.course import COURSE

_WARM_UP = ("schedule.warmup_fraction=0.006",)
"""About 400 steps at a lower rate, for every arm of 110 layers."""


@dataclass(frozen=True, kw_only=True)
class _Kind:
    """One row of Table 1."""

    settings: tuple[str, ...]
    said: Text
    published: float | None
    """CIFAR-10 test error in per cent; None where the paper says that it fails (above 20 %)."""
    side: Literal["above", "within"] = "above"
    smallest: float = 0.005


KINDS = {
    "scaled": _Kind(
        settings=("network.shortcut=scaled",),
        said=Text("halving shortcut and branch", "将捷径与残差分支都乘以 0.5"),
        published=12.35,
    ),
    "exclusive": _Kind(
        settings=("network.shortcut=exclusive_gating",),
        said=Text("an exclusive gate (bias −6)", "排他门控（偏置 −6）"),
        published=8.70,
    ),
    "gated": _Kind(
        settings=("network.shortcut=shortcut_only_gating",),
        said=Text(
            "a gate on the shortcut alone, almost open at first (bias −6)", "仅捷径门控且初始几乎全开（偏置 −6）"
        ),
        published=6.91,
        side="within",
    ),
    "gated-half": _Kind(
        settings=("network.shortcut=shortcut_only_gating", "network.gate_bias=0"),
        said=Text("a gate on the shortcut alone, half open at first (bias 0)", "仅捷径门控且初始半开（偏置 0）"),
        published=12.86,
    ),
    "convolution": _Kind(
        settings=("network.shortcut=projection_everywhere",),
        said=Text("a 1×1 convolution in every shortcut", "每条捷径都用 1×1 卷积"),
        published=12.22,
    ),
    "dropout": _Kind(
        settings=("network.shortcut=dropout",),
        said=Text("dropout (0.5) on the shortcut", "在捷径上使用 dropout（0.5）"),
        published=None,
        smallest=0.1,
    ),
    "plain": _Kind(
        settings=("network.shortcut=none",),
        said=Text("no shortcut at all", "完全没有捷径"),
        published=None,
        smallest=0.1,
    ),
}
_IDENTITY = 6.61
_AT_56 = ("scaled", "convolution")


def _arms(depth: int, kinds: tuple[str, ...], settings: tuple[str, ...] = ()) -> tuple[Arm, ...]:
    """Returns the identity (option A) and other kinds, of one depth."""
    given = {"identity": ("network.shortcut=padded",), **{kind: KINDS[kind].settings for kind in kinds}}
    return tuple(
        Arm(
            name=f"{kind}-{depth}",
            network=f"resnet{depth}",
            settings=(*settings, *own),
            group=kind,
            x=float(depth),
        )
        for kind, own in given.items()
    )


def _at_110(kind: str, row: _Kind) -> Claim:
    """Returns what Table 1 says of a kind beside the identity."""
    error = "it fails: above 20 %" if row.published is None else f"{row.published:.2f} %"
    zh = "训练失败：高于 20 %" if row.published is None else f"{row.published:.2f} %"
    within = row.side == "within"
    return Claim(
        name=f"{kind.replace('-', '_')}_110",
        says=Text(
            f"At 110 layers, {row.said.en} makes "
            + ("as many errors on test images as" if within else "more errors on test images than")
            + " the identity.",
            f"110 层时，{row.said.zh}，在测试图像上的错误" + ("与恒等捷径一样多。" if within else "多于恒等捷径。"),
        ),
        source="He et al. 2016, Table 1",
        effect=(Term(f"{kind}-110", "test_error"), Term("identity-110", "test_error", -1.0)),
        smallest=row.smallest,
        kind=row.side,
        unit=units.TEST_IMAGES,
        published=Text(
            f"{error}, identity {_IDENTITY:.2f} % (CIFAR-10).", f"{zh}；恒等 {_IDENTITY:.2f} %（CIFAR-10）。"
        ),
        why_smallest=Text(
            "Half a point: about three standard deviations of one network's error over its seeds.",
            "半个百分点：约为同一网络不同种子间错误率标准差的三倍。",
        )
        if row.smallest < 0.1
        else Text(
            "Ten points: a network that is said to fail is not merely somewhat worse.",
            "十个百分点：所谓训练失败，不只是略差。",
        ),
    )


def _at_56_claim(kind: str) -> Claim:
    said = KINDS[kind].said
    return Claim(
        name=f"{kind}_hinders_56",
        says=Text(
            f"At 56 layers and for the same epochs, {said.en} leaves a higher training loss than the identity.",
            f"56 层、轮次相同时，{said.zh}，训练损失高于恒等捷径。",
        ),
        source="after He et al. 2016, §3 and Fig. 3, of 110 layers",
        effect=(Term(f"{kind}-56", "train_loss"), Term("identity-56", "train_loss", -1.0)),
        smallest=log(1.1),
        transform="log",
        unit=units.RATIO,
        why_smallest=Text("A tenth of the loss.", "损失的十分之一。"),
    )


_SMALL = tuple(f"{kind}_hinders_56" for kind in _AT_56)

STUDY = Study(
    name="shortcut_kinds",
    title=Text("Is the identity best?", "恒等捷径是否最好？"),
    question=Text(
        "May a shortcut scale, gate, convolve or drop the stream, or is the identity best?",
        "捷径可否对主干进行缩放、门控、卷积或 dropout？还是恒等最好？",
    ),
    fairness=Text(
        "Where a grid is given, every arm's learning rate is the one of the grid with the lowest validation loss, "
        "found at a seed that does not count; all else is the same for every arm. At scale paper every arm takes the "
        "published protocol with the same warm-up.",
        "给出网格时，每个实验臂的学习率取网格中验证损失最低者，由不计入结果的种子选定；其余设置对所有实验臂相同。"
        "论文规模下所有实验臂均采用已发表的方案，并使用相同的预热。",
    ),
    claims=(
        *(_at_56_claim(kind) for kind in _AT_56),
        *(_at_110(kind, row) for kind, row in KINDS.items()),
    ),
    measures=(COURSE,),
    budgets={
        "quick": replace(degradation.QUICK, arms=_arms(56, _AT_56), minutes=1.8, decides=_SMALL),
        "laptop": replace(degradation.LAPTOP, arms=_arms(56, _AT_56), minutes=63.0, decides=_SMALL),
        "paper": replace(
            degradation.PAPER,
            arms=_arms(110, tuple(KINDS), _WARM_UP),
            minutes=60.0 * 24 * 90,
            decides=tuple(f"{kind.replace('-', '_')}_110" for kind in KINDS),
        ),
    },
    figures=(
        FigureSpec(
            kind="intervals",
            title=Text("Test error", "测试错误率"),
            y=Text("share of the test images", "测试图像占比"),
            quantity="test_error",
            published={
                "identity-110": _IDENTITY / 100,
                **{f"{kind}-110": row.published / 100 for kind, row in KINDS.items() if row.published is not None},
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
            "The paper's differences are of 110 layers; at 20 a 1×1 shortcut has been seen to be no worse than the "
            "identity. What quick and laptop ask at 56 layers is another claim, of the training loss.",
            "论文中的差别属于 110 层；在 20 层上，1×1 捷径并不逊于恒等捷径。quick 与 laptop 在 56 层上检验的是"
            "关于训练损失的另一断言。",
        ),
    ),
)
