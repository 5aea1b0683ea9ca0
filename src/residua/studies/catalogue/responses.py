"""Row 16: residual functions respond less than the layers of a plain network (He et al. 2015, Fig. 7)."""

from math import log

from residua.studies import units
from residua.studies.catalogue import degradation
from residua.studies.claim import Claim, Term, Text
from residua.studies.design import FigureSpec, Study
from residua.studies.measures.responses import RESPONSES

_TENTH = Text("A tenth of the response.", "响应的十分之一。")

CLAIMS = (
    Claim(
        name="smaller",
        says=Text(
            "The layers of a residual network of 56 layers respond less than those of a plain one.",
            "56 层残差网络各层的响应小于同深度普通网络。",
        ),
        source="He et al. 2015, §4.2 and Fig. 7",
        effect=(Term("plain-56", "mean_response"), Term("residual-56", "mean_response", -1.0)),
        smallest=log(1.1),
        transform="log",
        unit=units.NATS,
        published=Text("Fig. 7 draws the curves and gives no table.", "图 7 只有曲线而无表格。"),
        why_smallest=_TENTH,
    ),
    Claim(
        name="smaller_with_depth",
        says=Text(
            "The layers of a residual network of 56 layers respond less than those of one of 20.",
            "56 层残差网络各层的响应小于 20 层残差网络。",
        ),
        source="He et al. 2015, §4.2 and Fig. 7",
        effect=(Term("residual-20", "mean_response"), Term("residual-56", "mean_response", -1.0)),
        smallest=log(1.1),
        transform="log",
        unit=units.NATS,
        published=Text("Fig. 7 draws the curves and gives no table.", "图 7 只有曲线而无表格。"),
        why_smallest=_TENTH,
    ),
)

STUDY = Study(
    name="responses",
    title=Text("Layer responses", "各层响应"),
    question=Text(
        "Are residual functions closer to zero than the layers of a plain network, as the idea of them says?",
        "残差函数是否如其设想那样，比普通网络的各层更接近于零？",
    ),
    fairness=Text(
        "The trials are those of the study of degradation: every arm takes the published protocol.",
        "试验与退化问题研究相同：所有实验臂均采用已发表的方案。",
    ),
    claims=CLAIMS,
    measures=(RESPONSES,),
    budgets={"paper": degradation.deciding(degradation.PAPER, tuple(one.name for one in CLAIMS))},
    figures=(
        FigureSpec(
            kind="course",
            title=Text("Response by layer", "各层的响应"),
            x=Text("layer", "层"),
            y=Text("standard deviation after the norm", "归一化之后的标准差"),
            quantity="response",
        ),
    ),
    remarks=(
        Text(
            "A long run only: after six epochs of digits no difference was seen, and smaller scales decide nothing.",
            "仅适用于长时间训练：在数字图像上训练六个轮次后未见差别，因此较小规模不作判定。",
        ),
    ),
)
