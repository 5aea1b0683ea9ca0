"""A study's claims and arms made ready for its page, for the index of all and for the terminal; no HTML here."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from residua.report.numbers import duration
from residua.report.study_effect import EffectPicture, effect_picture
from residua.report.study_words import MARKS, Language, Mark, mark_of, ours, said, smallest, spread, word
from residua.studies.claim import Claim, Verdict
from residua.studies.design import Arm
from residua.studies.judging import effect, paired_seeds
from residua.studies.results import Results
from residua.studies.sentences import formula, sentence


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class ClaimCard:
    """One claim, with what was found."""

    study: str
    name: str
    says: str
    source: str
    published: str
    """The number in the source; or that there is none."""
    ours: str
    """The mean effect."""
    spread: str
    """Its interval, and the number of seeds."""
    mark: Mark
    verdict: str
    """The word beside the mark, in the page's language."""
    hedge: str
    """``at this budget`` where an arm had not converged; else nothing."""
    sentence: str
    """What the numbers allow one to say; nothing while there are none."""
    smallest: str
    why: str
    formula: str
    unit: str
    picture: EffectPicture | None
    """None where nothing was measured."""


@final
@dataclass(frozen=True, kw_only=True)
class ArmRow:
    """One arm, as the table of arms has it."""

    name: str
    network: str
    recipe: str
    rate: str
    precision: str
    seeds: str
    """Finished ones of those that are asked for."""
    converged: str
    seconds: str


def claim_cards(results: Results, language: Language) -> tuple[ClaimCard, ...]:
    """Returns a card for every claim of the study, in their order."""
    verdicts = {verdict.claim: verdict for verdict in results.verdicts}
    return tuple(_card(results, claim, verdicts.get(claim.name), language) for claim in results.study.claims)


def tally(cards: Sequence[ClaimCard]) -> tuple[tuple[Mark, int], ...]:
    """Returns how many claims have each mark, the decided first."""
    counts = Counter(card.mark.kind for card in cards)
    return tuple((mark, counts[mark.kind]) for mark in MARKS if counts[mark.kind])


def arm_rows(results: Results, language: Language) -> tuple[ArmRow, ...]:
    """Returns a row for every arm of the scale, in their order."""
    return tuple(_arm(results, arm, language) for arm in results.budget.arms)


def _arm(results: Results, arm: Arm, language: Language) -> ArmRow:
    budget, trained = results.budget, results.budget.epochs is not None
    done = len(results.numbers.get(arm.name, {}))
    epochs = arm.epochs or budget.epochs
    recipe = ", ".join(
        [budget.recipe or "default", f"{epochs} {word('epochs', language)}", *budget.settings, *arm.settings]
    )
    return ArmRow(
        name=arm.name,
        network=network_said(arm.network),
        recipe=recipe if trained else word("untrained", language),
        rate=_rate(results, arm.name, language) if trained else "–",
        precision=results.precision,
        seeds=f"{done} / {budget.seeds}",
        converged="–"
        if not trained or not done
        else word("no" if arm.name in results.not_converged else "yes", language),
        seconds=duration(results.seconds[arm.name]) if arm.name in results.seconds else "–",
    )


def _rate(results: Results, arm: str, language: Language) -> str:
    """Says an arm's learning rate where it was chosen."""
    if not results.budget.learning_rates:
        return word("the recipe's", language)
    return f"{results.rates[arm]:g}" if arm in results.rates else "–"


def network_said(network: object) -> str:
    """Writes what an arm's network is: its name, a specification's family of fields, or a function's name."""
    return network if isinstance(network, str) else getattr(network, "__name__", None) or repr(network)


def _card(results: Results, claim: Claim, verdict: Verdict | None, language: Language) -> ClaimCard:
    mark, measured = mark_of(verdict), verdict is not None and verdict.effect is not None
    seeds = paired_seeds(claim, results.numbers) if measured else ()
    known = [effect(claim, results.numbers, seed) for seed in seeds]
    return ClaimCard(
        study=results.study.name,
        name=claim.name,
        says=said(claim.says, language),
        source=claim.source,
        published=word("unpublished", language) if claim.published is None else said(claim.published, language),
        ours=ours(verdict, claim.unit),
        spread=spread(verdict, language),
        mark=mark,
        verdict=said(mark.word, language),
        hedge=word("budget", language) if verdict is not None and verdict.at_this_budget else "",
        sentence="" if verdict is None else said(sentence(claim, verdict), language),
        smallest=smallest(claim),
        why=said(claim.why_smallest, language),
        formula=formula(claim),
        unit=claim.unit,
        picture=effect_picture(claim, verdict, known) if known else None,
    )
