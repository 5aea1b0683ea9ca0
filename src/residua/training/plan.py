"""From what a user asked to all that is decided before the first step; every refusal comes from here."""

import shlex
import time
from dataclasses import dataclass, replace
from typing import Literal, final

import torch

from residua import configuration, machine
from residua.data import sources
from residua.data.augment import AugmentSpec, default_augment
from residua.data.dataset import Dataset
from residua.data.sources import DataSpec
from residua.errors import BadNetwork, BadSetting
from residua.networks import catalogue, cost
from residua.networks.spec import NetworkSpec
from residua.training.choice import DEFAULT_MINUTES, PHOTOGRAPH_SIDE, Choice, Processor, choose, ladder
from residua.training.recipe import Recipe, recipe

_FEW_IMAGES_A_CLASS = 500
_ENLARGED = 96


@final
@dataclass(frozen=True, kw_only=True)
class TrainSpec:
    """What a user asks of a training run; a run keeps it, so that it can be resumed and repeated."""

    source: str = "digits"
    """Name of a set, or a folder of class folders."""
    network: str | NetworkSpec | None = None
    """Catalogue name or specification; None leaves it to the rule."""
    recipe: str = "default"
    epochs: int | None = None
    """None leaves them to the recipe, or else to the rule."""
    minutes: float | None = None
    """Time for the whole command; epochs are fitted to it by a measured step."""
    image_size: int | None = None
    """Side of the square the network sees, in pixels; None follows the source."""
    fit: Literal["crop", "pad", "squash"] = "crop"
    """How a photograph becomes a square."""
    group: str | None = None
    """Regular expression on file names; images with the same match stay in one part."""
    data_root: str | None = None
    """Folder of the named sets."""
    seed: int = 0
    """Of the weights, the order and the augmentation; the split has its own (``data.split_seed``)."""
    device: str = "auto"
    settings: tuple[str, ...] = ()
    """``name=value`` for single fields of the recipe, of ``network.…`` and of ``data.…``."""

    def __post_init__(self) -> None:
        configuration.check_choices(self)
        configuration.check(self.minutes is None or self.minutes > 0, "--minutes", self.minutes, "above 0")
        configuration.check(self.epochs is None or self.epochs >= 1, "--epochs", self.epochs, "1 or above")
        configuration.check(
            self.image_size is None or self.image_size >= 1, "--image-size", self.image_size, "1 or above"
        )
        if self.epochs and self.minutes:
            raise BadSetting("--epochs and --minutes both say how long to train; give one of them")


