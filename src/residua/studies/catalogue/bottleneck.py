"""Row 13: bottleneck or basic blocks? The lecture notes' open question, in three comparisons.

Same blocks a stage: (2, 2, 2, 2) and (3, 4, 6, 3), of which bottlenecks make 26 and 50 layers. Equal depth, where both
exist: 20, 38 and 56 layers of the 6n+2 and 9n+2 families. Equal multiply-adds: the same blocks again, with bottlenecks
narrow enough to cost what the basic blocks do.
"""

from dataclasses import dataclass, replace
from math import log
from typing import Literal

from residua.networks.spec import BlockKind, NetworkSpec, small_stem
from residua.studies import units
from residua.studies.catalogue import degradation
from residua.studies.claim import Claim, Term, Text
from residua.studies.design import Arm, Budget, FigureSpec, Study
from residua.studies.measures.course import COURSE
from residua.studies.measures.speed import COST, SPEED

NARROWER = {18: 0.875, 34: 0.945}
"""Width of bottlenecks over that of basic blocks, by the depth of these, for multiply-adds that agree within 2 %."""
STAGES = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}
_DEEP = {18: 26, 34: 50}
_HALF_A_POINT, _TWENTIETH, _TENTH = 0.005, log(1.05), log(1.1)


def network(block: BlockKind, blocks: tuple[int, ...], *, width: int, share: float = 1.0) -> NetworkSpec:
    """Returns a network for small images whose stages begin with ``width`` channels and double them; option B.

    ``share`` narrows the blocks and leaves the stem. In networks of three stages, as in the 9n+2 family, a
    bottleneck's stride is on the first 1×1 (He et al. 2016); in those of four on the 3×3, as in most weights for
    photographs.
    """
    return NetworkSpec(
        stem=small_stem(width),
        blocks=blocks,
        widths=tuple(round(width * 2**stage * share) for stage in range(len(blocks))),
        block=block,
        stride_on="first" if block == "bottleneck" and len(blocks) == 3 else "3x3",
        classes=10,
    )


def _of_stages(depth: int, width: int) -> tuple[Arm, ...]:
    """Returns basic blocks, as many bottlenecks, and as many bottlenecks for the same multiply-adds."""
    blocks, deep = STAGES[depth], _DEEP[depth]
    narrow = network("bottleneck", blocks, width=width, share=NARROWER[depth])
    return (
        Arm(name=f"basic-{depth}", network=network("basic", blocks, width=width), group="basic", x=float(depth)),
        Arm(
            name=f"bottleneck-{deep}",
            network=network("bottleneck", blocks, width=width),
            group="bottleneck",
            x=float(deep),
        ),
        Arm(name=f"bottleneck-{deep}-narrow", network=narrow, group="bottleneck, narrower", x=float(deep)),
    )


