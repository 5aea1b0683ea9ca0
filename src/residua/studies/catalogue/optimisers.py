"""Adam and RMSprop are named among the remedies for what depth breaks: are they one for a plain network?"""

from residua.studies import units
from residua.studies.claim import Claim, Term, Text
from residua.studies.design import Arm, Budget, FigureSpec, Study
from residua.studies.measures.course import COURSE

_KINDS = {
    "sgd": ("optimizer.kind=sgd",),
    "adam": ("optimizer.kind=adam",),
    "rmsprop": ("optimizer.kind=rmsprop", "optimizer.momentum=0", "optimizer.second_moment_decay=0.99"),
}
_NETWORKS = {"plain-20": "plain20", "plain-56": "plain56", "residual-56": "resnet56"}
_RATES = (0.001, 0.01, 0.1)
"""One grid for all three: what is usual for Adam and for SGD with momentum, and between."""
_ONE_OF_A_HUNDRED = Text(
    "One image of a hundred, as in the study of degradation.", "百分之一的图像，与退化问题研究相同。"
)


def arms(*names: str) -> tuple[Arm, ...]:
    """Returns arms by name: a network and an optimizer."""
    made = []
    for name in names:
        network, _, kind = name.rpartition("-")
        made.append(Arm(name=name, network=_NETWORKS[network], settings=_KINDS[kind], group=kind))
    return tuple(made)


ARMS = arms(*(f"{network}-{kind}" for network in _NETWORKS for kind in _KINDS))


def fewer_errors(name: str, says: Text, *, source: str, better: str, worse: str) -> Claim:
    """Returns the claim that one arm makes fewer errors on its training images than another."""
    return Claim(
        name=name,
        says=says,
        source=source,
        effect=(Term(worse, "train_error"), Term(better, "train_error", -1.0)),
        smallest=0.01,
        unit=units.TRAINING_IMAGES,
        why_smallest=_ONE_OF_A_HUNDRED,
    )


_NOTES = "the notes: Adam and RMSprop among the remedies for vanishing gradients"
_STILL = "He et al. 2015, §4.2 (SGD): the difficulty is not one of vanishing gradients; there tried with SGD alone"
CLAIMS = (
    fewer_errors(
        "adam_helps",
        Text(
            "Adam fits a plain network of 56 layers better than SGD does.",
            "对 56 层普通网络，Adam 的拟合优于 SGD。",
        ),
        source=_NOTES,
        better="plain-56-adam",
        worse="plain-56-sgd",
    ),
    fewer_errors(
        "rmsprop_helps",
        Text(
            "RMSprop fits a plain network of 56 layers better than SGD does.",
            "对 56 层普通网络，RMSprop 的拟合优于 SGD。",
        ),
        source=_NOTES,
        better="plain-56-rmsprop",
        worse="plain-56-sgd",
    ),
    fewer_errors(
        "degrades_with_adam",
        Text(
            "With Adam, too, a plain network of 56 layers fits worse than one of 20: it is no cure.",
            "即使使用 Adam，56 层普通网络的拟合仍差于 20 层：Adam 并非良药。",
        ),
        source=_STILL,
        better="plain-20-adam",
        worse="plain-56-adam",
    ),
    fewer_errors(
        "degrades_with_rmsprop",
        Text(
            "With RMSprop, too, a plain network of 56 layers fits worse than one of 20.",
            "即使使用 RMSprop，56 层普通网络的拟合仍差于 20 层。",
        ),
        source=_STILL,
        better="plain-20-rmsprop",
        worse="plain-56-rmsprop",
    ),
    fewer_errors(
        "shortcuts_do_more",
        Text(
            "Shortcuts with SGD fit 56 layers better than Adam does without shortcuts.",
            "对 56 层网络，捷径连接加 SGD 的拟合优于无捷径连接的 Adam。",
        ),
        source="He et al. 2015, §4.2, and the notes, which name both as remedies",
        better="residual-56-sgd",
        worse="plain-56-adam",
    ),
    Claim(
        name="indifferent_with_shortcuts",
        says=Text(
            "With shortcuts SGD and Adam fit 56 layers equally well.",
            "有捷径连接时，SGD 与 Adam 对 56 层网络的拟合同样好。",
        ),
        source="the other side of the notes' remedies: what is cured needs no second one",
        effect=(Term("residual-56-sgd", "train_error"), Term("residual-56-adam", "train_error", -1.0)),
        smallest=0.01,
        kind="within",
        unit=units.TRAINING_IMAGES,
        why_smallest=_ONE_OF_A_HUNDRED,
    ),
)

