"""Verdicts in words, in both languages: what was measured, how sure it is, and what stands in the source beside it."""

from collections.abc import Collection

from residua.studies.claim import Claim, Term, Text, Verdict
from residua.studies.statistics import ratio

_ANSWERS = {
    "supported": Text("Supported", "支持"),
    "contradicted": Text("Contradicted", "不支持"),
    "inconclusive": Text("Inconclusive", "尚无定论"),
    "not run": Text("Not run", "未运行"),
}
_SCALES_ZH = {"quick": "quick（快速）", "laptop": "laptop（笔记本）", "paper": "paper（论文规模）"}


def sentence(claim: Claim, verdict: Verdict) -> Text:
    """Returns a verdict as one to three sentences, none of which says more than its numbers carry."""
    answer = _ANSWERS[verdict.answer]
    budget = Text("At this budget: ", "在此训练预算下：") if verdict.at_this_budget else Text("", "")
    measured, compared = _measured(claim, verdict), _compared(claim, verdict)
    lies = Text(f", {compared.en}", f"，{compared.zh}") if compared else Text("", "")
    first = Text(
        f"{budget.en}{answer.en}{measured.en}{lies.en}.",
        f"{budget.zh}{answer.zh}{measured.zh}{lies.zh}。",
    )
    return _joined(first, verdict.reason, _published(claim))


def conclusion(claim: Claim, verdict: Verdict) -> Text:
    """Returns a verdict without its numbers, for where these stand beside it: where the interval lies, and why.

    Effects of logarithms stand there as factors, and so does the edge here.
    """
    answer, compared = _ANSWERS[verdict.answer], _compared(claim, verdict, as_factors=claim.transform == "log")
    if compared:
        answer = Text(f"{answer.en}: the interval lies {compared.en}", f"{answer.zh}：区间{compared.zh}")
    return _joined(Text(f"{answer.en}.", f"{answer.zh}。"), verdict.reason)


def formula(claim: Claim) -> str:
    """Returns the effect as a formula: ``train_loss(plain-56) − train_loss(plain-20)``."""
    text = ""
    for place, term in enumerate(claim.effect):
        minus = term.weight < 0
        text += (" − " if minus else " + ") if place else ("−" if minus else "")
        size = "" if abs(term.weight) == 1 else f"{abs(term.weight):g} · "
        text += size + ("ln " if claim.transform == "log" else "") + f"{term.quantity}({term.arm})"
    return text


def undecided(needs: str | None) -> Text:
    """Says which scale a claim needs."""
    if needs is None:
        return Text("No scale of this study can decide it.", "本研究的任何规模都无法判定它。")
    return Text(f"This scale cannot decide it; it needs {needs}.", f"当前规模无法判定它，需要 {_SCALES_ZH[needs]}。")


def nothing_finished(claim: Claim) -> Text:
    """Says that no seed has all the numbers."""
    needed = ", ".join(sorted({f"{one.quantity}({one.arm})" for one in claim.effect}))
    return Text(f"No seed has all of its numbers yet: {needed}.", f"尚无任何种子具备全部数值：{needed}。")


def not_measured(claim: Claim, term: Term, given: Collection[str]) -> Text:
    """Says that no measure gives a quantity, and which there are."""
    listed = ", ".join(sorted(given))
    return Text(
        f"No measure has given {term.quantity} of {term.arm}, which claim {claim.name} is about; given are: {listed}.",
        f"没有任何测量给出 {term.arm} 的 {term.quantity}（断言 {claim.name} 所需）；已有：{listed}。",
    )


def no_logarithm(term: Term, seed: int, value: float) -> Text:
    """Says that a quantity is 0 or below, where its logarithm was to be taken."""
    named = f"{term.quantity}({term.arm})"
    return Text(
        f"{named} is {_number(value)} at seed {seed}, and only a number above 0 has a logarithm.",
        f"种子 {seed} 的 {named} 为 {_number(value)}，只有大于 0 的数才有对数。",
    )


def no_number(seeds: tuple[int, ...]) -> Text:
    """Says that the effect is no number at some seeds."""
    at = _listed(seeds)
    return Text(
        f"The effect is no number at {at.en}: nobody knows it, or both of its sides diverged.",
        f"{at.zh}的效应不是数：数值未知，或相减的双方都已发散。",
    )


