"""All measurements of one case, and what they say.

Each part is measured by a function of its own; a part that cannot be measured says why, and the others go on.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch

from residua.diagnostics import sizes
from residua.diagnostics.additive import additive_check
from residua.diagnostics.case import Case, undisturbed
from residua.diagnostics.estimation import iterative_estimation
from residua.diagnostics.first_step import first_step
from residua.diagnostics.gradients import GradientFlow, gradient_flow
from residua.diagnostics.information import information_kept
from residua.diagnostics.lesions import lesions
from residua.diagnostics.paths import path_lengths
from residua.diagnostics.questions import questions
from residua.diagnostics.result import Diagnosis, RunFacts
from residua.diagnostics.rules import judge
from residua.diagnostics.shattering import shattering
from residua.diagnostics.signals import Signals, signals
from residua.diagnostics.sizes import Chosen, Pace, Walk
from residua.diagnostics.trace import trace
from residua.errors import BadSetting, ResiduaError, unknown

MEASURES: dict[str, Callable[..., Any]] = {
    "gradients": gradient_flow,
    "additive": additive_check,
    "signals": signals,
    "shattering": shattering,
    "paths": path_lengths,
    "estimation": iterative_estimation,
    "information": information_kept,
    "lesions": lesions,
    "questions": questions,
    "first_step": first_step,
}
"""What measures each part."""
PARTS = tuple(MEASURES)
"""What ``--only`` takes."""


def diagnose(
    case: Case,
    *,
    only: Sequence[str] = (),
    run: RunFacts | None = None,
    told: Callable[[str, int, int], None] | None = None,
) -> Diagnosis:
    """Measures a module, and judges what was measured.

    Without ``only`` the sizes of all parts follow from the time that a pass takes, so that they take under a minute
    (`residua.diagnostics.sizes`); what does not fit is left out, and said. The module comes back as it was.

    Args:
        case: What is looked at.
        only: Names of parts, which are then measured in full, whatever that takes.
        run: What a training run's files tell, where the module is a run's.
        told: Is told the part that begins, and of the expected milliseconds those that are behind and all.

    Raises:
        BadSetting: If there is no part of a name, with the nearest.
        BadNetwork: If the forward pass fails.
    """
    check_parts(only)
    with torch.inference_mode(False), torch.enable_grad():
        return _diagnosed(case, only, run, told)


def _diagnosed(
    case: Case, only: Sequence[str], run: RunFacts | None, told: Callable[[str, int, int], None] | None
) -> Diagnosis:
    walk, pace = _walked(case), Pace.measured(case)
    chosen = sizes.full(pace, walk, only) if only else sizes.within_a_minute(pace, walk)
    found, failed = _measured(case, chosen, told)
    found |= {"signals": _with_theory(found["signals"], found.get("gradients"))} if "signals" in found else {}
    measured = Diagnosis(
        name=case.name,
        loss_name=case.loss_name,
        parameters=sum(one.numel() for one in case.module.parameters()),
        layers=walk.layers,
        additions=walk.additions,
        examples=len(case.examples),
        remarks=(*case.remarks, *chosen.says, *failed),
        run=run,
        **found,
    )
    return replace(measured, findings=judge(measured))


def check_parts(names: Sequence[str]) -> None:
    """Refuses a name that no part has.

    Raises:
        BadSetting: With the nearest.
    """
    for name in names:
        if name not in PARTS:
            raise BadSetting(unknown("part of a diagnosis", name, PARTS))


def _measured(
    case: Case, chosen: Chosen, told: Callable[[str, int, int], None] | None
) -> tuple[dict[str, Any], list[str]]:
    """Returns what each part gave, by name, and a line for each that could not be measured."""
    found: dict[str, Any] = {}
    failed, behind, total = [], 0.0, sum(part.seconds for part in chosen.parts)
    for part in chosen.parts:
        if told is not None:
            told(part.name, round(1000 * behind), round(1000 * total))
        try:
            found[part.name] = MEASURES[part.name](case, **part.sizes)
        except ResiduaError as error:
            failed.append(f"{part.name}: {error}")
        except Exception as error:  # what a foreign module, or the memory, cannot do is nowhere listed
            failed.append(f"{part.name}: {next(iter(str(error).splitlines()), '')} ({type(error).__name__})")
        behind += part.seconds
    return found, failed


def _with_theory(measured: Signals, flow: GradientFlow | None) -> Signals:
    """Returns the stream's statistics with what theory says of them, where the gradient's prediction holds."""
    theory = None if flow is None else flow.prediction
    first, *others = measured.stream or (None,)
    if theory is None or first is None or len(theory.variances) != len(others):
        return measured
    lines = zip(others, theory.variances, theory.shares, strict=True)
    told = (replace(place, predicted_variance=variance, predicted_share=share) for place, variance, share in lines)
    return replace(measured, stream=(first, *told))


def _walked(case: Case) -> Walk:
    with undisturbed(case.module) as module:
        passed = trace(module.train(), case.examples.take(slice(0, 2)))
    return Walk(layers=len(passed.layers), additions=len(passed.additions))
