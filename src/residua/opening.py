"""From what a user names to a case that can be looked at: a run, or a network by name with the images it is shown."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

from torch import Tensor, nn
from torch.optim import Optimizer

from residua import artifact, files, machine
from residua.data import sources
from residua.data.dataset import Dataset, Part
from residua.data.sources import DataSpec, Progress
from residua.diagnostics.case import Case, opened
from residua.errors import BadNetwork, BadSetting, BadWeights, ResiduaError
from residua.networks.weights import reading
from residua.networks.weights.tensors import fitted
from residua.subject import Subject, subject
from residua.training import checkpoint, record
from residua.training import fit as fitting
from residua.training.plan import Plan, plan
from residua.training.record import Record
from residua.training.sitting import Sitting
from residua.training.spec import TrainSpec

_PHOTOGRAPH = 224
_SIDES, _PHOTOGRAPH_SIDES = (32, None, 96, _PHOTOGRAPH), (_PHOTOGRAPH, 96, 32, None)
"""Of the images that a module of unknown making is tried with, in pixels; None is the source's own."""


@final
@dataclass(frozen=True, kw_only=True)
class Asked:
    """What is to be opened, and how much of its images is to be looked at."""

    what: Any
    """A run, or a network by name, specification or ``path.py:factory``."""
    seen: TrainSpec
    """The images of a network, their place, the seed and the device; of a run the last three."""
    sourced: bool
    """Whether the user named the images."""
    verb: str
    """For messages: ``residua.diagnose``."""
    examples: int
    """At most."""
    held_out: int
    """At most."""
    shows_test: bool = False
    """Whether the test part may be looked at where no validation part was held out."""
    weights: str | None = None
    """A file of weights or a run, for a network; None draws them with the seed."""


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Opened:
    """A case, and where it is from."""

    case: Case
    own: str = "train"
    """The name of the part that the case's examples are of."""
    part: str = "validation"
    """The same of its held-out examples."""
    plan: Plan | None = None
    """How it was trained, or would be; None of a module."""
    run: Record | None = None


def require_for_module(images: object, source: object, *, verb: str) -> None:
    """Refuses a module without inputs, or with a source of images besides.

    Raises:
        BadSetting: With what to give.
    """
    if images is None:
        raise BadSetting(f"a module needs inputs: {verb}(module, images, labels)")
    if source is not None:
        raise BadSetting("a module is shown the images that are given with it; leave out source")


def refuse_for_name(**own: object) -> None:
    """Refuses what is for a module where something else is named.

    Raises:
        BadSetting: With the names of what is not None.
    """
    if given := [name for name, value in own.items() if value is not None]:
        raise BadSetting(
            f"{', '.join(given)} would be for a module: a run brings its own, and a network is shown source=…"
        )


def opened_by_name(asked: Asked, progress: Progress) -> Opened:
    """Opens a run, as far as it came, on its own images without augmentation; or a network, on those it is shown.

    Raises:
        BadSetting: If there is no such network, or what is asked does not go together.
        BadNetwork: If the network cannot take the images.
        BadWeights: If the weights are another network's.
        BadRun: If there is no such run, or its images have changed.
    """
    meant = subject(asked.what)
    if meant.image is not None:
        return _of_run(record.find(asked.what), asked, progress)
    if isinstance(meant.network, nn.Module):
        return _of_module(meant, meant.network, asked, progress)
    return _of_network(meant, asked, progress)


def _of_run(run: Record, asked: Asked, progress: Progress) -> Opened:
    if asked.sourced:
        raise BadSetting(f"{asked.what} is a run and is looked at on its own images; leave out {asked.seen.source}")
    if asked.weights is not None:
        raise BadSetting(f"{asked.what} is a run and has its own weights; leave out {asked.weights}")
    decided = fitting.planned(run, data_root=asked.seen.data_root, progress=progress)
    anywhere = replace(decided.recipe, compile=False, synchronised_norm=False)
    decided = replace(decided, recipe=anywhere, device=machine.device(asked.seen.device))
    sitting = Sitting.begin(decided, ())
    remarks = [_restored(run, sitting)]
    if decided.dataset.validation is None and not asked.shows_test:
        remarks.append(
            "The run holds no validation part out, and its test part is not for choosing: what wants unseen images was "
            "measured on training images."
        )
    found = _shown(sitting, run.path.resolve().name, remarks, asked)
    return replace(found, run=run)


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


def _of_network(meant: Subject, asked: Asked, progress: Progress) -> Opened:
    """Opens a network of the library's, with weights from a file or a run, or drawn."""
    network = meant.name if meant.has_name else meant.network
    file = None if asked.weights is None else weights_file(asked.weights)
    kept = artifact.load(file) if file is not None and artifact.describes(file) else None
    seen = replace(asked.seen, network=network)
    if kept is not None and kept.preprocessing.image_size[0] == kept.preprocessing.image_size[1]:
        seen = replace(seen, image_size=kept.preprocessing.image_size[0])
    decided, remarks = _planned(seen, progress)
    size = "×".join(map(str, decided.inspection.image))
    shown = f"it was shown {seen.source}" if asked.sourced else f"{seen.source} was taken, for no images were named"
    if file is None:
        said = (
            f"{meant.name} has not learned anything: its weights are drawn with seed {seen.seed}; {shown}, as {size}."
        )
        return _shown(Sitting.begin(decided, ()), meant.name, (said, *remarks), asked)
    if kept is not None:
        decided = _as_learned(decided, kept, asked)
    sitting = Sitting.begin(decided, ())
    sitting.network.load_state_dict(reading.read_weights(file, decided.specification))
    said = f"The weights of {meant.name} are those of {asked.weights}; {shown}, as {size}."
    return _shown(sitting, meant.name, (said, *remarks), asked)