def diverged(seeds: tuple[int, ...], *, of: int) -> Text:
    """Says at which seeds an arm diverged, and how these count."""
    at = _listed(seeds)
    english = f"An arm diverged at {at.en}"
    if len(seeds) == of:
        return Text(f"{english}: at every seed there is.", f"{at.zh}有实验臂发散：所有种子皆如此。")
    counted = "these count as the most extreme of the others, and the interval is open on their side."
    return Text(f"{english}; {counted}", f"{at.zh}有实验臂发散；按其余种子中最极端者计入，区间在该侧不封闭。")


def one_seed() -> Text:
    """Says that one seed has no spread."""
    return Text("One seed has no spread, and so no interval.", "只有一个种子，无从得知离散程度，也就没有区间。")


def too_wide(claim: Claim, n: int, smallest: float) -> Text:
    """Says what so many seeds could have shown: a distance from the edge, or of logarithms a factor of it."""
    en = zh = _number(smallest)
    if claim.transform == "log":
        en, zh = f"a factor of {_factor(smallest)}", f"{_factor(smallest)} 倍"
    return Text(
        f"The interval reaches across the edge. These {n} seeds would have shown, four times in five, "
        f"a mean that lies {en} beyond it.",
        f"区间跨过界限。若均值超出界限 {zh}，这 {n} 个种子有八成机会能显示出来。",
    )


def _measured(claim: Claim, verdict: Verdict) -> Text:
    if verdict.effect is None:
        return Text("", "")
    said, mean = formula(claim), _number(verdict.effect)
    en = f"{said} = {mean}{f' {claim.unit.en}' if claim.unit.en else ''}"
    zh = f"{said} = {mean}{f'（{claim.unit.zh}）' if claim.unit.zh else ''}"
    if verdict.n < 2:
        return Text(f": {en}, of one seed", f"：{zh}，仅一个种子")
    ends = _end(verdict.low, "−∞"), _end(verdict.high, "∞")
    return Text(
        f": {en}, 95 % interval {ends[0]} to {ends[1]} over {verdict.n} paired seeds",
        f"：{zh}，{verdict.n} 个配对种子的 95% 区间为 {ends[0]} 至 {ends[1]}",
    )


def _joined(*sentences: Text | None) -> Text:
    known = [one for one in sentences if one is not None]
    return Text(" ".join(one.en for one in known), "".join(one.zh for one in known))


def _compared(claim: Claim, verdict: Verdict, *, as_factors: bool = False) -> Text | None:
    """Says where the interval lies; a claim is about m, and so is what decides it. None where nothing is decided."""
    if verdict.answer not in ("supported", "contradicted"):
        return None
    size, supported = claim.smallest, verdict.answer == "supported"
    both = f"×{_factor(-size)} … ×{_factor(size)}" if as_factors else f"±{_number(size)}"
    m = f"×{_factor(size)}" if as_factors else _number(size)
    if claim.kind == "within":
        return Text(
            f"wholly {'within' if supported else 'outside'} {both}, the smallest that would matter",
            f"完全落在 {both} 之{'内' if supported else '外'}（{both} 为有意义的最小效应）",
        )
    return Text(
        f"wholly {'above' if supported else 'below'} {m}, the smallest that would matter",
        f"完全{'高' if supported else '低'}于有意义的最小效应 {m}",
    )


def _published(claim: Claim) -> Text | None:
    if claim.published is None:
        return None
    return Text(f"Published: {claim.published.en} ({claim.source}).", f"文献：{claim.published.zh}（{claim.source}）。")


def _listed(seeds: tuple[int, ...]) -> Text:
    numbers = ", ".join(map(str, seeds))
    return Text(f"seed{'s' if len(seeds) > 1 else ''} {numbers}", f"种子 {numbers} ")


def _end(value: float | None, infinite: str) -> str:
    return infinite if value is None else _number(value)


def _factor(logarithm: float) -> str:
    """Returns the factor that a natural logarithm stands for, to three digits."""
    return f"{ratio(logarithm):.3g}"


def _number(value: float) -> str:
    """Returns three digits, with the sign that the formula has."""
    return f"{value:.3g}".replace("-", "−")
