"""The public verbs: each wires rooms together in a few lines."""

import os
import shlex
import shutil
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Literal

from residua import artifact, configuration, evaluation, files, machine
from residua.data import sources
from residua.data.dataset import Part
from residua.data.foreign import foreign_part
from residua.errors import BadRun
from residua.inference.predictor import Prediction
from residua.networks.spec import NetworkSpec
from residua.report import page
from residua.report.gather import pictures_of
from residua.report.rate_page import RateFound, write_rate_page
from residua.report.terminal import transfer_progress
from residua.runs import Run
from residua.training import distributed, record, resumption
from residua.training import fit as fitting
from residua.training.command import train_command
from residua.training.distributed import Team
from residua.training.fit import Fitted
from residua.training.observers import Observer
from residua.training.path import is_kept
from residua.training.plan import Plan, plan
from residua.training.record import Record
from residua.training.spec import TrainSpec, has_effect, name_of, with_others
from residua.watching import is_watched, observers


def train(
    source: str | os.PathLike[str] = "digits",
    *,
    network: str | NetworkSpec | None = None,
    weights: str | os.PathLike[str] | None = None,
    recipe: str | None = None,
    epochs: int | None = None,
    minutes: float | None = None,
    image_size: int | None = None,
    fit: Literal["crop", "pad", "squash"] = "crop",
    group: str | None = None,
    data_root: str | os.PathLike[str] | None = None,
    seed: int = 0,
    device: str = "auto",
    out: str | os.PathLike[str] | None = None,
    settings: Sequence[str] = (),
    diagnose: bool = False,
    keep_path: bool = False,
) -> Run:
    """Trains a residual network on images and writes a run with its report.

    Sets up the process as a training run needs it (`residua.machine.prepare_process`). Processes that torchrun or srun
    started together train together: each calls this, rank 0 writes and reports, and what ends the run early is raised
    there while the others leave quietly.

    Args:
        source: ``digits``, ``fashion-mnist``, ``cifar10``, or a folder of class folders.
        network: Name, ``path.py:factory`` or specification; None follows the written rule (`residua.training.choice`).
        weights: What it starts from: ``none``; ``torchvision:IMAGENET1K_V1``; a file of weights; a run. None takes
            published weights for photographs, which are fetched once, and nothing for small images.
        recipe: How it learns: ``default``, ``fast`` (small images), ``transfer``, ``he2015`` or ``textbook``; None is
            ``transfer`` for what starts from weights, else ``default``.
        epochs: Passes over the training part; None follows the recipe or the rule.
        minutes: Time for the whole command; epochs are fitted to it.
        image_size: Side of the square the network sees, in pixels; None follows the source.
        fit: How a photograph becomes a square.
        group: Regular expression on file names; images with the same match stay in one part.
        data_root: Folder of the named sets; None follows ``RESIDUA_DATA``.
        seed: Of the weights, the order and the augmentation.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1``, …
        out: The run directory; None takes the next free ``runs/SOURCE-NETWORK-NUMBER``.
        settings: ``name=value`` for single fields, as ``--set`` takes them.
        diagnose: Whether gradients and updates are sampled by block while it trains, for the report (`residua.watch`);
            the result is the same to the bit.
        keep_path: Whether 30 to 60 of the weights' states on the way are kept in ``RUN/path``, for a landscape's path
            (`residua.training.path`); the result is the same to the bit.

    Raises:
        ResiduaError: For whatever cannot work, before the first step; later `Interrupted` or `NonFiniteLoss`.
    """

    def asked() -> TrainSpec:
        return _asked(
            source,
            network=network,
            weights=weights,
            recipe=recipe,
            epochs=epochs,
            minutes=minutes,
            image_size=image_size,
            fit=fit,
            group=group,
            data_root=data_root,
            seed=seed,
            device=device,
            settings=settings,
        )

    return _trained(asked, device, out, diagnose=diagnose, keep_path=keep_path)


def find_learning_rate(source: str | os.PathLike[str] = "digits", **asked: Any) -> RateFound:
    """Finds learning rates that a network learns at, and writes a page with the plot; trains no run.

    A range test on a copy of the network (`residua.training.rate_finder`): a run that is trained afterwards is the
    same to the bit as without it.

    Args:
        source: As `train` takes it.
        asked: Anything else that `train` takes, but ``out``.

    Raises:
        ResiduaError: As `train` does before its first step.
    """
    machine.prepare_process()
    with transfer_progress() as progress:
        decided = fitting.with_head(plan(_asked(source, **asked), progress=progress), progress=progress)
        found = fitting.range_test(decided, told=partial(progress, "trying learning rates"))
    name = Path(decided.asked.source).name
    command = shlex.join(train_command(decided.asked, learning_rate=found.suggested))
    path = record.DEFAULT_ROOT / f"{record.stem_of(name, decided.network_name)}-learning-rate.html"
    title = f"{decided.network_name} on {name}"
    return RateFound(test=found, page=write_rate_page(path, found, title=title, command=command), command=command)


