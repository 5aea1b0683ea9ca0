"""The public verb that says why a network learns, or does not."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

import torch
from rich.console import Console
from torch import Tensor, nn
from torch.optim import Optimizer

from residua import artifact, evaluation, machine
from residua.data import sources
from residua.data.dataset import Dataset, Part
from residua.data.sources import DataSpec, Progress
from residua.diagnostics import diagnosis
from residua.diagnostics.case import Case, Loss, answer, opened, undisturbed
from residua.diagnostics.case import run as run_module
from residua.diagnostics.diagnosis import RunFacts
from residua.diagnostics.rules.remedies import with_measured_remedies
from residua.diagnostics.what_if import Make
from residua.diagnostics.what_if import what_if as measured_variants
from residua.errors import BadNetwork, BadSetting
from residua.networks.spec import NetworkSpec
from residua.report.diagnosis_page import Diagnosed
from residua.report.diagnosis_progress import diagnosis_progress, remedies_progress
from residua.report.terminal import transfer_progress
from residua.runs import Run
from residua.subject import Subject, subject
from residua.training import checkpoint, record
from residua.training import fit as fitting
from residua.training.optimizers import optimizer_for
from residua.training.plan import Plan, TrainSpec, plan
from residua.training.record import Record
from residua.training.sitting import Sitting

_SOURCE = "digits"
_PHOTOGRAPH = 224
_SIDES, _PHOTOGRAPH_SIDES = (32, None, 96, _PHOTOGRAPH), (_PHOTOGRAPH, 96, 32, None)
"""Of the images that a module of unknown making is tried with, in pixels; None is the source's own."""
_EXAMPLES, _HELD_OUT = 1024, 512
_BYTES = 1 << 28
"""That examples may take, at most."""


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class _Opened:
    """What is diagnosed, and where its page belongs."""

    case: Case
    facts: RunFacts | None = None
    run: Record | None = None
    page: Path | None = None
    """Where it goes if nothing is said; None writes it into the run, or nowhere."""
    make: Make | None = None
    """Makes the optimizer of a variant, where a recipe says how."""


def diagnose(
    what: str | os.PathLike[str] | NetworkSpec | nn.Module | Run,
    images: Tensor | tuple[Tensor, ...] | Mapping[str, Tensor] | None = None,
    labels: Any = None,
    *,
    loss: Loss | None = None,
    optimizer: Optimizer | None = None,
    held_out: tuple[Any, Any] | None = None,
    source: str | os.PathLike[str] | None = None,
    data_root: str | os.PathLike[str] | None = None,
    only: Sequence[str] = (),
    what_if: bool = False,
    seed: int = 0,
    device: str = "auto",
    out: str | os.PathLike[str] | None = None,
) -> Diagnosed:
    """Measures how signals and gradients travel through a network, and says what is wrong and what to do.

    What does not fit into a minute is left out, and said. The module comes back as it was: what has to be trained is a
    copy.

    Args:
        what: Any module, with its inputs; a run, finished or not, which brings its network and its images; or a
            network by name, specification or ``path.py:factory``, which is built and shown ``source``.
        images: A module's inputs: a tensor, a tuple for a forward of several, a mapping for one by name.
        labels: Of these.
        loss: Takes what the module gives and the labels, and returns the mean over the examples; None takes the
            cross-entropy where outputs are logits and labels whole numbers, else a linear functional of the outputs.
        optimizer: That the module learns with.
        held_out: Inputs and labels that it does not learn from.
        source: Of images for a network: a named set or a folder; None takes digits.
        data_root: Folder of the named sets; None follows ``RESIDUA_DATA``.
        only: Names of measurements, which are then made in full; none takes all that fit a minute.
        what_if: Whether variants of the network (its residual twin, another activation, norm, initialisation, learning
            rate) are measured beside it; the time that takes is said before.
        seed: Of a network's weights, and of which images are looked at.
        device: For a run or a network: ``auto``, ``cpu``, ``cuda``, …; a module stays where it is.
        out: The page; None writes it into a run's folder, or to ``NETWORK-diagnosis.html``, and none for a module.

    Raises:
        BadSetting: If there is no such network or measurement, or what is given does not go together.
        BadNetwork: If the network cannot take the images.
        ResiduaError: As `residua.train` does, for a source that cannot be used.
    """
    only = (only,) if isinstance(only, str) else only
    diagnosis.check_parts(only)
    machine.prepare_process()
    if isinstance(what, nn.Module):
        _refuse_for_module(images, source)
        case = opened(what, images, labels, loss=loss, optimizer=optimizer, held_out=held_out)  # type: ignore[arg-type]
        found = _Opened(case=case)
    else:
        own = {"images": images, "labels": labels, "loss": loss, "optimizer": optimizer, "held_out": held_out}
        _refuse_for_name([name for name, value in own.items() if value is not None])
        with transfer_progress(Console(stderr=True)) as progress:
            asked = TrainSpec(
                source=_SOURCE if source is None else os.fspath(source),
                weights="none",
                seed=seed,
                data_root=None if data_root is None else os.fspath(data_root),
                device=device,
            )
            found = _named(what.path if isinstance(what, Run) else what, source is not None, asked, progress)
    with diagnosis_progress() as told:
        measurements = diagnosis.diagnose(found.case, only=only, run=found.facts, told=told)
    if what_if:
        with remedies_progress() as tried:
            rows = measured_variants(found.case, make=found.make, seed=seed, told=tried)
        findings = with_measured_remedies(measurements.findings, rows)
        measurements = replace(measurements, what_if=rows, findings=findings)
    measured = Diagnosed(measurements=measurements)
    if out is not None:
        return measured.write(os.fspath(out))
    if found.run is not None:
        return measured.write_into(found.run.path)
    return measured if found.page is None else measured.write(found.page)


