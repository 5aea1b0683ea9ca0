"""Row 14: leaving residual functions out of a step at random saves time and regularises (Huang et al. 2016).

Notation: p is the probability that the last block is kept, p_L in the paper; it falls linearly from 1 at the image.
"""

from dataclasses import replace

from residua.studies import units
from residua.studies.catalogue import degradation
from residua.studies.claim import Claim, Term, Text
from residua.studies.design import Arm, Budget, FigureSpec, Study
from residua.studies.measures.outcome import OUTCOME
from residua.studies.measures.survival import SURVIVAL


def arms(network: str, *survivals: float) -> tuple[Arm, ...]:
    """Returns the network with all blocks kept, and with fewer."""
    return tuple(
        Arm(
            name=f"p = {p:g}",
            network=network,
            settings=() if p == 1 else (f"network.last_survival={p:g}",),
            group="stochastic depth",
            x=p,
        )
        for p in survivals
    )


def as_predicted(name: str, says: Text, *, quantity: str, smallest: float, published: Text, why: Text) -> Claim:
    """Returns the claim that a share at p = 0.5 is the predicted one."""
    return Claim(
        name=name,
        says=says,
        source="Huang et al. 2016, §3",
        effect=(Term("p = 0.5", quantity), Term("p = 0.5", f"predicted_{quantity}", -1.0)),
        smallest=smallest,
        kind="within",
        unit=units.SHARE,
        published=published,
        why_smallest=why,
    )


CLAIMS = (
    as_predicted(
        "expected_depth",
        Text(
            "At p = 0.5 a step runs (3L − 1)/4 of L blocks on average.",
            "p = 0.5 时，每一步平均运行 L 个块中的 (3L − 1)/4 个。",
        ),
        quantity="kept_share",
        smallest=0.02,
        published=Text("(3L − 1)/4: 40 of 54 blocks, 20 of 27", "(3L − 1)/4：54 块中的 40 块，27 块中的 20 块"),
        why=Text("Half a block of 27.", "27 块中的半块。"),
    ),
    as_predicted(
        "saves_time",
        Text(
            "At p = 0.5 a training step takes a quarter less time.",
            "p = 0.5 时，每个训练步的用时减少四分之一。",
        ),
        quantity="time_saved",
        smallest=0.05,
        published=Text("about 25 % of the training time", "约 25 % 的训练时间"),
        why=Text(
            "A fifth of what is promised; stem and head, which are always run, take less.",
            "所承诺节省量的五分之一；始终运行的首层与输出层所占更少。",
        ),
    ),
    Claim(
        name="regularises",
        says=Text(
            "At p = 0.5 test error exceeds training error by less than with all blocks kept.",
            "p = 0.5 时，测试错误率与训练错误率之差小于保留全部块时的差。",
        ),
        source="Huang et al. 2016, §3: training an ensemble of networks of many depths",
        effect=(Term("p = 1", "gap"), Term("p = 0.5", "gap", -1.0)),
        smallest=0.005,
        unit=units.IMAGES,
        why_smallest=Text("Half a point, as for the test error.", "半个百分点，与测试错误率相同。"),
    ),
    Claim(
        name="better",
        says=Text(
            "At p = 0.5 a network of 110 layers makes fewer errors on test images than with all blocks kept.",
            "p = 0.5 时，110 层网络在测试图像上的错误少于保留全部块时。",
        ),
        source="Huang et al. 2016, §4 (CIFAR-10, 110 layers, 500 epochs)",
        effect=(Term("p = 1", "test_error"), Term("p = 0.5", "test_error", -1.0)),
        smallest=0.005,
        unit=units.TEST_IMAGES,
        published=Text(
            "5.23 %, against He et al.'s 6.61 ± 0.16 % of the same network by their own protocol: 0.0138.",
            "5.23 %，而 He 等人以其自身方案训练同一网络为 6.61 ± 0.16 %：相差 0.0138。",
        ),
        why_smallest=Text(
            "Half a point: about three standard deviations of one network's error over its seeds.",
            "半个百分点：约为同一网络不同种子间错误率标准差的三倍。",
        ),
    ),
)

STUDY = Study(
    name="stochastic_depth",
    title=Text("Stochastic depth", "随机深度"),
    question=Text(
        "Does leaving blocks out of the training steps at random save the time it should, and does the network gain?",
        "训练时随机略去部分块，能否节省应有的时间？网络是否因此受益？",
    ),
    fairness=Text(
        "At scale quick nothing is trained: the steps are timed in turn with those of the same network that keeps all "
        "blocks. At scale laptop every arm's learning rate is the one of the same grid with the lowest validation "
        "loss, at a seed that does not count. At scale paper every arm takes the published protocol.",
        "快速规模不做训练：各步与保留全部块的同一网络轮流计时。笔记本规模下，每个实验臂的学习率取同一网格中验证损失最低者，"
        "由不计入结果的种子选定。论文规模下所有实验臂均采用已发表的方案。",
    ),
    claims=CLAIMS,
    measures=(SURVIVAL, OUTCOME),
    budgets={
        "quick": Budget(
            arms=arms("resnet56", 1.0, 0.8, 0.5),
            seeds=5,
            source="digits",
            settings=("network.stem.width=8", "network.widths=8,16,32"),
            minutes=0.4,
            decides=("expected_depth", "saves_time"),
        ),
        "laptop": replace(
            degradation.LAPTOP,
            arms=arms("resnet56", 1.0, 0.8, 0.5),
            decides=("expected_depth", "saves_time", "regularises"),
            minutes=55.0,
        ),
        "paper": Budget(
            arms=arms("resnet110", 1.0, 0.8, 0.5, 0.2),
            seeds=5,
            source="cifar10",
            recipe="he2015",
            epochs=500,
            settings=("validation_fraction=0.1", "choose=best", "optimizer.nesterov=true"),
            minutes=60.0 * 24 * 95,
            decides=("expected_depth", "saves_time", "regularises", "better"),
        ),
    },
    figures=(
        FigureSpec(
            kind="lines",
            title=Text("Blocks that are run", "实际运行的块"),
            x=Text("p, the last block's probability to be kept", "p，最后一块被保留的概率"),
            y=Text("share of the blocks run in a step", "每步运行的块所占比例"),
            quantity="kept_share",
            prediction="predicted_kept_share",
        ),
        FigureSpec(
            kind="lines",
            title=Text("Time that is saved", "节省的时间"),
            x=Text("p, the last block's probability to be kept", "p，最后一块被保留的概率"),
            y=Text("share of a training step", "占训练步用时的比例"),
            quantity="time_saved",
            prediction="predicted_time_saved",
        ),
        FigureSpec(
            kind="lines",
            title=Text("Error against survival", "错误率与保留概率"),
            x=Text("p, the last block's probability to be kept", "p，最后一块被保留的概率"),
            y=Text("error (test solid, training dashed)", "错误率（实线为测试，虚线为训练）"),
            quantity="test_error",
            second="train_error",
        ),
    ),
    remarks=(
        Text(
            "Saved time is of a step on this machine. Stem, head, every block's addition and what follows it are run "
            "in every step; for small images they take a larger share, and less is saved than the blocks that are "
            "left out.",
            "节省的时间是本机上训练步的结果。首层、输出层以及每个块的加法及其后的运算在每一步都会执行；"
            "图像越小，它们所占比例越大，节省的时间便少于被略去的块所占的比例。",
        ),
        Text(
            "Six epochs, as at scale laptop, are too few to claim anything of the test error: the paper trains 500.",
            "笔记本规模的六个轮次不足以对测试错误率下结论：论文训练了 500 个轮次。",
        ),
    ),
)
