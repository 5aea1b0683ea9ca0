"""What a remedy brings, where variants of the network were measured beside it."""

from collections.abc import Sequence
from dataclasses import replace

from residua.diagnostics.findings import Finding
from residua.diagnostics.what_if import WhatIf, better_by

BETTER = 0.9
"""Of the loss after the short training, at which a variant counts as better: seeds of one network differ by less than a
tenth there."""
_OF_GRADIENTS = ("gradients vanish", "gradients explode", "deep plain network", "saturated activations")
_OF_LEARNING = (
    *("cannot learn one batch", "labels say nothing", "update too large", "update too small", "first loss off"),
    *(
        "wrong initialisation",
        "dead units",
        "sigmoid activations",
        "weight decay too strong",
        "does not fit its training data",
    ),
    *_OF_GRADIENTS,
)


def with_measured_remedies(findings: Sequence[Finding], rows: Sequence[WhatIf]) -> tuple[Finding, ...]:
    """Returns the findings with what was measured of their remedies behind these.

    A finding about gradients is told the residual twin's ratio; one about learning is told the variant whose loss is
    lowest after the short training, or that none is lower by a tenth. What another finding explains is left alone.

    Args:
        findings: What the rules found.
        rows: The network as it is first, then its variants; fewer than two say nothing.
    """
    if len(rows) < 2:
        return tuple(findings)
    return tuple(one if one.explained_by else _with_measured(one, rows) for one in findings)


def _with_measured(finding: Finding, rows: Sequence[WhatIf]) -> Finding:
    measured = []
    twin = next((row for row in rows if row.name == "residual twin" and row.ratio is not None), None)
    if finding.rule in _OF_GRADIENTS and twin is not None:
        measured.append(f"the residual twin’s ratio is {twin.ratio:.2g}")
    if finding.rule in _OF_LEARNING:
        measured.append(_best(rows))
    if not measured:
        return finding
    return replace(finding, remedy=f"{finding.remedy.rstrip('.')}; measured: {', and '.join(measured)}")


def _best(rows: Sequence[WhatIf]) -> str:
    before, *changed = rows
    best = min(changed, key=lambda row: (better_by(row, rows), row.last_loss))
    if better_by(best, rows) >= BETTER:
        return f"no variant’s loss is lower by a tenth after {before.steps} steps"
    what = f"{best.name} ({best.says})" if best.says else best.name
    return f"{what} reaches a loss of {best.last_loss:.2f} in {best.steps} steps, beside {before.last_loss:.2f}"