def _refuse_for_module(images: object, source: object) -> None:
    if images is None:
        raise BadSetting("a module needs inputs: residua.diagnose(module, images, labels)")
    if source is not None:
        raise BadSetting("a module is shown the images that are given with it; leave out source")


def _refuse_for_name(given: Sequence[str]) -> None:
    if given:
        raise BadSetting(
            f"{', '.join(given)} would be for a module: a run brings its own, and a network is shown source=…"
        )


def _named(what: Any, sourced: bool, asked: TrainSpec, progress: Progress) -> _Opened:
    """Opens a run or a network by name."""
    meant = subject(what)
    if meant.image is not None:
        if sourced:
            raise BadSetting(f"{what} is a run and is diagnosed on its own images; leave out {asked.source}")
        return _of_run(record.find(what), asked, progress)
    page = Path(f"{meant.name}-diagnosis.html")
    if isinstance(meant.network, nn.Module):
        return _Opened(case=_of_module(meant, meant.network, asked, progress), page=page)
    decided, remarks = _planned(replace(asked, network=meant.name if meant.has_name else meant.network), progress)
    sitting = Sitting.begin(decided, ())
    seen = f"{asked.source} was taken, for no images were named" if not sourced else f"it was shown {asked.source}"
    size = "×".join(map(str, decided.inspection.image))
    said = f"{meant.name} has not learned anything: its weights are drawn with seed {asked.seed}; {seen}, as {size}."
    return _Opened(case=_case(sitting, meant.name, (said, *remarks), asked.seed), page=page, make=_maker(decided))


def _planned(asked: TrainSpec, progress: Progress) -> tuple[Plan, tuple[str, ...]]:
    """Returns what `residua train` would do; where images are too small for the network, they are enlarged."""
    try:
        return plan(asked, progress=progress), ()
    except BadNetwork:
        large = plan(replace(asked, image_size=_PHOTOGRAPH), progress=progress)
        return large, (f"Images were enlarged to {_PHOTOGRAPH}×{_PHOTOGRAPH} pixels: it is not made for smaller ones.",)


def _of_run(run: Record, asked: TrainSpec, progress: Progress) -> _Opened:
    """Opens a run, whether it finished, was stopped or failed, with its network as far as it came."""
    decided = fitting.planned(run, data_root=asked.data_root, progress=progress)
    anywhere = replace(decided.recipe, compile=False, synchronised_norm=False)
    decided = replace(decided, recipe=anywhere, device=machine.device(asked.device))
    sitting = Sitting.begin(decided, ())
    remarks = [_restored(run, sitting)]
    if decided.dataset.validation is None:
        remarks.append(
            "The run holds no validation part out, and its test part is not for choosing: what wants unseen images was "
            "measured on training images."
        )
    name = run.path.resolve().name
    case = _case(sitting, name, remarks, asked.seed)
    facts = replace(run_facts(run, decided), fitted=_fitted(case))
    return _Opened(case=case, facts=facts, run=run, make=_maker(decided))


def _restored(run: Record, sitting: Sitting) -> str:
    """Gives the network the newest weights that the run kept, and says which these are.

    Raises:
        BadRun: If there are some, and all are damaged.
    """
    if run.status == "finished":
        sitting.network.load_state_dict(artifact.load(run.model).network().state_dict())
        return "The network is the run’s own, as it finished; it was shown its training images without augmentation."
    if checkpoint.found(run.checkpoints):
        passed_over = checkpoint.restore(sitting.state, run.checkpoints, sitting.plan.device)
        step = sitting.state.position.total_steps
        said = f"The run is {run.status}: its network is that of its newest checkpoint, after step {step:,}."
        return f"{said} {passed_over}." if passed_over else said
    started = run.read("run").get("start")
    if started is not None:
        raise BadSetting(f"{run.path} began with {started['weights']} and has no checkpoint yet; train a little more")
    return f"The run is {run.status} and has no checkpoint: its network is as it began, before the first step."


