"""What a finding is; the rules that find are in `residua.diagnostics.rules`."""

from dataclasses import dataclass
from typing import Literal, final

Severity = Literal["note", "warning", "serious"]
Evidence = Literal["batch", "probe", "run"]


@final
@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that is so, why it matters, and what helps."""

    rule: str
    """The name of the rule, such as ``gradients vanish``."""
    severity: Severity
    says: str
    """One line, with numbers: ``gradients vanish: ×0.71 a layer over 54 layers, 1.3e-8 at the stem``."""
    where: str
    """Module path, or ``the whole network``."""
    measured: float | None
    predicted: float | None
    """What theory or health would have there."""
    threshold: str
    """What the rule asks for, in words."""
    remedy: str
    """The next step."""
    evidence: Evidence
    source: str
    """Paper and section, or measurement in the docs, that the rule leans on."""
    explained_by: str = ""
    """The rule whose finding is the cause of this one; empty where none among the findings is."""