def _as_learned(decided: Plan, kept: artifact.Artifact, asked: Asked) -> Plan:
    """Returns the plan with images as the weights' network saw them.

    Raises:
        BadWeights: If it tells other classes apart.
    """
    known, there = kept.classes, decided.dataset.classes
    if known != there:
        raise BadWeights(
            f"{asked.weights} tells {_few(known)} apart and {decided.asked.source} has {_few(there)}; "
            "name the images that it learned from"
        )
    return replace(decided, dataset=replace(decided.dataset, preprocessing=kept.preprocessing))


def _few(names: Sequence[str]) -> str:
    return f"{', '.join(names[:2])}, … ({len(names)} classes)"


def weights_file(weights: str) -> Path:
    """Returns the file of a run's weights, or the file that is named.

    Raises:
        BadRun: If it is neither a file nor a finished run.
    """
    path = files.expanded(weights)
    return path if path.is_file() else record.find(weights).require_finished().model


def with_weights_of(module: nn.Module, weights: str) -> nn.Module:
    """Gives a module the weights of a file under its own names, and returns it.

    Raises:
        BadWeights: If the first tensor that does not fit is missing, left over, or of another shape.
    """
    module.load_state_dict(fitted(reading.read_tensors(weights_file(weights)), module.state_dict()))
    return module


def _planned(asked: TrainSpec, progress: Progress) -> tuple[Plan, tuple[str, ...]]:
    """Returns what `residua train` would do; where images are too small for the network, they are enlarged."""
    try:
        return plan(asked, progress=progress), ()
    except BadNetwork:
        large = plan(replace(asked, image_size=_PHOTOGRAPH), progress=progress)
        return large, (f"Images were enlarged to {_PHOTOGRAPH}×{_PHOTOGRAPH} pixels: it is not made for smaller ones.",)


def _shown(sitting: Sitting, name: str, remarks: Sequence[str], asked: Asked) -> Opened:
    """Opens a network of the library's with images of its plan, and the optimizer at its full rate."""
    dataset, network = sitting.course.dataset, sitting.network.train()
    images, labels = dataset.drawn(dataset.train, asked.examples, seed=asked.seen.seed)
    part = dataset.validation or (dataset.test if asked.shows_test else None)
    kept = None if part is None else dataset.drawn(part, asked.held_out, seed=asked.seen.seed)
    optimizer = at_full_rate(sitting.state.optimizer, sitting.plan)
    case = opened(network, images, labels, optimizer=optimizer, held_out=kept, name=name)
    case = replace(case, remarks=(*case.remarks, *remarks))
    return Opened(case=case, part="validation" if part is None else part.name, plan=sitting.plan)


def at_full_rate(optimizer: Optimizer, decided: Plan) -> Optimizer:
    """Gives every group the rate of the schedule's peak, and returns the optimizer."""
    for group in optimizer.param_groups:
        group["lr"] = decided.recipe.optimizer.learning_rate * group["rate_scale"]
    return optimizer


def _of_module(meant: Subject, module: nn.Module, asked: Asked, progress: Progress) -> Opened:
    """Opens a factory's module, at the first size of images that it takes.

    Raises:
        BadNetwork: If it takes none.
    """
    first = next((one for one in module.modules() if isinstance(one, nn.Conv2d)), None)
    elsewhere = f"call {asked.verb}(module, images, labels) from Python with what it takes"
    if first is None or first.in_channels not in (1, 3):
        raise BadNetwork(f"{meant.name} has no convolution that reads grey or colour images; {elsewhere}")
    if asked.weights is not None:
        module = with_weights_of(module, asked.weights)
    module = module.to(machine.device(asked.seen.device))
    said: ResiduaError | str = ""
    for side in _PHOTOGRAPH_SIDES if max(first.stride) > 1 else _SIDES:
        spec = DataSpec(source=asked.seen.source, data_root=asked.seen.data_root, image_size=side)
        dataset = sources.load(spec, progress=progress)
        try:
            return _with_images(meant.name, module, dataset, asked, channels=first.in_channels)
        except BadNetwork as error:
            said = error
    raise BadNetwork(f"{meant.name} takes images of no size that was tried ({said}); {elsewhere}")


def _with_images(name: str, module: nn.Module, dataset: Dataset, asked: Asked, *, channels: int) -> Opened:
    def drawn(part: Part, most: int) -> tuple[Tensor, Tensor]:
        images, labels = dataset.drawn(part, most, seed=asked.seen.seed)
        return _with_channels(images, channels), labels

    images, labels = drawn(dataset.train, asked.examples)
    part = dataset.validation or (dataset.test if asked.shows_test else None)
    case = opened(module, images, labels, held_out=None if part is None else drawn(part, asked.held_out), name=name)
    size = "×".join(map(str, images.shape[1:]))
    remark = f"It was shown {asked.seen.source}, as {size}: the first size tried that it takes."
    case = replace(case, remarks=(*case.remarks, remark))
    return Opened(case=case, part="validation" if part is None else part.name)


def _with_channels(images: Tensor, channels: int) -> Tensor:
    if images.shape[1] == channels:
        return images
    return images.expand(-1, channels, -1, -1) if images.shape[1] == 1 else images.mean(1, keepdim=True)
