"""Row 17: why a deep plain network learns worse; the causes that textbooks name, each with a verdict of its own."""

from math import log

from residua.studies import units
from residua.studies.catalogue import degradation
from residua.studies.claim import Claim, Term, Text
from residua.studies.design import FigureSpec, Study
from residua.studies.measures.course import COURSE
from residua.studies.measures.health import GRADIENT_HEALTH, KEPT_INFORMATION

_DECIDES = ("vanishing", "exploding", "overfitting", "forgetting")
_TENFOLD = log(10)

STUDY = Study(
    name="causes",
    title=Text("Why degradation", "退化的原因"),
    question=Text(
        "Deep plain networks learn worse: because gradients vanish or explode, because they overfit, or because they "
        "lose what the input held?",
        "深的普通网络学得更差：是因为梯度消失或爆炸、过拟合，还是丢失了输入中的信息？",
    ),
    fairness=degradation.STUDY.fairness,
    claims=(
        Claim(
            name="vanishing",
            says=Text(
                "Before the first step the gradient of a plain network of 56 layers vanishes towards its input.",
                "训练开始前，56 层普通网络的梯度在传向输入的途中消失。",
            ),
            source="lecture notes S1 and S3; He et al. 2015, §4.1 doubt it",
            effect=(Term("plain-56", "gradient_growth", -1.0),),
            smallest=_TENFOLD,
            learns=False,
            unit=units.GRADIENT_NORM,
            published=Text(
                "He et al. 2015, §4.1: with batch norm neither forward nor backward signals vanish.",
                "He 等 2015，§4.1：使用批归一化后，前向与反向信号均不消失。",
            ),
            why_smallest=Text("A norm ten times smaller still learns.", "范数缩小十倍仍能学习。"),
        ),
        Claim(
            name="exploding",
            says=Text(
                "Before the first step the gradient grows towards the input of a plain network of 56 layers more than "
                "ten times as much as in its residual twin.",
                "训练开始前，56 层普通网络的梯度在传向输入途中的增长超过其残差孪生网络的十倍。",
            ),
            source="lecture notes S1; Yang et al. 2019: batch norm makes plain gradients explode",
            effect=(Term("plain-56", "gradient_growth"), Term("residual-56", "gradient_growth", -1.0)),
            smallest=_TENFOLD,
            learns=False,
            unit=units.GRADIENT_NORM,
            published=Text(
                "(π/(π − 1))^(L/2) of L plain layers with batch norm: 9 nats over 48 layers.",
                "L 个带批归一化的普通层为 (π/(π − 1))^(L/2)：48 层约 9 nats。",
            ),
            why_smallest=Text(
                "A tenfold difference is within what one rate can serve.", "十倍以内的差别同一学习率尚可应付。"
            ),
        ),
        Claim(
            name="overfitting",
            says=Text(
                "The deeper plain network is worse because it overfits: its test error exceeds its training error by "
                "more than the shallower one's does.",
                "更深的普通网络更差是因为过拟合：其测试与训练错误率之差大于较浅网络。",
            ),
            source="lecture notes S3; S4 and He et al. 2015, §1 deny it",
            effect=(Term("plain-56", "gap"), Term("plain-20", "gap", -1.0)),
            smallest=0.01,
            unit=units.IMAGES,
            published=Text(
                "He et al. 2015, §1: not caused by overfitting, for the training error is higher as well.",
                "He 等 2015，§1：并非过拟合所致，因为训练错误率同样更高。",
            ),
            why_smallest=Text(
                "One point: the test error of one seed moves as much.", "一个百分点：单个种子的测试错误率波动即有此量。"
            ),
        ),
        Claim(
            name="forgetting",
            says=Text(
                "What the head of the trained plain network of 56 layers reads holds less of the input than in its "
                "residual twin.",
                "训练后的 56 层普通网络的分类头所读到的输入信息少于其残差孪生网络。",
            ),
            source="lecture notes S3: low-level features are lost on the way",
            effect=(Term("residual-56", "input_kept"), Term("plain-56", "input_kept", -1.0)),
            smallest=0.05,
            unit=Text("R² of a ridge read-out", "岭回归读出的 R²"),
            why_smallest=Text("A twentieth of the input's variance.", "输入方差的二十分之一。"),
        ),
    ),
    measures=(COURSE, GRADIENT_HEALTH, KEPT_INFORMATION),
    budgets={scale: degradation.deciding(budget, _DECIDES) for scale, budget in degradation.STUDY.budgets.items()},
    figures=(
        FigureSpec(
            kind="intervals",
            title=Text("Growth of the gradient's norm before the first step", "训练前梯度范数的增长"),
            y=Text("ln(first layer / last layer)", "ln(首层 / 末层)"),
            quantity="gradient_growth",
            prediction="predicted_growth",
        ),
        FigureSpec(
            kind="course",
            title=Text("What a linear read-out finds of the input", "线性读出所能恢复的输入"),
            x=Text("stage (0: the input itself)", "阶段（0 为输入本身）"),
            y=Text("held-out R²", "留出 R²"),
            quantity="input_kept",
        ),
        FigureSpec(
            kind="intervals",
            title=Text("Test error − training error", "测试错误率 − 训练错误率"),
            y=Text("share of the images", "图像占比"),
            quantity="gap",
        ),
    ),
    remarks=(
        Text(
            "A cause is tested by what it would leave behind; that something is there does not show that it does the "
            "harm.",
            "这里检验的是各原因应留下的痕迹；痕迹存在并不证明它就是害处的来源。",
        ),
    ),
)
