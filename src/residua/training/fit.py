"""`fit`: from what a user asked to a finished run directory; `resume` goes on with one that was stopped."""

import contextlib
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, final

import torch

from residua import artifact, configuration, files, machine
from residua.data import sources
from residua.data.dataset import Preprocessing
from residua.data.sources import Progress
from residua.errors import BadRun
from residua.networks.network import ResidualNetwork
from residua.networks.spec import NetworkSpec
from residua.training import record, resumption, transfer
from residua.training.distributed import ALONE, Team
from residua.training.estimate import Estimate, estimate
from residua.training.observers import Observer
from residua.training.plan import Plan, plan
from residua.training.rate_finder import RateTest, find_learning_rate
from residua.training.recipe import Recipe
from residua.training.record import Record
from residua.training.sitting import Sitting
from residua.training.spec import TrainSpec, with_others


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Fitted:
    """A finished run with what it was made from still in memory."""

    record: Record
    plan: Plan
    network: ResidualNetwork
    """With the chosen weights, in evaluation mode, on the processor."""


def fit(decided: Plan, *, out: Path | None = None, observers: Sequence[Observer] = (), team: Team = ALONE) -> Fitted:
    """Trains as planned and returns the finished run.

    Args:
        decided: What `residua.training.plan.plan` made of the user's wishes.
        out: The run directory; None takes the next free ``runs/SOURCE-NETWORK-NUMBER``.
        observers: Are told what happens; rank 0's alone where there are several processes.
        team: The processes that train together.

    Raises:
        BadSetting: If ``out`` is taken, or the processes have decided differently.
        Interrupted: If the user asked to stop; the state is saved.
        NonFiniteLoss: At the first step whose loss is no finite number.
    """
    team.same(_facts(decided))
    sitting = Sitting.begin(with_head(decided), observers, team)
    if decided.asked.minutes is not None:
        sitting = sitting.within(decided.asked.minutes)
    sitting = sitting.with_first_weights()
    expected = estimate(sitting.plan, sitting.course, sitting.state, per_step=sitting.seconds_per_step)
    sitting = sitting.saying(expected.says)
    made = team.lead(lambda: record.create(Path(decided.asked.source).name, sitting.plan.network_name, out))
    with held(made, team):
        team.lead(lambda: _write_beginning(made, sitting.plan, expected, team.ranks))
        return _run(sitting, made)


@contextlib.contextmanager
def held(run: Record, team: Team) -> Iterator[None]:
    """Keeps other commands from going on with a run while this one trains it or draws its report.

    Raises:
        BadRun: If another one does.
    """
    with contextlib.ExitStack() as stack:

        def hold() -> None:
            if not stack.enter_context(files.alone_in(run.path)):
                raise BadRun(f"another process is at work on {run.path}; wait for its end, or end it first")

        team.lead(hold)
        yield


def _facts(decided: Plan) -> dict[str, Any]:
    """Returns what every process must have decided alike."""
    return {
        "the version of torch": torch.__version__,
        "the device": decided.device.type,
        "the seed": decided.asked.seed,
        "the network": configuration.to_json(decided.specification),
        "the recipe": configuration.to_json(decided.recipe),
        **{f"the {part.name} part of {decided.asked.source}": part.digest for part in decided.dataset.parts},
    }


def range_test(decided: Plan, *, told: Callable[[int, int], None] | None = None) -> RateTest:
    """Returns what a learning-rate range test finds for the run that is planned; makes no run directory.

    Args:
        decided: What `residua.training.plan.plan` made of the user's wishes.
        told: Is told the steps done and their number.
    """
    sitting = Sitting.begin(with_head(decided), ())
    return find_learning_rate(sitting.course, sitting.state, told=told)


def _run(sitting: Sitting, made: Record) -> Fitted:
    sitting.run(made)
    return Fitted(record=made, plan=sitting.plan, network=sitting.network)


def with_head(decided: Plan, *, progress: Progress | None = None) -> Plan:
    """Returns the plan with a head fitted to cached features, where its recipe puts that first and it is to be done."""
    start = decided.start
    if start is None or start.head != "drawn" or not decided.recipe.head_first:
        return decided
    return replace(decided, start=transfer.fit_head(start, decided.dataset, device=decided.device, progress=progress))


def resume(
    run: Record,
    *,
    epochs: int | None = None,
    data_root: str | None = None,
    observers: Sequence[Observer] = (),
    progress: Progress | None = None,
    team: Team = ALONE,
    accept_processes: bool = False,
    settings: Sequence[str] = (),
) -> Fitted:
    """Goes on with a stopped run from its newest checkpoint, to the result it would have had, to the bit.

    A run that was killed before its first checkpoint begins again. With another number of processes the result is the
    same but for rounding, where nothing in the network depends on how a batch is shared; on another processor, with
    other threads or another torch it is too, and the run says so.

    Args:
        run: A run that has not finished.
        epochs: More than it was begun with: the rest follows the schedule of a run of so many epochs, from the step
            that it has reached. None leaves them.
        data_root: Where the named sets are now; None keeps the place of then.
        observers: Are told what happens.
        progress: Is told of downloads and decoding.
        team: The processes that train together.
        accept_processes: Whether another number of them is accepted where it changes the result.
        settings: ``name=value`` for this sitting, of those that change no result
            (`residua.training.spec.WITHOUT_EFFECT`).

    Raises:
        BadRun: If the run is finished or another process trains it, all of its checkpoints are damaged, or its images
            are no longer the same.
        BadSetting: If the epochs are fewer than it was begun with, or another number of processes would change the
            result and was not accepted.
    """
    with held(run, team):
        if team.lead(lambda: run.status) == "finished":
            way_on = f"see {run.report}, or start from its weights with `--weights {run.path}`"
            raise team.agreed(BadRun(f"{run.path} is finished; {way_on}"))
        reread = partial(planned, run, trains=True, data_root=data_root, settings=settings, progress=progress)
        decided = team.together(lambda: resumption.extended(reread(), epochs))
        team.same(_facts(decided))
        sitting = Sitting.begin(decided, observers, team)
        move = team.together(lambda: resumption.moved(run, sitting, accepted=accept_processes))
        restored = team.together(lambda: resumption.restored(run, sitting))
        changed = resumption.elsewhere(run)
        team.lead(lambda: resumption.write_resumption(run, restored, move, changed))
        return _run(restored.saying(resumption.told_of(changed)), run)