def run_facts(run: Record, decided: Plan) -> RunFacts:
    """Returns what a run's files tell of its course."""
    rows = run.epochs() if (run.path / "metrics.jsonl").is_file() else []
    finished = run.status == "finished"
    simple = run.read("result")["baselines"] if finished else {}
    chosen = run.read("result")["chosen"]["epoch"] if finished else None
    counts = torch.bincount(decided.dataset.train.labels.cpu())
    commonest = float(counts.max() / counts.sum())
    return RunFacts(
        train_losses=tuple(row["train_loss"] for row in rows),
        train_accuracies=tuple(row["train_accuracy"] for row in rows),
        validation_losses=tuple(row["validation_loss"] for row in rows),
        validation_accuracies=tuple(row["validation_accuracy"] for row in rows),
        baseline=max((row["accuracy"] for row in simple.values()), default=commonest),
        label_smoothing=decided.recipe.label_smoothing,
        training_examples=len(decided.dataset.train),
        finished=finished,
        failed=run.status == "failed",
        chosen_epoch=chosen or None,
    )


def _case(sitting: Sitting, name: str, remarks: Sequence[str], seed: int) -> Case:
    """Returns the case of a network of the library's with images of its plan, and the optimizer at its full rate."""
    dataset, network = sitting.course.dataset, sitting.network.train()
    optimizer = _at_full_rate(sitting.state.optimizer, sitting.plan)
    images, labels = _drawn(dataset, dataset.train, _EXAMPLES, seed)
    kept = None if dataset.validation is None else _drawn(dataset, dataset.validation, _HELD_OUT, seed)
    case = opened(network, images, labels, optimizer=optimizer, held_out=kept, name=name)
    return replace(case, remarks=(*case.remarks, *remarks))


def _fitted(case: Case) -> float:
    """Returns the share of the examples that the network gets right in evaluation mode."""
    right = 0
    with undisturbed(case.module) as module, torch.no_grad():
        module.eval()
        for first in range(0, len(case.examples), evaluation.BATCH_SIZE):
            some = case.examples.take(slice(first, first + evaluation.BATCH_SIZE))
            right += int((answer(run_module(module, some)).argmax(1) == some.labels).sum())
    return right / len(case.examples)


def _maker(decided: Plan) -> Make:
    """Returns what makes a network's optimizer as the recipe does, at its full rate."""

    def make(network: nn.Module) -> Optimizer:
        recipe = decided.recipe
        return _at_full_rate(optimizer_for(network, recipe.optimizer, stage_decay=recipe.stage_decay), decided)

    return make


def _at_full_rate(optimizer: Optimizer, decided: Plan) -> Optimizer:
    """Gives every group the rate of the schedule's peak, and returns the optimizer."""
    for group in optimizer.param_groups:
        group["lr"] = decided.recipe.optimizer.learning_rate * group["rate_scale"]
    return optimizer


def _drawn(dataset: Dataset, part: Part, most: int, seed: int) -> tuple[Tensor, Tensor]:
    """Returns normalised images of a part with their labels, drawn without replacement; folders are sorted by class."""
    room = _BYTES // (4 * part.images.shape[1:].numel())
    order = torch.randperm(len(part), generator=torch.Generator().manual_seed(seed))
    places = order[: max(2, min(most, room))]
    pixels = part.take(places)
    return dataset.preprocessing.normalise(pixels), part.labels[places.to(part.labels.device)].to(pixels.device)


def _of_module(meant: Subject, module: nn.Module, asked: TrainSpec, progress: Progress) -> Case:
    """Returns the case of a factory's module, at the first size of images that it takes.

    Raises:
        BadNetwork: If it takes none.
    """
    first = next((one for one in module.modules() if isinstance(one, nn.Conv2d)), None)
    elsewhere = "call residua.diagnose(module, images, labels) from Python with what it takes"
    if first is None or first.in_channels not in (1, 3):
        raise BadNetwork(f"{meant.name} has no convolution that reads grey or colour images; {elsewhere}")
    said = ""
    for side in _PHOTOGRAPH_SIDES if max(first.stride) > 1 else _SIDES:
        dataset = sources.load(
            DataSpec(source=asked.source, data_root=asked.data_root, image_size=side), progress=progress
        )
        images, labels = _drawn(dataset, dataset.train, _EXAMPLES, asked.seed)
        images = _with_channels(images, first.in_channels)
        kept = None if dataset.validation is None else _drawn(dataset, dataset.validation, _HELD_OUT, asked.seed)
        unseen = None if kept is None else (_with_channels(kept[0], first.in_channels), kept[1])
        try:
            case = opened(module.to(machine.device(asked.device)), images, labels, held_out=unseen, name=meant.name)
        except BadNetwork as error:
            said = str(error)
            continue
        size = "×".join(map(str, images.shape[1:]))
        remark = f"It was shown {asked.source}, as {size}: the first size tried that it takes."
        return replace(case, remarks=(*case.remarks, remark))
    raise BadNetwork(f"{meant.name} takes images of no size that was tried ({said}); {elsewhere}")


def _with_channels(images: Tensor, channels: int) -> Tensor:
    if images.shape[1] == channels:
        return images
    return images.expand(-1, channels, -1, -1) if images.shape[1] == 1 else images.mean(1, keepdim=True)
