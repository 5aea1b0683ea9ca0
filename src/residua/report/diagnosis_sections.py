"""The sections of a diagnosis' page, in the order in which they are read."""

from collections.abc import Iterator

from residua.diagnostics.result import Diagnosis
from residua.report import diagnosis_flow as flow
from residua.report import diagnosis_probes as probes
from residua.report.diagnosis_remedies import remedies
from residua.report.section import Section


def sections_of(found: Diagnosis) -> Iterator[Section]:
    """Yields a section for every part that was measured."""
    makers = (
        (found.run, flow.run),
        (found.gradients, flow.gradients),
        (found.signals, flow.signals),
        (found.additive, flow.additive),
        (found.shattering, probes.shattering),
        (found.paths, probes.paths),
        (found.estimation, probes.estimation),
        (found.information, probes.information),
        (found.lesions, probes.lesions),
        (found.questions, probes.questions),
        (found.first_step, probes.first_step),
    )
    if len(found.what_if) > 1:
        yield remedies(found.what_if)
    for part, make in makers:
        if part is not None:
            yield make(part)  # type: ignore[arg-type]