STUDY = Study(
    name="optimisers",
    title=Text("Optimizers", "优化器"),
    question=Text(
        "Do Adam and RMSprop cure what depth breaks in a plain network, as shortcuts do?",
        "Adam 与 RMSprop 能否像捷径连接那样，治愈深度给普通网络带来的问题？",
    ),
    fairness=Text(
        "Every arm's learning rate is the one of the same grid (0.001, 0.01, 0.1) with the lowest validation loss, "
        "found at a seed that does not count; a rate at the grid's edge is said. No arm has weight decay, which would "
        "be something else for Adam than for SGD. SGD has Nesterov's momentum 0.9, Adam 0.9 and 0.999, RMSprop no "
        "momentum and a smoothing of 0.99; schedule and batches are the same.",
        "每个实验臂的学习率取同一网格（0.001、0.01、0.1）中验证损失最低者，由不计入结果的种子选定；若取到网格边缘则予以注明。"
        "所有实验臂均无权重衰减，因其对 Adam 与对 SGD 含义不同。SGD 采用 0.9 的 Nesterov 动量，"
        "Adam 采用 0.9 与 0.999，RMSprop 无动量、平滑系数为 0.99；调度与批次均相同。",
    ),
    claims=CLAIMS,
    measures=(COURSE,),
    budgets={
        "quick": Budget(
            arms=ARMS,
            seeds=5,
            source="digits",
            epochs=6,
            settings=(
                "network.stem.width=8",
                "network.widths=8,16,32",
                "batch_size=64",
                "label_smoothing=0",
                "choose=last",
                "precision=float32",
                "optimizer.weight_decay=0",
            ),
            learning_rates=_RATES,
            minutes=2.8,
            decides=tuple(one.name for one in CLAIMS),
        ),
        "laptop": Budget(
            arms=arms("plain-20-adam", "plain-56-sgd", "plain-56-adam", "residual-56-sgd"),
            seeds=3,
            source="fashion-mnist",
            epochs=4,
            settings=(
                "network.stem.width=8",
                "network.widths=8,16,32",
                "data.image_size=16",
                "batch_size=128",
                "label_smoothing=0",
                "choose=last",
                "optimizer.weight_decay=0",
            ),
            learning_rates=_RATES,
            minutes=55.0,
            decides=("adam_helps", "degrades_with_adam", "shortcuts_do_more"),
        ),
        "paper": Budget(
            arms=ARMS,
            seeds=5,
            source="cifar10",
            recipe="he2015",
            epochs=164,
            settings=("validation_fraction=0.1", "optimizer.weight_decay=0"),
            learning_rates=_RATES,
            minutes=60.0 * 24 * 53,
            decides=tuple(one.name for one in CLAIMS),
        ),
    },
    figures=(
        FigureSpec(
            kind="intervals",
            title=Text("Training error at the end", "最终训练错误率"),
            y=Text("share of the training images", "训练图像占比"),
            quantity="train_error",
        ),
        FigureSpec(
            kind="course",
            title=Text("Training loss by epoch", "各轮次的训练损失"),
            x=Text("epoch", "轮次"),
            y=Text("training loss in nats", "训练损失（nat）"),
            quantity="train_loss",
            log_y=True,
        ),
    ),
    remarks=(
        Text(
            "Three rates, a factor of ten apart, are a coarse grid: a difference of a few points between optimizers "
            "may be one of rates.",
            "三个学习率相隔十倍，网格较粗：优化器之间几个百分点的差别可能只是学习率的差别。",
        ),
    ),
)
