"""Row 7: a residual network survives the loss of a block, a plain one does not (Veit et al. 2016, Fig. 3)."""

from dataclasses import replace

from residua.studies import units
from residua.studies.catalogue import degradation
from residua.studies.claim import Claim, Term, Text
from residua.studies.design import Budget, FigureSpec, Scale, Study
from residua.studies.measures.lesion import LESION

_DECIDES = ("mild", "spared", "chance", "transitions", "depth")
_SOURCE = "Veit et al. 2016, §4.1 and Fig. 3"


def _budget(scale: Scale) -> Budget:
    """Returns the budget of the degradation study without its deep plain arm, which learns too little to lose."""
    whole = degradation.STUDY.budgets[scale]
    arms = tuple(arm for arm in whole.arms if arm.name != "plain-56")
    return replace(whole, arms=arms, decides=_DECIDES)


STUDY = Study(
    name="lesion",
    title=Text("Lesions", "损毁实验"),
    question=Text(
        "What does a trained network lose when one of its blocks is removed?",
        "从训练好的网络中移除一个残差块，会损失什么？",
    ),
    fairness=degradation.STUDY.fairness,
    claims=(
        Claim(
            name="mild",
            says=Text(
                "A residual network of 56 layers hardly notices that a block is missing.",
                "56 层的残差网络几乎察觉不到少了一个块。",
            ),
            source=_SOURCE,
            effect=(Term("residual-56", "lesion_rise"),),
            smallest=0.05,
            kind="within",
            unit=units.TEST_IMAGES,
            published=Text(
                "Fig. 3: removing one block, nearly any of the 54, leaves the error as it was (CIFAR-10, 110 layers)",
                "图 3：54 个块中几乎任意一个单独被移除，错误率均与原来相当（CIFAR-10，110 层）",
            ),
            why_smallest=Text(
                "A block of 27 that did its share alone would cost more than one image of 27.",
                "若 27 个块各自独立承担一份，缺一块的代价将超过每 27 张图像中的一张。",
            ),
        ),
        Claim(
            name="spared",
            says=Text(
                "Of two networks of 20 layers the one with shortcuts is spared most of what a missing block costs the "
                "other.",
                "同为 20 层，有捷径的网络缺一个块的损失远小于没有捷径的网络。",
            ),
            source=_SOURCE,
            effect=(Term("plain-20", "lesion_rise"), Term("residual-20", "lesion_rise", -1.0)),
            smallest=0.25,
            unit=units.TEST_IMAGES,
            published=Text(
                "Fig. 3: about 0.8, between networks of 15 and 110 layers (CIFAR-10)",
                "图 3：约 0.8，两者分别为 15 层与 110 层（CIFAR-10）",
            ),
            why_smallest=Text(
                "A quarter of the images: a network that loses less can still be used.",
                "四分之一的图像：损失更小的网络尚可使用。",
            ),
        ),
        Claim(
            name="chance",
            says=Text(
                "A plain network that lacks a layer pair is no better than chance.",
                "缺少一对层的普通网络不比瞎猜好。",
            ),
            source=_SOURCE,
            effect=(Term("plain-20", "lesion_error"), Term("plain-20", "chance", -1.0)),
            smallest=0.1,
            kind="within",
            unit=units.TEST_IMAGES,
            published=Text(
                "Fig. 3: about 90 % error after any layer of a 15-layer VGG is removed (CIFAR-10)",
                "图 3：移除 15 层 VGG 的任一层后错误率约为 90 %（CIFAR-10）",
            ),
            why_smallest=Text(
                "One class of ten more than guessing would already be something that is left.",
                "比瞎猜多认出十类中的一类，便算仍有所保留。",
            ),
        ),
        Claim(
            name="transitions",
            says=Text(
                "The blocks of a residual network that change the shape are the exception: without one of them it errs "
                "more than without another.",
                "残差网络中改变形状的块是例外：移除它们比移除其他块造成更多错误。",
            ),
            source=_SOURCE,
            effect=(Term("residual-56", "transition_rise"),),
            smallest=0.05,
            unit=units.TEST_IMAGES,
            published=Text(
                "Fig. 3: two peaks, at the downsampling blocks, and no other of their height",
                "图 3：两处峰值位于下采样块，其余各处均无此高度",
            ),
            why_smallest=Text("As for the first claim.", "同第一条论断。"),
        ),
        Claim(
            name="depth",
            says=Text(
                "A block of a residual network of 20 layers is missed more than one of 56 layers.",
                "20 层残差网络缺一个块，比 56 层残差网络缺一个块损失更大。",
            ),
            source="Veit et al. 2016, §4: one block is on half of the 2ⁿ paths, however many these are",
            effect=(Term("residual-20", "lesion_rise"), Term("residual-56", "lesion_rise", -1.0)),
            smallest=0.05,
            unit=units.TEST_IMAGES,
            why_smallest=Text("As for the first claim.", "同第一条论断。"),
        ),
    ),
    measures=(LESION,),
    budgets={scale: _budget(scale) for scale in degradation.STUDY.budgets},
    figures=(
        FigureSpec(
            kind="course",
            title=Text(
                "Error without one block (Veit et al. 2016, Fig. 3)", "缺少一个块时的错误率（Veit 等 2016，图 3）"
            ),
            x=Text("block that is removed, from the input", "被移除的块（从输入数起）"),
            y=Text("test error", "测试错误率"),
            quantity="lesion_error",
            second="whole_error",
        ),
        FigureSpec(
            kind="course",
            title=Text(
                "Error without several blocks (Veit et al. 2016, Fig. 5)", "缺少多个块时的错误率（Veit 等 2016，图 5）"
            ),
            x=Text("blocks removed, or pairs exchanged", "移除的块数，或互换的对数"),
            y=Text("test error", "测试错误率"),
            quantity="several_error",
            second="swapped_error",
        ),
        FigureSpec(
            kind="intervals",
            title=Text("Median error without one block", "缺少一个块时错误率的中位数"),
            y=Text("test error", "测试错误率"),
            quantity="lesion_error",
            second="whole_error",
        ),
    ),
    remarks=(
        Text(
            "The plain network has 20 layers and the residual one 56: a plain one of 56 learns too little to lose. "
            "A block is one part of 9 in the one and of 27 in the other; residual-20 has the plain one's size.",
            "普通网络为 20 层而残差网络为 56 层：56 层的普通网络学到的太少，无从损失。块在前者中占九分之一，在后者中占"
            "二十七分之一；并列的 residual-20 与普通网络大小相同。",
        ),
        Text(
            "Norms keep the statistics of the whole network; what is lost with statistics taken anew is "
            "`recalibrated_rise` in the table.",
            "归一化沿用完整网络的统计量；重新统计后的损失见表中的 `recalibrated_rise`。",
        ),
        Text(
            "256 test images are asked, the same for every block of a trial.",
            "每次试验的所有块都用相同的 256 张测试图像。",
        ),
    ),
)
