"""The words of a study's page, in the languages of the reports, and numbers as its sentences write them."""

from dataclasses import dataclass
from math import exp, floor, isfinite, log10
from typing import Literal, final, get_args

from residua.errors import BadSetting
from residua.report.numbers import measure
from residua.studies.claim import Claim, Text, Verdict
from residua.studies.statistics import ratio

Language = Literal["en", "zh"]
LANGUAGES: tuple[Language, ...] = get_args(Language)

WORDS = {
    "study": Text("study", "研究"),
    "claims": Text("The claims", "论断"),
    "figures": Text("What was measured", "测得的结果"),
    "arms": Text("The arms", "各对照组"),
    "arm": Text("arm", "对照组"),
    "fairness": Text("What makes it fair", "公平性"),
    "remarks": Text("What the verdict does not say", "结论没有说明的"),
    "failures": Text("Trials that failed", "失败的试验"),
    "again": Text("To run it again", "重新运行"),
    "source": Text("source", "出处"),
    "published": Text("published", "原文数值"),
    "unpublished": Text("no number in the source", "原文未给数值"),
    "ours": Text("measured here", "本次测得"),
    "verdict": Text("verdict", "结论"),
    "line": Text("the smallest effect that would matter, fixed beforehand", "事先定下的、有意义的最小效应"),
    "seeds": Text("seeds", "种子数"),
    "mean": Text("mean", "均值"),
    "interval": Text("95 % interval", "95 % 区间"),
    "predicted": Text("predicted", "理论值"),
    "network": Text("network", "网络"),
    "recipe": Text("recipe", "训练方案"),
    "rate": Text("learning rate", "学习率"),
    "precision": Text("precision", "精度"),
    "converged": Text("converged", "已收敛"),
    "seconds": Text("time", "用时"),
    "scale": Text("scale", "规模"),
    "yes": Text("yes", "是"),
    "no": Text("not converged", "未收敛"),
    "epochs": Text("epochs", "轮"),
    "shared": Text("All arms", "各组共用"),
    "chosen": Text("Each arm’s learning rate was chosen from", "各组学习率选自"),
    "smallest": Text("the grid’s smallest", "网格中最小"),
    "largest": Text("the grid’s largest", "网格中最大"),
    "at the edge": Text(
        "A better learning rate may lie beyond the edge of the grid that was chosen",
        "以下各组选中网格边缘的学习率，更好的值可能在网格之外",
    ),
    "effect": Text("the effect", "效应"),
    "zone": Text(
        "Each dot is a seed; the bar is the 95 % interval of the mean. Shaded: where the whole bar must lie to "
        "support the claim.",
        "每点一个种子；横条为均值的 95 % 区间。阴影：横条须完全落入其中，论断才获支持。",
    ),
    "edge": Text(
        "Dashed: the smallest effect that would matter, fixed before anything was run.",
        "虚线：运行之前就定下的、有意义的最小效应。",
    ),
    "each seed": Text("a seed; bar: 95 % interval of the mean", "每个种子；横条：均值的 95 % 区间"),
    "each seed in logarithms": Text(
        "a seed; bar: 95 % interval of the geometric mean", "每个种子；横条：几何均值的 95 % 区间"
    ),
    "others": Text("other processes are at the rest", "其余由其他进程运行"),
    "running": Text("still running: this page redraws itself", "仍在运行：本页会自动刷新"),
    "trials": Text("trials", "次试验"),
    "index": Text("The claims, put to the test", "论断的检验"),
    "later": Text("Not decided here", "此处未判定"),
    "budget": Text("at this budget", "在此预算下"),
    "tables": Text("The numbers as files", "数据文件"),
    "machine": Text("machine", "机器"),
    "median": Text("median and range over the seeds", "中位数与各种子的范围"),
    "complete": Text(
        "This page is complete: it loads nothing and runs no script.", "本页自成一体：不加载任何资源，也不运行脚本。"
    ),
}


_QUANTITIES = {
    "train_loss": Text("training loss", "训练损失"),
    "train_error": Text("training error", "训练误差"),
    "test_loss": Text("test loss", "测试损失"),
    "test_error": Text("test error", "测试误差"),
    "validation_loss": Text("validation loss", "验证损失"),
    "validation_error": Text("validation error", "验证误差"),
}


@final
@dataclass(frozen=True)
class Mark:
    """How a verdict is shown: a sign that can be told without colour, and a word."""

    kind: str
    """Of its style: ``supported``, ``contradicted``, ``inconclusive``, ``waiting``."""
    sign: str
    word: Text


MARKS = (
    Mark("supported", "✓", Text("supported", "支持")),
    Mark("contradicted", "✕", Text("contradicted", "不支持")),
    Mark("inconclusive", "?", Text("inconclusive", "尚无定论")),
    Mark("waiting", "…", Text("not decided", "未判定")),
)


