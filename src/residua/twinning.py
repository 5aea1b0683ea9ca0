"""A run's plain twin: the same layers without shortcuts, trained as the run was, and kept: it is trained once."""

import os
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from residua import configuration
from residua.data.sources import Progress
from residua.errors import BadRun, BadSetting
from residua.networks import catalogue
from residua.networks.spec import NetworkSpec
from residua.report import page
from residua.report.gather import pictures_of
from residua.report.progress import ProgressObserver
from residua.training import fit as fitting
from residua.training import record
from residua.training.fit import Fitted
from residua.training.plan import Plan, plan
from residua.training.recipe import Recipe
from residua.training.record import Record
from residua.training.spec import TrainSpec

DEMONSTRATION = TrainSpec(source="digits", network="resnet56", weights="none", epochs=12)
"""What is trained where no run is named: deep enough that its plain twin learns worse on the very images it is trained
on (He et al. 2015, §4.2). Measured, one seed: train loss 0.55 with shortcuts and 1.74 without (label smoothing allows
0.50 at least), test accuracy 97.7 % and 40.3 %."""
_RESIDUAL, _SUFFIX = "digits-resnet56-twins", "-plain"


def demonstration(asked: TrainSpec, progress: Progress | None = None) -> Record:
    """Returns the residual run of the demonstration: that of before, or one that is trained now.

    Args:
        asked: Of which seed, device and place of the sets are taken.
        progress: Is told of what is read.

    Raises:
        ResiduaError: As `residua.train` does.
    """
    wanted = replace(DEMONSTRATION, seed=asked.seed, device=asked.device, data_root=asked.data_root)
    place = record.DEFAULT_ROOT / (_RESIDUAL if asked.seed == 0 else f"{_RESIDUAL}-seed{asked.seed}")
    if (place / "run.json").is_file():
        return _finished(Record(place), asked.data_root, progress)
    return _trained(plan(wanted, progress=progress), place)


def plain_twin(run: Record, *, data_root: str | None = None, progress: Progress | None = None) -> Record:
    """Returns the run ``RUN-plain`` of a run's plain twin: that of before, gone on with if need be, or trained now.

    Same images and parts, recipe, epochs, seed and device; how long it takes is said before its first step.

    Args:
        run: A finished run of a network with shortcuts, which began with weights of its own.
        data_root: Where the named sets are now; None keeps the place of then.
        progress: Is told of what is read.

    Raises:
        BadSetting: If the run's network is plain already, or began with other weights, which no twin could.
        BadRun: If the run has not finished, or something else is where its twin belongs.
    """
    decided = _planned(run.require_finished(), data_root, progress)
    place = run.path.resolve().with_name(f"{run.path.resolve().name}{_SUFFIX}")
    if not (place / "run.json").is_file():
        return _trained(decided, place)
    kept = Record(place)
    if found := differences(run, kept):
        raise BadRun(
            f"{place} is in the place of the plain twin of {run.path}, and its {' and '.join(found)} differ; "
            "move it away, or name the twin with --twin RUN"
        )
    return _finished(kept, data_root, progress)


def pair(one: str | os.PathLike[str], other: str | os.PathLike[str]) -> tuple[Record, Record, tuple[str, ...]]:
    """Returns two runs that are twins, the residual one first, and what differs between them besides the shortcuts.

    Raises:
        BadRun: If one of them is no finished run.
        BadSetting: If they are not a network and its plain twin.
    """
    runs = [record.find(path).require_finished() for path in (one, other)]
    runs.sort(key=lambda run: _specification(run).is_plain)
    residual, plain = runs
    different = () if _specification(residual).is_plain else differences(residual, plain)
    if _specification(residual).is_plain or "network" in different:
        raise BadSetting(
            f"{plain.path} is not the plain twin of {residual.path}; give --twin alone, and that is trained"
        )
    return residual, plain, different


def differences(residual: Record, plain: Record) -> tuple[str, ...]:
    """Names what differs between a run and its plain twin besides the shortcuts."""
    pairs = {
        "network": (_specification(residual).plain_twin(), _specification(plain)),
        "recipe": (residual.read("recipe"), plain.read("recipe")),
        "seed": (residual.read("run")["seed"], plain.read("run")["seed"]),
        "images": tuple(
            {name: part["digest"] for name, part in run.read("data")["parts"].items()} for run in (residual, plain)
        ),
    }
    return tuple(name for name, (one, other) in pairs.items() if one != other)


def _planned(run: Record, data_root: str | None, progress: Progress | None) -> Plan:
    """Decides for the twin what the run decided for itself."""
    kept, spec = run.read("run"), _specification(run)
    if spec.is_plain:
        raise BadSetting(f"{run.path} is plain already; name the run of its residual twin, whose plain twin is trained")
    if kept.get("start") is not None:
        raise BadSetting(
            f"{run.path} began with {kept['start']['weights']}, and its plain twin could not; "
            "train it with --weights none, or name a twin with --twin RUN"
        )
    before = configuration.from_json(TrainSpec, kept["asked"])
    asked = replace(
        before,
        network=spec.plain_twin(),
        weights="none",
        epochs=int(kept["epochs"]),
        minutes=None,
        data_root=data_root or before.data_root,
        settings=tuple(one for one in before.settings if not one.startswith("network.")),
    )
    name = kept["network"]
    twin = catalogue.plain_name(name) if name in catalogue.PRESETS else f"{name}{_SUFFIX}"
    recipe = configuration.from_json(Recipe, run.read("recipe"))
    decided = plan(asked, progress=progress)
    return replace(decided, recipe=recipe, network_name=twin, reason=f"trained as {run.path.name} was, its plain twin")


def _specification(run: Record) -> NetworkSpec:
    return configuration.from_json(NetworkSpec, run.read("specification"))


def _finished(kept: Record, data_root: str | None, progress: Progress | None) -> Record:
    """Returns a run that has finished, once it has."""
    if kept.status == "finished":
        return kept
    return _reported(fitting.resume(kept, data_root=data_root, observers=[_shown()], progress=progress))


def _trained(decided: Plan, place: Path) -> Record:
    return _reported(fitting.fit(decided, out=place, observers=[_shown()]))


def _shown() -> ProgressObserver:
    return ProgressObserver(Console(stderr=True))


def _reported(fitted: Fitted) -> Record:
    page.write_report(fitted.record.path, pictures_of(fitted))
    return fitted.record