def reopen(run: Record, *, progress: Progress | None = None) -> Fitted:
    """Reads a finished run's images and network back into memory."""
    return Fitted(record=run, plan=planned(run, progress=progress), network=artifact.load(run.model).network())


def _command(decided: Plan) -> str:
    """Returns the command line that was given, or for a run made in Python what was asked."""
    program = Path(sys.argv[0])
    if program.name in ("residua", "residua.exe") or program.parent.name == "residua":
        return shlex.join(["residua", *sys.argv[1:]])
    return f"from Python: {decided.asked}"


def planned(
    run: Record,
    *,
    trains: bool = False,
    data_root: str | None = None,
    settings: Sequence[str] = (),
    progress: Progress | None = None,
) -> Plan:
    """Decides again what a run decided at its start, on the same images.

    Args:
        run: The run.
        trains: Whether it goes on training, on the device and in the precision of then; else it is read where it is.
        data_root: Where the named sets are now; None keeps the place of then.
        settings: As `resume` takes them.
        progress: Is told of downloads and decoding.

    Raises:
        BadRun: If the images are no longer the same.
    """
    kept = run.read("run")
    asked = configuration.from_json(TrainSpec, kept["asked"])
    asked = replace(
        asked,
        settings=with_others(asked.settings, settings),
        network=configuration.from_json(NetworkSpec, run.read("specification")),
        weights="none",
        deepen=None,
    )
    if not trains:
        asked = replace(asked, device="auto", settings=with_others(asked.settings, ["precision=auto"]))
    decided = plan(replace(asked, data_root=data_root or asked.data_root), progress=progress)
    before, now = run.read("data")["parts"], decided.dataset.card()["parts"]
    digests = ({name: part["digest"] for name, part in parts.items()} for parts in (before, now))
    changed = sorted({name for name, _ in set.symmetric_difference(*(set(each.items()) for each in digests))})
    if changed:
        raise BadRun(
            f"the {changed[0]} part of {asked.source} is not what {run.path} was trained on; "
            "put the images back, or train anew with `residua train`"
        )
    kept_recipe = configuration.from_json(Recipe, run.read("recipe"))
    kept_recipe = replace(kept_recipe, checkpoint_seconds=decided.recipe.checkpoint_seconds)
    precision = machine.precision(kept_recipe.precision, decided.device) if trains else decided.precision
    seen = configuration.from_json(Preprocessing, run.read("data")["preprocessing"])
    return replace(
        decided,
        epochs=int(kept["epochs"]),
        recipe=kept_recipe,
        precision=precision,
        said=(kept["headline"], *kept["notes"]),
        network_name=kept["network"],
        reason=kept["reason"],
        dataset=replace(decided.dataset, preprocessing=seen),
    )


def _wherever(decided: Plan) -> TrainSpec:
    """Returns what was asked with whole paths, so that the run can be resumed from any folder."""
    asked = decided.asked
    root = None if asked.data_root is None else str(files.expanded(asked.data_root).resolve())
    named = asked.source in sources.names()
    source = asked.source if named else str(files.expanded(asked.source).resolve())
    settings = tuple(map(_whole_cache, asked.settings))
    return replace(asked, source=source, data_root=root, recipe=decided.recipe.name, settings=settings)


def _whole_cache(setting: str) -> str:
    """Returns a setting with a whole path where it says in which folder decoded images are kept."""
    name, _, value = setting.partition("=")
    keeps = name.strip() == "data.cache" and value.strip() not in ("", "none")
    return f"{name}={files.expanded(value.strip()).resolve()}" if keeps else setting


def _start_card(decided: Plan) -> dict[str, Any] | None:
    """Returns what the run starts from, for JSON."""
    start = decided.start
    if start is None:
        return None
    return {"weights": start.origin, "says": start.says, "head": start.head}


def _write_beginning(made: Record, decided: Plan, expected: Estimate, processes: int) -> None:
    """Writes all that is known before the first step; ``run.json`` last, which makes the folder a run."""
    beginning = {
        "specification": configuration.to_json(decided.specification),
        "network": decided.inspection.to_json(),
        "recipe": configuration.to_json(decided.recipe),
        "data": decided.dataset.card(),
        "split": decided.dataset.split(),
        "environment": machine.description(),
        "run": {
            "name": made.path.name,
            "source": decided.asked.source,
            "network": decided.network_name,
            "status": "training",
            "seed": decided.asked.seed,
            "created": datetime.now(UTC).isoformat(timespec="microseconds"),
            "command": _command(decided),
            "headline": decided.headline,
            "reason": decided.reason,
            "start": _start_card(decided),
            "notes": list(decided.notes),
            "epochs": decided.epochs,
            "estimate": expected.to_json(),
            "processes": processes,
            "moved": [],
            "machines": [],
            "resumed_at": [],
            "extended": [],
            "asked": configuration.to_json(_wherever(decided)),
        },
    }
    files.remove_partials(made.path)
    with made.writing():
        for name, value in beginning.items():
            made.write(name, value)
