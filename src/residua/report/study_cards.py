"""A study's claims and arms made ready for its page, for the index of all and for the terminal; no HTML here."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from residua.report.numbers import duration
from residua.report.study_effect import EffectPicture, effect_picture
from residua.report.study_words import MARKS, Language, Mark, mark_of, ours, said, smallest, spread, word
from residua.studies.claim import Claim, Text, Verdict
from residua.studies.design import Arm
from residua.studies.judging import effect, paired_seeds
from residua.studies.results import Results
from residua.studies.sentences import conclusion, formula, sentence


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
    """``at this budget`` where an arm had not converged; ``2 of 3 seeds`` where not all are there."""
    sentence: str
    """What the numbers allow one to say, and these, for where it stands alone; nothing while there are none."""
    conclusion: str
    """The same beside the other fields: none of them is said again."""
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
    trials = [one for one in results.trials if one.arm == arm.name]
    trained = [one for one in trials if one.epochs is not None]
    finished = [one for one in trials if one.status == "finished"]
    epochs = f"{trained[0].epochs} {word('epochs', language)}" if trained else ""
    return ArmRow(
        name=arm.name,
        network=network_said(arm.network),
        recipe=", ".join([trained[0].recipe, epochs, *arm.settings]) if trained else "–",
        rate=_rate(results, arm.name, language) if trained else "–",
        precision=", ".join(sorted({one.precision for one in trained})) or "–",
        seeds=f"{len(finished)} / {len(results.seeds)}",
        converged=_converged(results, arm, language) if trained and finished else "–",
        seconds=duration(results.seconds[arm.name]),
    )


def _converged(results: Results, arm: Arm, language: Language) -> str:
    return word("no" if arm.name in results.not_converged else "yes", language)


def _rate(results: Results, arm: str, language: Language) -> str:
    """Says an arm's learning rate; and where it was chosen, whether it is the edge of the grid."""
    if arm not in results.rates:
        return "–"
    choice = results.choices.get(arm)
    edge = f" ({word(choice.edge, language)})" if choice is not None and choice.edge else ""
    return f"{results.rates[arm]:g}{edge}"


def edges(results: Results, language: Language) -> str:
    """Says which arms took the smallest or the largest rate of their grid; nothing where none did."""
    arms = [arm.name for arm in results.budget.arms if arm.name in results.choices and results.choices[arm.name].edge]
    taken = [f"{arm} {_rate(results, arm, language)}" for arm in arms]
    return f"{word('at the edge', language)}: {', '.join(taken)}" if taken else ""


def network_said(network: object) -> str:
    """Writes what an arm's network is: its name, a function's, or the fields of a specification."""
    return network if isinstance(network, str) else getattr(network, "__name__", None) or repr(network)


def _card(results: Results, claim: Claim, verdict: Verdict | None, language: Language) -> ClaimCard:
    mark, measured = (
        mark_of(verdict, is_complete=results.is_complete),
        verdict is not None and verdict.effect is not None,
    )
    seeds = paired_seeds(claim, results.numbers) if measured else ()
    known = [effect(claim, results.numbers, seed) for seed in seeds]
    return ClaimCard(
        study=results.study.name,
        name=claim.name,
        says=said(claim.says, language),
        source=claim.source,
        published=word("unpublished", language) if claim.published is None else said(claim.published, language),
        ours=ours(claim, verdict, language),
        spread=spread(claim, verdict, language),
        mark=mark,
        verdict=said(mark.word, language),
        hedge=_hedge(results, verdict, language),
        sentence="" if verdict is None else said(sentence(claim, verdict), language),
        conclusion="" if verdict is None else said(conclusion(claim, verdict), language),
        smallest=smallest(claim, language),
        why=said(claim.why_smallest, language),
        formula=formula(claim),
        unit=said(claim.unit, language),
        picture=effect_picture(claim, verdict, known) if known else None,
    )


def _hedge(results: Results, verdict: Verdict | None, language: Language) -> str:
    """Says what the verdict holds at: a budget, or fewer seeds than were asked for."""
    if verdict is None or verdict.answer == "not run":
        return ""
    asked = len(results.seeds)
    of = said(Text(f"{verdict.n} of {asked} seeds", f"{asked} 个种子中的 {verdict.n} 个"), language)
    hedges = (word("budget", language) if verdict.at_this_budget else "", of if verdict.n < asked else "")
    return ", ".join(filter(None, hedges))