def language_named(name: str) -> Language:
    """Returns the language of that name.

    Raises:
        BadSetting: If there is none.
    """
    for language in LANGUAGES:
        if language == name:
            return language
    raise BadSetting(f"no language {name!r}; allowed: {', '.join(LANGUAGES)} (--language zh)")


def said(text: Text, language: Language) -> str:
    """Returns the sentence in that language."""
    return text.en if language == "en" else text.zh


def word(name: str, language: Language) -> str:
    """Returns one of the page's own words in that language."""
    return said(WORDS[name], language)


def mark_of(verdict: Verdict | None, *, is_complete: bool = True) -> Mark:
    """Returns how a verdict is shown; where trials are left to run, one without numbers is waited for."""
    if verdict is not None and verdict.answer != "not run":
        return next(mark for mark in MARKS if mark.kind == verdict.answer)
    if verdict is not None and verdict.needs is not None:
        return Mark("waiting", "→", Text(f"needs {verdict.needs}", f"需要 {verdict.needs}"))
    return Mark("waiting", "–", Text("not run", "未运行")) if is_complete else MARKS[-1]


def ours(claim: Claim, verdict: Verdict | None, language: Language) -> str:
    """Writes the mean effect with its unit, ``0.42 blocks``, or of logarithms as a factor; "–" is nothing."""
    if verdict is None or verdict.effect is None:
        return "–"
    if claim.transform == "log":
        return factor(verdict.effect)
    return f"{as_fine(verdict.effect, _grain(claim, verdict))}{_unit(claim, language)}"


def spread(claim: Claim, verdict: Verdict | None, language: Language) -> str:
    """Writes the interval and the number of seeds: ``0.31 to 0.53, n = 3``; nothing where nothing was measured."""
    if verdict is None or verdict.effect is None:
        return ""
    grain, until = _grain(claim, verdict), " to " if language == "en" else " 至 "
    if claim.transform == "log":
        low = "×0" if verdict.low is None else factor(verdict.low)
        high = "×∞" if verdict.high is None else factor(verdict.high)
    else:
        low = "−∞" if verdict.low is None else as_fine(verdict.low, grain)
        high = "∞" if verdict.high is None else as_fine(verdict.high, grain)
    known = verdict.low is not None or verdict.high is not None
    return f"{f'{low}{until}{high}, ' if known else ''}n = {verdict.n}"


def as_fine(value: float, width: float | None) -> str:
    """Writes a number with the decimals that an interval of that width leaves it: two digits of the width."""
    if not width:
        return measure(value)
    decimals = max(0, 1 - floor(log10(width)))
    if decimals > 6 or abs(value) >= 1e6:
        return measure(value)
    rounded = round(value, decimals) + 0.0  # no minus before zero
    return f"{rounded:,.{decimals}f}".replace("-", "−")


def plain(value: float) -> str:
    """Writes a number that was chosen as it was chosen: ``0.1``, not ``0.100``; ln 10 as ``2.3``."""
    return f"{value:.3g}".replace("-", "−")


def factor(logarithm: float) -> str:
    """Writes the factor that a natural logarithm stands for: ``×29.1``, ``×2.8e31``."""
    found = ratio(logarithm)
    return f"×{measure(found)}" if isfinite(found) else "×∞"


def _grain(claim: Claim, verdict: Verdict) -> float | None:
    """Returns the interval's width; ten times an end's distance from an edge where that is less, to tell them apart."""
    if verdict.low is None or verdict.high is None:
        return None
    edges = (claim.smallest,) if claim.kind == "above" else (-claim.smallest, claim.smallest)
    distances = (10 * abs(end - edge) for end in (verdict.low, verdict.high) for edge in edges if end != edge)
    return min(verdict.high - verdict.low, *distances)


def _unit(claim: Claim, language: Language) -> str:
    """Writes the unit as it stands behind a number."""
    unit = said(claim.unit, language)
    if not unit:
        return ""
    return f" {unit}" if language == "en" else f"（{unit}）"


def smallest(claim: Claim, language: Language) -> str:
    """Writes where the effect must lie: ``> 0.05 blocks``, ``−0.1 … 0.1``, ``> ×1.1``."""
    if claim.transform == "log":
        above = f"×{plain(exp(claim.smallest))}"
        return f"> {above}" if claim.kind == "above" else f"×{plain(exp(-claim.smallest))} … {above}"
    bound, unit = plain(claim.smallest), _unit(claim, language)
    return f"> {bound}{unit}" if claim.kind == "above" else f"−{bound} … {bound}{unit}"


def quantity_said(quantity: str, language: Language) -> str:
    """Returns a quantity as a legend names it; one that has no words of its own by its name."""
    return said(_QUANTITIES[quantity], language) if quantity in _QUANTITIES else quantity.replace("_", " ")
