"""Row 9: the blocks of a stage refine one estimate (Greff et al. 2017)."""

from dataclasses import replace

from residua.studies import units
from residua.studies.catalogue import degradation
from residua.studies.claim import Claim, Term, Text
from residua.studies.design import Budget, FigureSpec, Scale, Study
from residua.studies.measures.estimation import ESTIMATION

_DECIDES = ("rises", "begins")
_SOURCE = "Greff et al. 2017, §4"


def _budget(scale: Scale) -> Budget:
    """Returns the budget of the degradation study without its deep plain arm, which learns too little."""
    whole = degradation.STUDY.budgets[scale]
    return replace(whole, arms=tuple(arm for arm in whole.arms if arm.name != "plain-56"), decides=_DECIDES)


STUDY = Study(
    name="estimation",
    title=Text("Iterative estimation", "迭代估计"),
    question=Text(
        "Do the blocks of a stage refine one estimate, or does each compute something new?",
        "同一阶段的各个块是在逐步改进同一个估计，还是各自计算新的东西？",
    ),
    fairness=degradation.STUDY.fairness,
    claims=(
        Claim(
            name="rises",
            says=Text(
                "Within a stage of a residual network every block brings the features nearer to those at its end.",
                "在残差网络的一个阶段内，每个块都使特征更接近阶段末尾的特征。",
            ),
            source=_SOURCE,
            effect=(Term("residual-56", "largest_fall"),),
            smallest=0.05,
            kind="within",
            unit=units.COSINE,
            published=Text(
                "No cosine: the estimation error of a stage's blocks has mean zero and a deviation that falls",
                "未给出余弦：各块的估计误差均值为零，其标准差逐块下降",
            ),
            why_smallest=Text(
                "The cosine of 64 images moves by less between draws of them.",
                "不同的 64 张图像之间余弦的波动小于此值。",
            ),
        ),
        Claim(
            name="begins",
            says=Text(
                "A stage's first block already points to the stage's end; a plain stage's first layer does not.",
                "残差阶段的第一个块已指向阶段末尾，而普通阶段的第一层则不然。",
            ),
            source=_SOURCE,
            effect=(Term("residual-20", "first_cosine"), Term("plain-20", "first_cosine", -1.0)),
            smallest=0.3,
            unit=units.COSINE,
            why_smallest=Text(
                "Features behind a ReLU have a positive mean, and so a cosine above 0 whatever they hold.",
                "经过 ReLU 的特征均值为正，因此无论内容如何余弦都会高于 0。",
            ),
        ),
    ),
    measures=(ESTIMATION,),
    budgets={scale: _budget(scale) for scale in degradation.STUDY.budgets},
    figures=(
        FigureSpec(
            kind="course",
            title=Text("Cosine of each block's output to its stage's end", "各块输出与所在阶段末尾的余弦"),
            x=Text("block (plain: layer) from the input; three stages", "块（普通网络为层），从输入数起；共三个阶段"),
            y=Text("cosine", "余弦"),
            quantity="cosine",
        ),
        FigureSpec(
            kind="intervals",
            title=Text("Cosine of a stage's first block to its end", "阶段首块与末尾的余弦"),
            y=Text("cosine, mean over the stages", "余弦（各阶段均值）"),
            quantity="first_cosine",
        ),
    ),
    remarks=(
        Text(
            "A shortcut alone makes consecutive outputs alike: what is added to has the same direction as before. That "
            "the cosine rises is what iterative estimation predicts, and no proof that it is an estimate.",
            "捷径本身就使相邻输出相似：相加之前的方向依然保留。余弦上升是迭代估计所预言的，但并不证明它就是估计。",
        ),
        Text(
            "The sums behind the additions are compared, before any activation; in the plain network its layers' "
            "outputs before their norms.",
            "比较的是加法之后、激活之前的和；普通网络则比较归一化之前各层的输出。",
        ),
    ),
)
