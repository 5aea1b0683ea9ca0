"""What is claimed, and by which numbers it stands or falls; fixed before anything is run.

Notation: d_s is the effect at seed s, paired across arms; m is the smallest effect that would matter.
"""

from dataclasses import dataclass
from typing import Literal, final


@final
@dataclass(frozen=True)
class Text:
    """A sentence in both languages of the reports."""

    en: str
    zh: str


@final
@dataclass(frozen=True)
class Term:
    """One quantity of one arm, and how it counts in an effect."""

    arm: str
    quantity: str
    """A name among the numbers that the study's measures give, such as ``train_loss``."""
    weight: float = 1.0


@final
@dataclass(frozen=True, kw_only=True)
class Claim:
    """One sentence that can be wrong: an effect d_s = Σ weight · quantity(arm, s) and where it should lie.

    ``above``: supported where the interval of the mean effect lies wholly above m, contradicted where it lies wholly
    below it (an effect too small to matter counts against). ``within``: supported where it lies wholly within (−m, m),
    contradicted where it lies wholly outside.
    """

    name: str
    says: Text
    source: str
    """Paper and figure, table or equation; or whose notes."""
    effect: tuple[Term, ...]
    smallest: float
    """m, in the effect's unit."""
    kind: Literal["above", "within"] = "above"
    transform: Literal["value", "log"] = "value"
    """``log``: the natural logarithm of each quantity is what is added up, so that m is one of a ratio."""
    learns: bool = True
    """Whether longer training could change the effect; not where it is of seconds a step, or of sizes. Then a loss that
    still falls does not qualify the verdict."""
    unit: Text = Text("", "")
    """Of the effect: ``nats``, ``a ratio's logarithm``, as `residua.studies.units` has them."""
    published: Text | None = None
    """The number in the source, with its table; None where there is none."""
    why_smallest: Text
    """Why a smaller effect would not matter."""


@final
@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What the numbers allow one to say of a claim."""

    claim: str
    answer: Literal["supported", "contradicted", "inconclusive", "not run"]
    n: int
    """Seeds that every arm of the effect finished."""
    effect: float | None
    """Mean over the seeds."""
    low: float | None
    high: float | None
    """95 % interval of the mean, paired over seeds."""
    detectable: float | None
    """The smallest difference from m that these seeds could have shown; None where nothing was run."""
    at_this_budget: bool = False
    """Whether an arm's training loss was still falling: the verdict then holds at this budget alone."""
    needs: str | None = None
    """The first scale that can decide it, where this one cannot."""
    reason: Text | None = None
    """Why it was not run, or is inconclusive."""