@final
@dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything that is decided before the first step."""

    asked: TrainSpec
    dataset: Dataset
    specification: NetworkSpec
    network_name: str
    recipe: Recipe
    """With nothing left open."""
    epochs: int
    augment: AugmentSpec
    device: torch.device
    bfloat16: bool
    reason: str
    """Why this network and these epochs."""
    began: float
    """When the reading of the data began, on `time.perf_counter`'s clock."""
    inspection: cost.Inspection

    @property
    def headline(self) -> str:
        """Says in one line what will be trained, for how long, and why this."""
        epochs = f"{self.epochs} epoch{'s' * (self.epochs > 1)}"
        return (
            f"{self.network_name} ({self.inspection.parameters:,} parameters), {epochs}, "
            f"{self.recipe.batch_size} images a step, recipe {self.recipe.name}: {self.reason}"
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """Returns what the user should know before it starts."""
        train, classes = self.dataset.train, len(self.dataset.classes)
        few = len(train.labels) < _FEW_IMAGES_A_CLASS * classes and self.side >= PHOTOGRAPH_SIDE
        warning = (
            f"{len(train.labels)} images are few for training from nothing ({_FEW_IMAGES_A_CLASS} a class and more "
            "are usual): expect little better than the baselines, which the report shows"
        )
        return (*self.dataset.notes, *((warning,) if few else ()))

    @property
    def side(self) -> int:
        """Returns the shorter side of the images, in pixels."""
        return min(self.dataset.preprocessing.image_size)


def plan(asked: TrainSpec, *, progress: sources.Progress | None = None) -> Plan:
    """Reads the data and decides everything else.

    Raises:
        BadSetting: If a name, an option or a ``--set`` is not allowed.
        BadData: If the source cannot be used.
        BadNetwork: If the network does not fit the images; both ways out are commands ready to copy.
    """
    began = time.perf_counter()
    settings = _by_room(asked.settings)
    base = configuration.with_settings(recipe(asked.recipe), settings["recipe"])
    device = machine.device(asked.device)
    bfloat16 = machine.precision(base.precision, device) == "bfloat16"
    if isinstance(asked.network, str):
        catalogue.specification(asked.network)
    dataset = sources.load(_data_spec(asked, base, settings["data"]), progress=progress)
    if asked.network is not None:
        _require_fit(asked, _specification(asked.network, dataset, settings["network"]), dataset)
    processor: Processor = "gpu" if device.type == "cuda" else "bfloat16" if bfloat16 else "float32"
    chosen = _chosen(asked, dataset, processor, settings["network"])
    specification = _specification(asked.network or chosen.network, dataset, settings["network"])
    _require_fit(asked, specification, dataset)
    shape = (dataset.preprocessing.channels, *dataset.preprocessing.image_size)
    epochs = asked.epochs or base.epochs or chosen.epochs
    augment = _augment(base, dataset)
    return Plan(
        asked=asked,
        dataset=dataset,
        specification=specification,
        network_name=chosen.network,
        recipe=replace(
            _with_batch_size(base, chosen, settings["recipe"]),
            epochs=epochs,
            precision="bfloat16" if bfloat16 else "float32",
            crop_padding=augment.crop_padding,
            flip=augment.flip,
            padding=augment.padding,
        ),
        epochs=epochs,
        augment=augment,
        device=device,
        bfloat16=bfloat16,
        reason=_reason(asked, base, chosen),
        began=began,
        inspection=cost.inspect(specification, shape),
    )


def _reason(asked: TrainSpec, base: Recipe, chosen: Choice) -> str:
    given = asked.epochs or base.epochs
    if asked.network and given:
        return "as asked"
    return chosen.reason if given else f"{chosen.reason}, about {asked.minutes or DEFAULT_MINUTES:g} min"


def _by_room(settings: tuple[str, ...]) -> dict[str, list[str]]:
    """Sorts ``name=value`` settings into those of the network, the data and the recipe; drops the room's name."""
    sorted_ = {"network": [], "data": [], "recipe": []}
    for setting in settings:
        room, dot, rest = setting.partition(".")
        known = dot and room in sorted_
        sorted_[room if known else "recipe"].append(rest if known else setting)
    return sorted_


def _data_spec(asked: TrainSpec, base: Recipe, settings: list[str]) -> DataSpec:
    spec = DataSpec(
        source=asked.source,
        data_root=asked.data_root,
        image_size=asked.image_size,
        fit=asked.fit,
        group=asked.group,
        validation_fraction=base.validation_fraction,
        per_pixel_mean=base.per_pixel_mean,
    )
    return configuration.with_settings(spec, settings)


def _specification(network: str | NetworkSpec, dataset: Dataset, settings: list[str]) -> NetworkSpec:
    classes, channels = len(dataset.classes), dataset.preprocessing.channels
    if isinstance(network, NetworkSpec):
        spec = replace(network, classes=classes, in_channels=channels)
    else:
        spec = catalogue.specification(network, classes=classes, in_channels=channels)
    return configuration.with_settings(spec, settings)


def _chosen(asked: TrainSpec, dataset: Dataset, processor: Processor, settings: list[str]) -> Choice:
    shape = (dataset.preprocessing.channels, *dataset.preprocessing.image_size)
    own = asked.network if isinstance(asked.network, NetworkSpec) else None

    def multiply_adds(name: str) -> int:
        return cost.multiply_adds(_specification(own or name, dataset, settings), shape)

    return choose(
        min(shape[1:]),
        len(dataset.train),
        processor=processor,
        cores=machine.cores(),
        minutes=asked.minutes,
        network="own" if own else asked.network,  # type: ignore[arg-type]
        multiply_adds=multiply_adds,
    )


def _with_batch_size(base: Recipe, chosen: Choice, settings: list[str]) -> Recipe:
    """Fills in the batch size where the recipe leaves it to the rule; the learning rate goes with it.

    The recipe's rate is for 256 images a step and scales linearly with the batch (Goyal et al. 2017, §2.1),
    unless the user set either.
    """
    if base.batch_size is not None:
        return base
    set_by_user = any(setting.startswith("optimizer.learning_rate") for setting in settings)
    rate = base.optimizer.learning_rate * (1.0 if set_by_user else chosen.batch_size / 256)
    return replace(base, batch_size=chosen.batch_size, optimizer=replace(base.optimizer, learning_rate=rate))


def _augment(base: Recipe, dataset: Dataset) -> AugmentSpec:
    usual = default_augment(dataset)
    return AugmentSpec(
        crop_padding=usual.crop_padding if base.crop_padding is None else base.crop_padding,
        flip=usual.flip if base.flip == "auto" else base.flip,
        padding=usual.padding if base.padding == "auto" else base.padding,
    )


def _require_fit(asked: TrainSpec, spec: NetworkSpec, dataset: Dataset) -> None:
    """Refuses a network for photographs on small images, and images that the network shrinks to nothing."""
    height, width = dataset.preprocessing.image_size
    if spec.for_photographs and min(height, width) < PHOTOGRAPH_SIDE:
        source, name = (
            shlex.quote(asked.source),
            asked.network if isinstance(asked.network, str) else "resnet18",
        )
        raise BadNetwork(
            f"{name} is for photographs: its stem shrinks {height}×{width} pixels to {height // 4}×{width // 4}; "
            "use one of\n"
            f"  residua train {source} --network {ladder(min(height, width)).networks[0]}\n"
            f"  residua train {source} --network {name} --image-size {_ENLARGED}"
        )
    spec.require_fit((dataset.preprocessing.channels, height, width))
