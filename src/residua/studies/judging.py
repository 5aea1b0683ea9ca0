"""What the numbers of a study allow one to say of its claims: by the rule of `residua.studies.claim`, and no further.

Notation: d_s is a claim's effect at seed s; m its smallest effect that matters; [low, high] the 95 % interval of the
mean effect.
"""

from collections.abc import Mapping
from math import inf, isfinite, isnan, log
from typing import Literal

from residua.errors import BadSetting, unknown
from residua.studies import sentences
from residua.studies.claim import Claim, Text, Verdict
from residua.studies.design import SCALES, Budget, Scale, Study
from residua.studies.statistics import Estimate, detectable, estimate

Numbers = Mapping[str, Mapping[int, Mapping[str, float]]]
"""By arm, seed and quantity. A loss that diverged is ``inf``; NaN is a number that nobody knows."""


def judge(
    claim: Claim, numbers: Numbers, *, converged: Mapping[str, bool], budget: Budget, needs: str | None = None
) -> Verdict:
    """Returns the verdict on a claim, by the rule that `Claim` states.

    A seed counts where every arm of the effect has its quantity there. An end of the interval is None where nothing
    bounds the mean on that side: both of one seed's, and one where an arm diverged at some seed, as
    `residua.studies.statistics.estimate` says. Such a verdict gives the reason.

    Args:
        claim: What is judged.
        numbers: Of the finished trials.
        converged: By arm, whether its training loss had stopped falling; an arm that is missing had not.
        budget: What was run; where it trains nothing, ``converged`` does not count.
        needs: The first scale that can decide the claim, for a budget that cannot.

    Raises:
        BadSetting: If an arm of the effect is none of the budget's.
    """
    if claim.name not in budget.decides:
        return _without_number(claim, "not run", sentences.undecided(needs), needs=needs)
    arms = [one.name for one in budget.arms]
    for term in claim.effect:
        if term.arm not in arms:
            raise BadSetting(f"claim {claim.name}: {unknown('arm', term.arm, arms)}")
    seeds = paired_seeds(claim, numbers)
    if not seeds:
        return _without_number(claim, "not run", _missing(claim, numbers))
    if (refused := _without_logarithm(claim, numbers, seeds)) is not None:
        return _without_number(claim, "inconclusive", refused, n=len(seeds))
    effects = {seed: effect(claim, numbers, seed) for seed in seeds}
    trained = budget.epochs is not None
    still = trained and claim.learns and not all(converged.get(one.arm, False) for one in claim.effect)
    return _verdict(claim, effects, at_this_budget=still)


def judge_all(study: Study, scale: Scale, numbers: Numbers, *, converged: Mapping[str, bool]) -> tuple[Verdict, ...]:
    """Returns the verdicts on a study's claims at one scale, in their order."""
    budget = study.budgets[scale]
    return tuple(
        judge(one, numbers, converged=converged, budget=budget, needs=first_scale(study, one.name))
        for one in study.claims
    )


def first_scale(study: Study, claim: str) -> Scale | None:
    """Returns the first scale whose budget decides a claim; None where no scale does."""
    return next((one for one in SCALES if one in study.budgets and claim in study.budgets[one].decides), None)


def paired_seeds(claim: Claim, numbers: Numbers) -> tuple[int, ...]:
    """Returns the seeds at which every arm of the effect has its quantity, in order."""
    having = [
        {seed for seed, found in numbers.get(term.arm, {}).items() if term.quantity in found} for term in claim.effect
    ]
    return tuple(sorted(set.intersection(*having)))


def effect(claim: Claim, numbers: Numbers, seed: int) -> float:
    """Returns d_s; NaN where what diverged is subtracted from what diverged."""
    values = [(one.weight, numbers[one.arm][seed][one.quantity]) for one in claim.effect]
    return sum(weight * (log(value) if claim.transform == "log" else value) for weight, value in values)


def _missing(claim: Claim, numbers: Numbers) -> Text:
    """Returns what a claim without any paired seed waits for: a quantity that no measure gives, or the trials."""
    for term in claim.effect:
        given = {name for found in numbers.get(term.arm, {}).values() for name in found}
        if given and term.quantity not in given:
            return sentences.not_measured(claim, term, given)
    return sentences.nothing_finished(claim)


def _without_logarithm(claim: Claim, numbers: Numbers, seeds: tuple[int, ...]) -> Text | None:
    """Returns why an effect of logarithms does not exist: a quantity that is 0 or below; None where it does."""
    for term in claim.effect if claim.transform == "log" else ():
        for seed in seeds:
            if (value := numbers[term.arm][seed][term.quantity]) <= 0:
                return sentences.no_logarithm(term, seed, value)
    return None


def _verdict(claim: Claim, effects: Mapping[int, float], *, at_this_budget: bool) -> Verdict:
    found = estimate(list(effects.values()))
    answer, smallest = answer_to(claim, found), detectable(found.n, found.deviation)
    return Verdict(
        claim=claim.name,
        answer=answer,
        n=found.n,
        effect=_finite(found.mean),
        low=_finite(found.low),
        high=_finite(found.high),
        detectable=smallest,
        at_this_budget=at_this_budget,
        reason=_reason(claim, effects, smallest, decided=answer != "inconclusive"),
    )


def answer_to(claim: Claim, found: Estimate) -> Literal["supported", "contradicted", "inconclusive"]:
    """Applies the rule to an interval; one that touches an edge does not decide."""
    m = claim.smallest
    lower, upper = (m, inf) if claim.kind == "above" else (-m, m)
    if lower < found.low and (found.high < upper or upper == inf):
        return "supported"
    return "contradicted" if found.high < lower or found.low > upper else "inconclusive"


def _reason(claim: Claim, effects: Mapping[int, float], smallest: float | None, *, decided: bool) -> Text | None:
    """Returns why the numbers do not decide, or what was done with seeds at which an arm diverged."""
    unknown_at = tuple(seed for seed, one in effects.items() if isnan(one))
    diverged_at = tuple(seed for seed, one in effects.items() if one in (inf, -inf))
    if unknown_at:
        return sentences.no_number(unknown_at)
    if diverged_at:
        return sentences.diverged(diverged_at, of=len(effects))
    if decided:
        return None
    return sentences.one_seed() if len(effects) == 1 else sentences.too_wide(claim, len(effects), smallest or 0.0)


def _without_number(
    claim: Claim, answer: Literal["inconclusive", "not run"], reason: Text, *, n: int = 0, needs: str | None = None
) -> Verdict:
    return Verdict(
        claim=claim.name,
        answer=answer,
        n=n,
        effect=None,
        low=None,
        high=None,
        detectable=None,
        needs=needs,
        reason=reason,
    )


def _finite(value: float) -> float | None:
    return value if isfinite(value) else None
