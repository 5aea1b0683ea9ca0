"""A study of one's own: is a network with shortcuts better than one without, at eight layers?

Run it with `residua study examples/my_study.py`, or this file as a program.
"""

import residua
from residua.studies.claim import Claim, Term, Text
from residua.studies.design import Arm, Budget, Study
from residua.studies.measures.course import COURSE

CLAIM = Claim(
    name="better",
    says=Text("Shortcuts lower the test error at eight layers, too.", "八层时捷径连接也能降低测试错误率。"),
    source="my own guess",
    effect=(Term("plain", "test_error"), Term("residual", "test_error", -1.0)),
    smallest=0.01,
    why_smallest=Text("Four of the 360 test images.", "360 张测试图像中的四张。"),
)
STUDY = Study(
    name="my_study",
    title=Text("Eight layers", "八层"),
    question=Text("Do shortcuts help at eight layers?", "八层时捷径连接有用吗？"),
    fairness=Text("Every arm takes the same learning rate.", "所有实验臂采用相同的学习率。"),
    claims=(CLAIM,),
    measures=(COURSE,),
    budgets={
        "quick": Budget(
            arms=(Arm(name="plain", network="plain8"), Arm(name="residual", network="resnet8")),
            seeds=3,
            epochs=2,
            settings=("batch_size=128", "choose=last"),
            minutes=0.3,
            decides=("better",),
        )
    },
    figures=(),
)

if __name__ == "__main__":
    print(residua.study(STUDY).says)