def _of_depth(depth: int, width: int) -> tuple[Arm, ...]:
    """Returns the 6n+2 and the 9n+2 network of one depth."""
    basic = network("basic", ((depth - 2) // 6,) * 3, width=width)
    bottleneck = network("bottleneck", ((depth - 2) // 9,) * 3, width=width)
    return (
        Arm(name=f"basic-{depth}-equal", network=basic, group="basic, three stages", x=float(depth)),
        Arm(name=f"bottleneck-{depth}-equal", network=bottleneck, group="bottleneck, three stages", x=float(depth)),
    )


@dataclass(frozen=True, kw_only=True)
class _Comparison:
    """Two arms, and what they have in common, as a sentence begins with it."""

    name: str
    basic: str
    bottleneck: str
    given: Text
    published: Text | None = None


_COMPARISONS = (
    *(
        _Comparison(
            name=f"same_blocks_{depth}",
            basic=f"basic-{depth}",
            bottleneck=f"bottleneck-{_DEEP[depth]}",
            given=Text(
                f"With the same blocks a stage, {blocks} ({depth} against {_DEEP[depth]} layers)",
                f"每阶段块数相同，均为 {blocks}（{depth} 层对 {_DEEP[depth]} 层）时",
            ),
            published=None
            if depth == 18
            else Text(
                "ImageNet top-1 error, 10-crop: 34 layers 24.52 %, 50 layers 22.85 % (He et al. 2015, Table 3).",
                "ImageNet top-1 错误率（10-crop）：34 层 24.52 %，50 层 22.85 %（He 等 2015，表 3）。",
            ),
        )
        for depth, blocks in STAGES.items()
    ),
    *(
        _Comparison(
            name=f"equal_depth_{depth}",
            basic=f"basic-{depth}-equal",
            bottleneck=f"bottleneck-{depth}-equal",
            given=Text(
                f"At an equal depth of {depth} layers, three stages of equal width",
                f"深度同为 {depth} 层、三个阶段宽度相同时",
            ),
        )
        for depth in (20, 38, 56)
    ),
    *(
        _Comparison(
            name=f"equal_multiply_adds_{depth}",
            basic=f"basic-{depth}",
            bottleneck=f"bottleneck-{_DEEP[depth]}-narrow",
            given=Text(
                f"For equal multiply-adds, {blocks} blocks a stage, bottlenecks {NARROWER[depth]:g} times as wide",
                f"乘加次数相同、每阶段块数为 {blocks}、瓶颈块宽度为基本块的 {NARROWER[depth]:g} 倍时",
            ),
        )
        for depth, blocks in STAGES.items()
    ),
)


def _claim(
    kind: Literal["error", "faster", "fits"], compared: _Comparison, *, says: Text, smallest: float, why: Text
) -> Claim:
    """Returns what is said of a comparison: by how much the quantity is lower for bottlenecks."""
    quantity = {"error": "test_error", "faster": "step_ratio", "fits": "train_loss"}[kind]
    return Claim(
        name=f"{compared.name}_{kind}",
        says=Text(f"{compared.given.en}, {says.en}", f"{compared.given.zh}，{says.zh}"),
        source="lecture notes S4: at 18 and 34 layers bottlenecks often do better, and faster",
        effect=(Term(compared.basic, quantity), Term(compared.bottleneck, quantity, -1.0)),
        smallest=smallest,
        transform="value" if kind == "error" else "log",
        learns=kind != "faster",
        unit=units.TEST_IMAGES if kind == "error" else units.RATIO,
        published=compared.published if kind == "error" else None,
        why_smallest=why,
    )


_CLAIMS = tuple(
    one
    for compared in _COMPARISONS
    for one in (
        _claim(
            "error",
            compared,
            says=Text(
                "bottlenecks make fewer errors on test images than basic blocks.",
                "瓶颈块在测试图像上的错误少于基本块。",
            ),
            smallest=_HALF_A_POINT,
            why=Text(
                "Half a point: about three standard deviations of one network's error over its seeds.",
                "半个百分点：约为同一网络不同种子间错误率标准差的三倍。",
            ),
        ),
        _claim(
            "faster",
            compared,
            says=Text(
                "a training step takes less time with bottlenecks than with basic blocks.",
                "使用瓶颈块的一步训练所需时间少于基本块。",
            ),
            smallest=_TWENTIETH,
            why=Text("A twentieth of the time: less nobody would notice.", "时间的二十分之一：更小的差别无人察觉。"),
        ),
        _claim(
            "fits",
            compared,
            says=Text(
                "bottlenecks reach a lower training loss in the same epochs than basic blocks.",
                "在相同轮次内，瓶颈块达到的训练损失低于基本块。",
            ),
            smallest=_TENTH,
            why=Text("A tenth of the loss.", "损失的十分之一。"),
        ),
    )
)


def _of(kinds: tuple[str, ...], *comparisons: str) -> tuple[str, ...]:
    return tuple(f"{comparison}_{kind}" for comparison in comparisons for kind in kinds)


def _without_sizes(budget: Budget) -> tuple[str, ...]:
    """Returns a budget's settings but those of the network, which the arms here say themselves."""
    return tuple(one for one in budget.settings if not one.startswith("network."))


_SMALLEST = ("same_blocks_18", "equal_depth_20", "equal_multiply_adds_18")

STUDY = Study(
    name="bottleneck",
    title=Text("Bottleneck or basic", "瓶颈块还是基本块"),
    question=Text(
        "Are bottlenecks better than basic blocks in networks of 18 and 34 layers, where everyone uses basic ones, and "
        "are they faster?",
        "在人人都用基本块的 18 层与 34 层网络中，瓶颈块是否更好、更快？",
    ),
    fairness=Text(
        "Every arm has option B shortcuts. Where a grid is given, every arm's learning rate is the one of the grid "
        "with the lowest validation loss, found at a seed that does not count; all else is the same for every arm. At "
        "scale paper every arm takes the published protocol. Times are compared as multiples of a resnet20's, which is "
        "timed in turn with the network.",
        "所有实验臂均用 B 类捷径。给出网格时，每个实验臂的学习率取网格中验证损失最低者，由不计入结果的种子选定；"
        "其余设置对所有实验臂相同。论文规模下所有实验臂均采用已发表的方案。耗时以交替计时的 resnet20 的倍数来比较。",
    ),
    claims=_CLAIMS,
    measures=(COURSE, COST, SPEED),
    budgets={
        "quick": replace(
            degradation.QUICK,
            arms=(*_of_stages(18, 8), *_of_depth(20, 8)),
            minutes=1.4,
            settings=_without_sizes(degradation.QUICK),
            decides=_of(("faster", "fits"), *_SMALLEST),
        ),
        "laptop": replace(
            degradation.LAPTOP,
            arms=(*_of_stages(18, 8), *_of_stages(34, 8), *_of_depth(20, 8)),
            settings=_without_sizes(degradation.LAPTOP),
            minutes=63.0,
            decides=_of(("error", "faster", "fits"), *_SMALLEST, "same_blocks_34", "equal_multiply_adds_34"),
        ),
        "paper": Budget(
            arms=(
                *_of_stages(18, 64),
                *_of_stages(34, 64),
                *(arm for depth in (20, 38, 56) for arm in _of_depth(depth, 16)),
            ),
            seeds=5,
            source="cifar10",
            recipe="he2015",
            epochs=164,
            minutes=60.0 * 24 * 250,
            decides=_of(("error", "faster", "fits"), *(one.name for one in _COMPARISONS)),
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
            title=Text("Time of a training step", "一步训练的耗时"),
            y=Text("multiple of a resnet20's", "相对 resnet20 的倍数"),
            quantity="step_ratio",
        ),
        FigureSpec(
            kind="intervals",
            title=Text("Time of a forward pass", "一次前向计算的耗时"),
            y=Text("multiple of a resnet20's", "相对 resnet20 的倍数"),
            quantity="forward_ratio",
        ),
        FigureSpec(
            kind="intervals",
            title=Text("Multiply-adds", "乘加次数"),
            y=Text("of the forward pass of one image", "每张图像的前向计算"),
            quantity="multiply_adds",
        ),
    ),
    remarks=(
        Text(
            "Quick and laptop train networks an eighth as wide as those for photographs (the three-stage ones half as "
            "wide as published), whose times are ruled by other things than multiply-adds; paper has the widths of the "
            "notes, on images of 32 × 32 pixels.",
            "quick 与 laptop 规模的四阶段网络宽度为原网络的八分之一（三阶段网络为一半），其耗时主要不由乘加次数决定；"
            "paper 规模采用笔记中的宽度，图像为 32 × 32 像素。",
        ),
        Text(
            "A verdict holds for its own comparison: bottlenecks with as many blocks have more layers and a wider "
            "stream, at an equal depth they have a third fewer blocks.",
            "每条结论只对其自身的比较成立：块数相同时瓶颈网络层数更多、主干更宽；深度相同时其块数少三分之一。",
        ),
    ),
)