def deepen(
    run: str | os.PathLike[str],
    stage: int,
    blocks: int = 1,
    *,
    source: str | os.PathLike[str] | None = None,
    recipe: str | None = None,
    epochs: int | None = None,
    minutes: float | None = None,
    seed: int | None = None,
    out: str | os.PathLike[str] | None = None,
    settings: Sequence[str] = (),
    diagnose: bool = False,
    keep_path: bool = False,
) -> Run:
    """Adds identity blocks to a run's network, which changes no answer, and trains the deeper one as a new run.

    What is not said here is as in the old run: the images, their size, the recipe.

    Args:
        run: A finished run.
        stage: Counts from 1.
        blocks: How many are added at its end.
        source: Other images; None takes the run's.
        recipe: Another recipe.
        epochs: Passes over the training part; None follows the recipe or the rule.
        minutes: Time for the whole command; epochs are fitted to it.
        seed: Of the new blocks' weights, the order and the augmentation; None takes the run's.
        out: The new run's directory.
        settings: ``name=value`` for single fields, after those of the old run.
        diagnose: As `train` takes it.
        keep_path: As `train` takes it.

    Raises:
        BadNetwork: If no block of the network's kind is the identity, with the reason.
        ResiduaError: As `train` does.
    """

    def asked() -> TrainSpec:
        opened = record.find(run).require_finished()
        before = configuration.from_json(TrainSpec, opened.read("run")["asked"])
        kept = [setting for setting in before.settings if not setting.startswith("network.")]
        kept = [setting for setting in kept if name_of(setting) != "epochs" or not (epochs or minutes)]
        return replace(
            before,
            source=before.source if source is None else os.fspath(source),
            network=None,
            weights=str(opened.path),
            deepen=(stage, blocks),
            recipe=recipe or before.recipe,
            epochs=epochs,
            minutes=minutes,
            seed=before.seed if seed is None else seed,
            settings=with_others(kept, settings),
        )

    return _trained(asked, _device_of(run), out, diagnose=diagnose, keep_path=keep_path)


def resume(
    run: str | os.PathLike[str],
    *,
    epochs: int | None = None,
    data_root: str | os.PathLike[str] | None = None,
    accept_processes: bool = False,
    diagnose: bool = False,
    keep_path: bool = False,
    **asked: Any,
) -> Run:
    """Goes on with a stopped or killed run to the result it would have had, to the bit.

    One that was killed while its report was drawn gets its report.

    Args:
        run: A run that has not finished.
        epochs: More than it was begun with: the rest follows the schedule of a run of so many.
        data_root: Where the named sets are now; None keeps the place of then.
        accept_processes: Whether another number of processes is accepted where it changes the result; the run says so.
        diagnose: As `train` takes it; a run that was watched before is watched on.
        keep_path: As `train` takes it; a run that kept it before keeps it on.
        asked: Anything else that `train` takes, which must be as the run was asked; settings that change no result
            (`residua.training.spec.WITHOUT_EFFECT`) may be others, and hold until the run ends or stops again.

    Raises:
        BadRun: If it is finished, its checkpoints are damaged, or its images have changed.
        BadSetting: If something asked would change the result; shows the difference.
    """

    def told(path: Path) -> list[Observer]:
        return observers(watched=diagnose or is_watched(path), keeps_path=keep_path or is_kept(path))

    machine.prepare_process()
    with distributed.joined(_device_of(run)) as team:
        opened = team.together(lambda: resumption.as_begun(run, asked))
        if team.lead(lambda: opened.status == "finished" and not opened.report.exists()):
            done = _reported_late(opened, team)
            if epochs is None or epochs == opened.read("run")["epochs"]:
                return done
        fitted = fitting.resume(
            opened,
            epochs=epochs,
            data_root=None if data_root is None else os.fspath(data_root),
            observers=told(opened.path) if team.leads else [],
            team=team,
            accept_processes=accept_processes,
            settings=[setting for setting in asked.get("settings", ()) if not has_effect(setting)],
        )
        return _reported(fitted, team)


def _reported_late(run: Record, team: Team) -> Run:
    """Draws the report of a run that was killed between its result and that."""

    def draw() -> None:
        shutil.rmtree(run.checkpoints, ignore_errors=True)
        for folder in (run.path, run.path / "figures"):
            files.remove_partials(folder)
        write_report(run.path)

    with fitting.held(run, team):
        team.lead(draw)
    return Run(run.path)


def _device_of(run: str | os.PathLike[str]) -> str:
    """Returns the device that a run was asked to train on."""
    with machine.said_once():
        return record.find(run).read("run")["asked"]["device"]


