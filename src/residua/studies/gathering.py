"""From what lies in a store to the results of a study: any process may gather them at any time."""

import subprocess
from dataclasses import replace
from pathlib import Path

from residua.errors import BadSetting
from residua.studies.convergence import is_converged, losses_of
from residua.studies.design import SCALES, Arm, Scale, Study
from residua.studies.judging import first_scale, judge, judge_all
from residua.studies.results import Results, Series, TrialRow, machine_line
from residua.studies.schedule import Assignment, Schedule
from residua.studies.store import Store
from residua.studies.trial import Measure


def gather(schedule: Schedule, store: Store) -> Results:
    """Returns what a study has given so far, with the verdicts that follow from it."""
    study, found = schedule.study, {pair: schedule.trial(*pair) for pair in schedule.pairs}
    numbers: dict[str, dict[int, dict[str, float]]] = {arm.name: {} for arm in schedule.budget.arms}
    series: dict[str, dict[int, dict[str, Series]]] = {arm.name: {} for arm in schedule.budget.arms}
    for (arm, seed), one in found.items():
        if one is not None:
            numbers[arm.name][seed], series[arm.name][seed] = _measured(one, store, study.measures)
    not_converged = tuple(arm.name for arm in schedule.budget.arms if not _has_converged(arm, schedule, store))
    converged = {arm.name: arm.name not in not_converged for arm in schedule.budget.arms}
    choices = {arm.name: schedule.choice(arm) for arm in schedule.budget.arms}
    return Results(
        study=study,
        scale=schedule.scale,
        budget=schedule.budget,
        seeds=schedule.seeds,
        numbers=numbers,
        series=series,
        trials=tuple(_row(arm, seed, one, store, study.measures) for (arm, seed), one in found.items()),
        choices={arm: one for arm, one in choices.items() if one is not None and one.tried},
        verdicts=judge_all(study, schedule.scale, numbers, converged=converged),
        not_converged=not_converged if schedule.trains else (),
        machine=machine_line(),
        commit=_commit(),
    )


def not_run(study: Study, scale: Scale, *, because: str = "") -> Results:
    """Returns the results of a study that a scale cannot decide: none, and which scale can.

    Args:
        study: What is asked.
        scale: That it is asked at.
        because: Instead, why nothing of a study could be run that the scale does decide, in one line.

    Raises:
        BadSetting: If the study has no scale at all.
    """
    first = next((study.budgets[one] for one in SCALES if one in study.budgets), None)
    if first is None:
        raise BadSetting(f'{study.name} has no budget; give budgets={{"quick": Budget(…)}}, or laptop or paper')
    budget = study.budgets.get(scale, first)
    if not because:
        budget = replace(budget, decides=())
    verdicts = tuple(
        judge(claim, {}, converged={}, budget=budget, needs=first_scale(study, claim.name)) for claim in study.claims
    )
    return Results(
        study=study,
        scale=scale,
        budget=budget,
        verdicts=verdicts,
        error=because,
        machine=machine_line(),
        commit=_commit(),
    )


def _measured(
    one: Assignment, store: Store, measures: tuple[Measure, ...]
) -> tuple[dict[str, float], dict[str, Series]]:
    """Returns the numbers and the series of a trial; of one that diverged what its measures say for that."""
    numbers: dict[str, float] = {}
    series: dict[str, Series] = {}
    failure = store.failure(one.address)
    for measure in measures:
        if store.is_measured(one.address, measure):
            found, _ = store.measured(one.address, measure)
            numbers |= found.numbers
            series |= found.series
        elif failure is not None and failure.diverged:
            numbers |= measure.diverged
    return numbers, series


def _has_converged(arm: Arm, schedule: Schedule, store: Store) -> bool:
    """Says whether the training loss of every finished trial of an arm had stopped falling; False where none has."""
    trials = [one for seed in schedule.seeds if (one := schedule.trial(arm, seed)) is not None]
    runs = [store.trial(one.address) for one in trials if store.is_trained(one.address)]
    return bool(runs) and all(is_converged(losses_of(run.epochs())) for run in runs)


def _row(arm: Arm, seed: int, one: Assignment | None, store: Store, measures: tuple[Measure, ...]) -> TrialRow:
    if one is None:
        return TrialRow(arm=arm.name, seed=seed, status="open")
    made = [store.measured(one.address, each)[1] for each in measures if store.is_measured(one.address, each)]
    failure = store.failure(one.address)
    trained = one.trains and store.is_trained(one.address)
    run, decided = store.trial(one.address), one.decided
    ended = len(made) == len(measures) and (trained or not one.trains)
    sizes = None if decided is None else decided.inspection
    training = decided if one.trains else None
    training_seconds = run.read("run")["seconds"]["total"] if trained else 0.0
    return TrialRow(
        arm=arm.name,
        seed=seed,
        status="failed" if failure else "finished" if ended else "open",
        address=one.address,
        learning_rate=None if training is None else training.recipe.optimizer.learning_rate,
        epochs=None if training is None else training.epochs,
        recipe="" if training is None else training.recipe.name,
        precision="" if training is None else training.precision,
        threads=run.read("environment")["threads"] if trained else None,
        parameters=None if sizes is None else sizes.parameters,
        multiply_adds=None if sizes is None else sizes.multiply_adds,
        seconds=sum(made) + training_seconds,
        training_seconds=training_seconds,
        error=failure.error if failure else "",
        diverged=failure is not None and failure.diverged,
    )


def _commit() -> str:
    """Returns the short name of the commit that the sources are at; empty where they are no checkout.

    Installed below a checkout of something else they are none: git does not know this file there.
    """
    here = Path(__file__)
    said = ""
    for words in (["ls-files", "--error-unmatch", here.name], ["rev-parse", "--short", "HEAD"]):
        try:
            said = subprocess.check_output(["git", *words], cwd=here.parent, stderr=subprocess.DEVNULL, text=True)
        except (OSError, subprocess.CalledProcessError):
            return ""
    return said.strip()
