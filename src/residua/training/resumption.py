"""What a run that goes on may have changed: more epochs, other processes, another machine; all else is as it began."""

import os
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from residua import configuration, files, machine
from residua.data import sources
from residua.data.mixing import MixSpec
from residua.data.sources import DataSpec
from residua.errors import BadRun, BadSetting, unknown
from residua.networks.spec import NetworkSpec
from residua.training import checkpoint, record
from residua.training.distributed import depends_on_shares
from residua.training.plan import Plan, by_room
from residua.training.recipe import Recipe
from residua.training.record import Record
from residua.training.sitting import Sitting
from residua.training.spec import TrainSpec, has_effect

_ROUNDS = ("torch", "processor", "device", "threads")
"""What a result depends on, of a machine, in its last digits."""


def as_begun(run: str | os.PathLike[str], asked: dict[str, Any]) -> Record:
    """Returns a run to go on with, once nothing that is asked differs from what it was asked."""
    opened = record.find(run)
    kept = configuration.from_json(TrainSpec, opened.read("run")["asked"])
    known = [field.name for field in fields(TrainSpec) if field.name not in ("epochs", "minutes", "data_root")]
    for name, value in asked.items():
        if name not in known:
            raise BadSetting(unknown("setting of a resumed run", name, known))
        before, wanted = getattr(kept, name), _as_kept(name, value)
        if name == "settings":
            _require_known(opened, wanted)
            before, wanted = (
                tuple(s.removeprefix("recipe.") for s in settings if has_effect(s)) for settings in (before, wanted)
            )
            wanted = wanted or before
        if wanted != before:
            raise BadSetting(
                f"{name} is {wanted!r} here and {before!r} in {opened.path}, and would change its result; "
                "leave it out, or train anew"
            )
    return opened


def _require_known(run: Record, settings: tuple[str, ...]) -> None:
    """Raises `BadSetting` for a ``name=value`` that no run takes."""
    asked, kept = by_room(settings), run.read("recipe")
    configuration.with_settings(configuration.from_json(Recipe, kept), asked["recipe"])
    specification = configuration.from_json(NetworkSpec, run.read("specification"))
    configuration.with_settings(specification, asked["network"], "network.")
    configuration.with_settings(DataSpec(), asked["data"], "data.")


def _as_kept(name: str, value: Any) -> Any:
    """Returns an option as a run keeps it."""
    if name == "settings":
        return tuple(value)
    text = os.fspath(value) if isinstance(value, os.PathLike) else value
    folder = name == "source" and text not in sources.names() and Path(text).is_dir()
    return str(files.expanded(text).resolve()) if folder else text


def moved(run: Record, sitting: Sitting, *, accepted: bool) -> dict[str, Any] | None:
    """Describes a change of the number of processes, for JSON; None where there is none.

    Raises:
        BadSetting: If that would change its result and was not accepted.
    """
    course = sitting.course
    before, now = run.read("run").get("processes", 1), course.team.ranks
    mixes = "mixing of images" if course.mix != MixSpec() else ""
    parts = course.recipe.micro_batches
    uneven = parts > 1 and any(course.batch_size % (parts * processes) for processes in (before, now))
    why = mixes or depends_on_shares(sitting.network, synchronised=course.recipe.synchronised_norm, uneven=uneven)
    if before != now and why and not accepted:
        raise BadSetting(
            f"{run.path} was begun with --processes {before} and this is {now}: its {why} sees each process's share of "
            f"a batch, so the result would be another; take {before} again, or accept that with --accept-processes"
        )
    return {"from": before, "to": now, "changes_result_by": why or None} if before != now else None


def elsewhere(run: Record) -> dict[str, dict[str, Any]]:
    """Returns what differs of the machine that the run was last trained on, in as far as it rounds otherwise."""
    before, now = run.read("environment"), machine.description()
    last = {
        name: row["to"] for change in run.read("run").get("machines", []) for name, row in change["changed"].items()
    }
    before |= last
    changed = [name for name in _ROUNDS if before.get(name, now[name]) != now[name]]
    return {name: {"from": before[name], "to": now[name]} for name in changed}


def told_of(changed: dict[str, dict[str, Any]]) -> str:
    """Says what differs of the machine; empty where nothing does."""
    names = ", ".join(f"{name} {row['from']} → {row['to']}" for name, row in changed.items())
    return f"not where it was ({names}): goes on to the same result but for rounding" if changed else ""


def restored(run: Record, sitting: Sitting) -> Sitting:
    """Returns the sitting where the newest whole checkpoint was."""
    if checkpoint.found(run.checkpoints):
        return sitting.saying(checkpoint.restore(sitting.state, run.checkpoints, sitting.plan.device))
    if run.read("run")["start"] is not None:
        raise BadRun(f"no checkpoint in {run.path}, which started from other weights: train anew with `residua train`")
    return sitting.saying("there is no checkpoint yet: begins again with the first step")


def write_resumption(
    run: Record, sitting: Sitting, move: dict[str, Any] | None, changed: dict[str, dict[str, Any]]
) -> None:
    """Writes where the run goes on, for how long, and where it is new with how many processes and on what."""
    for folder in (run.path, run.checkpoints):
        files.remove_partials(folder)
    kept, step, epochs = run.read("run"), sitting.state.position.total_steps, sitting.plan.epochs
    values: dict[str, Any] = {"status": "training", "resumed_at": [*kept["resumed_at"], step]}
    if epochs != kept["epochs"]:
        said = {"headline": sitting.plan.headline, "reason": sitting.plan.reason}
        values |= {"epochs": epochs, "extended": [*kept["extended"], {"from": kept["epochs"], "to": epochs}], **said}
    if move is not None:
        values |= {"processes": move["to"], "moved": [*kept.get("moved", []), {"step": step, **move}]}
    if changed:
        values |= {"machines": [*kept.get("machines", []), {"step": step, "changed": changed}]}
    with run.writing():
        if epochs != kept["epochs"]:
            run.write("recipe", configuration.to_json(sitting.plan.recipe))
        run.update(**values)


def extended(decided: Plan, epochs: int | None) -> Plan:
    """Returns the plan for as many epochs as are asked now; None leaves them."""
    if epochs is None or epochs == decided.epochs:
        return decided
    if epochs < decided.epochs:
        raise BadSetting(
            f"--epochs is {epochs} here and {decided.epochs} in the run, whose schedule has passed that; give more, "
            "or train anew"
        )
    longer = replace(
        decided,
        epochs=epochs,
        recipe=replace(decided.recipe, epochs=epochs),
        reason=f"{decided.reason}; lengthened from {decided.epochs}",
        said=(),
    )
    return replace(longer, said=(longer.headline, *decided.said[1:]))