def load(run: str | os.PathLike[str] = "last") -> Run:
    """Opens a finished run: a directory, a name under ``runs/``, or ``last``."""
    return Run(run)


def predict(run: str | os.PathLike[str], image: Any) -> Prediction:
    """Predicts one image with a run's network."""
    return load(run).predict(image)


def download(names: Iterable[str], data_root: str | os.PathLike[str] | None = None) -> list[Path]:
    """Fetches named sets ahead of their use and returns where they are.

    Raises:
        DownloadFailed: With the address, the place for the file and its checksum.
    """
    root = None if data_root is None else os.fspath(data_root)
    with transfer_progress() as progress:
        return [sources.download(name, root, progress=progress) for name in names]


def evaluate(
    run: str | os.PathLike[str], source: str | os.PathLike[str] | None = None, *, data_root: str | None = None
) -> dict[str, Any]:
    """Measures a run's network on its own held-out part, or on another source.

    Of another source the test part is used where it has one of its own, else every image; classes are
    matched by name. Each evaluation is kept in ``evaluations.jsonl``; those on the run's own test part are
    counted in its result, because choosing by them makes the accuracy optimistic.

    Raises:
        BadData: If the source has a class that the network does not know.
        BadRun: If the run's own images have changed.
    """
    opened = record.find(run).require_finished()
    kept = artifact.load(opened.model)
    machine.prepare_process()
    with transfer_progress() as progress:
        if source is None:
            part = _own_part(fitting.planned(opened, data_root=data_root, progress=progress))
        else:
            place = os.fspath(source)
            part = foreign_part(
                place, kept.preprocessing, kept.classes, data_root, settings=_keeping(opened), progress=progress
            )
    device = machine.device()
    outcome = evaluation.evaluate(kept.network().to(device), part, kept.preprocessing, device=device)
    numbers = evaluation.metrics(outcome.at(kept.temperature), kept.classes)
    _remember(opened, part, None if source is None else os.fspath(source), numbers)
    return {
        "source": opened.read("run")["source"] if source is None else os.fspath(source),
        "part": part.name,
        **numbers,
    }


def write_report(run: str | os.PathLike[str]) -> Path:
    """Draws a finished run's report again, from its files and its source's images."""
    opened = record.find(run).require_finished()
    machine.prepare_process()
    with transfer_progress() as progress:
        return page.write_report(opened.path, pictures_of(fitting.reopen(opened, progress=progress)))


def _asked(source: str | os.PathLike[str], *, settings: Sequence[str] = (), **options: Any) -> TrainSpec:
    """Returns what is asked as it is kept: paths as text."""
    kept = {name: os.fspath(value) if isinstance(value, os.PathLike) else value for name, value in options.items()}
    return TrainSpec(source=os.fspath(source), settings=tuple(settings), **kept)


def _trained(
    asked: Callable[[], TrainSpec],
    device: str,
    out: str | os.PathLike[str] | None,
    *,
    diagnose: bool,
    keep_path: bool,
) -> Run:
    machine.prepare_process()
    with distributed.joined(device) as team:
        with transfer_progress() if team.leads else nullcontext() as progress:
            decided = team.together(lambda: fitting.with_head(plan(asked(), progress=progress), progress=progress))
        told = observers(watched=diagnose, keeps_path=keep_path) if team.leads else []
        fitted = fitting.fit(decided, out=None if out is None else Path(out), observers=told, team=team)
        return _reported(fitted, team)


def _reported(fitted: Fitted, team: Team) -> Run:
    write = fitted.record.writing()(page.write_report)
    with fitting.held(fitted.record, team):
        team.lead(lambda: write(fitted.record.path, pictures_of(fitted)))
    return Run(fitted.record.path)


def _keeping(run: Record) -> list[str]:
    """Returns where the run was asked to keep decoded images, as settings of the data."""
    asked = [setting.removeprefix("data.") for setting in run.read("run")["asked"]["settings"]]
    return [setting for setting in asked if name_of(setting) in ("keep", "cache", "cache_gb")]


def _own_part(decided: Plan) -> Part:
    part = decided.dataset.test or decided.dataset.validation
    if part is None:
        raise BadRun("the run held no images out; name a source to evaluate it on")
    return part


def _remember(opened: Record, part: Part, source: str | None, numbers: dict[str, Any]) -> None:
    """Adds a line to the run's evaluations, and counts it where it was on the run's own part."""
    path = opened.path / "evaluations.jsonl"
    row = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "source": source,
        "part": part.name,
        "images": numbers["images"],
        "accuracy": numbers["accuracy"],
    }
    files.write_json_lines(path, [*(files.read_json_lines(path) if path.is_file() else []), row])
    if source is None:
        result = opened.read("result")
        result["parts"][part.name]["evaluations"] += 1
        opened.write("result", result)
