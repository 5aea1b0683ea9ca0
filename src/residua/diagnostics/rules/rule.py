"""What a rule is: a pure function from a diagnosis to a finding, with its threshold and its source in words."""

from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite
from typing import final

from residua.diagnostics.findings import Evidence, Finding, Severity
from residua.diagnostics.result import Diagnosis

WHOLE = "the whole network"


@final
@dataclass(frozen=True, kw_only=True)
class Seen:
    """What a rule saw, where what it asks for does not hold."""

    severity: Severity
    says: str
    """Without the rule's name."""
    remedy: str
    measured: float | None = None
    predicted: float | None = None
    where: str = WHOLE


@final
@dataclass(frozen=True, kw_only=True)
class Rule:
    """Looks at a diagnosis for one fault."""

    name: str
    evidence: Evidence
    asks: str
    """What has to hold, in words."""
    source: str
    look: Callable[[Diagnosis], Seen | None]

    def __call__(self, diagnosis: Diagnosis) -> Finding | None:
        """Returns the finding; None where all is well, or where what the rule reads was not measured."""
        seen = self.look(diagnosis)
        if seen is None:
            return None
        return Finding(
            rule=self.name,
            severity=seen.severity,
            says=f"{self.name}: {seen.says}",
            where=seen.where,
            measured=seen.measured,
            predicted=seen.predicted,
            threshold=self.asks,
            remedy=seen.remedy,
            evidence=self.evidence,
            source=self.source,
        )


def rule(
    name: str, evidence: Evidence, *, asks: str, source: str
) -> Callable[[Callable[[Diagnosis], Seen | None]], Rule]:
    """Makes a rule of a function that looks."""

    def made(look: Callable[[Diagnosis], Seen | None]) -> Rule:
        return Rule(name=name, evidence=evidence, asks=asks, source=source, look=look)

    return made


def times(factor: float) -> str:
    """Writes a factor for a page: ``×0.71``, ``×1.3e-08``, ``not finite``."""
    return f"×{factor:.2g}" if isfinite(factor) else "not finite"
