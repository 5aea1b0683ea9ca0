"""From what a user asked to all that is decided before the first step; every refusal comes from here."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

import torch

from residua import configuration, files, machine
from residua.data import sources
from residua.data.augment import AugmentSpec, default_augment
from residua.data.dataset import Dataset
from residua.data.sources import DataSpec
from residua.errors import BadNetwork, BadSetting, DownloadFailed
from residua.machine import Precision
from residua.networks import catalogue, cost, factory
from residua.networks.network import ResidualNetwork
from residua.networks.spec import NetworkSpec
from residua.networks.weights import published
from residua.training import refusals, transfer
from residua.training.choice import (
    DEFAULT_MINUTES,
    FAST,
    PHOTOGRAPH_SIDE,
    TINY_SIDE,
    Choice,
    Ladder,
    Processor,
    choose,
    fine_tuned,
)
from residua.training.recipe import Recipe, recipe
from residua.training.spec import TrainSpec, name_of
from residua.training.transfer import Start

_FEW_IMAGES_A_CLASS = 500
_FINE_TUNED_SIDE = 96
_FEW_STEPS = 100
_OF_BOTH = ("validation_fraction", "per_pixel_mean")
"""Settings of the data that the recipe decides, with or without ``data.`` before them."""
_TOLD_OF_PUBLISHED = "fine-tunes weights that were trained on ImageNet; --weights none trains from nothing"


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
    precision: Precision
    """Of the training steps."""
    reason: str
    """Why this network and these epochs."""
    start: Start | None = None
    """What it starts from; None is nothing."""
    remarks: tuple[str, ...] = ()
    """What the user should know besides."""
    said: tuple[str, ...] = ()
    """Of a run that is read again: the headline and the notes of its beginning."""
    began: float
    """When the reading of the data began, on `time.perf_counter`'s clock."""
    inspection: cost.Inspection

    @property
    def headline(self) -> str:
        """Says in one line what will be trained, for how long, and why this."""
        if self.said:
            return self.said[0]
        epochs = f"{self.epochs} epoch{'s' * (self.epochs > 1)}"
        return (
            f"{self.network_name} ({self.inspection.parameters:,} parameters), {epochs}, "
            f"{self.recipe.batch_size} images a step, recipe {self.recipe.name}"
            f"{f', {self.start.says}' if self.start else ''}: {self.reason}"
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """Returns what the user should know before it starts."""
        if self.said:
            return (*self.said[1:], *self.remarks)
        train, classes = self.dataset.train, len(self.dataset.classes)
        few = len(train.labels) < _FEW_IMAGES_A_CLASS * classes and self.side >= PHOTOGRAPH_SIDE and not self.start
        warning = (
            f"{len(train.labels)} images are few for training from nothing ({_FEW_IMAGES_A_CLASS} a class and more "
            "are usual): expect little better than the baselines, which the report shows"
        )
        return (*self.dataset.notes, *self.remarks, *((warning,) if few else ()))

    @property
    def side(self) -> int:
        """Returns the shorter side of the images, in pixels."""
        return min(self.dataset.preprocessing.image_size)


def plan(
    asked: TrainSpec, *, progress: sources.Progress | None = None, load: Callable[..., Dataset] = sources.load
) -> Plan:
    """Reads the data and decides everything else.

    Args:
        asked: What a user asks.
        progress: Is told of downloads and decoding.
        load: Reads the data as `residua.data.sources.load` does; who plans many runs may keep what it read.

    Raises:
        BadSetting: If a name, an option or a ``--set`` is not allowed.
        BadData: If the source cannot be used.
        BadNetwork: If the network does not fit the images; both ways out are commands ready to copy.
    """
    began, given = time.perf_counter(), asked
    asked = _with_factory(asked)
    settings = by_room(asked.settings)
    refusals.require_agreement(asked, settings)
    base = configuration.with_settings(recipe(asked.recipe or "default"), settings["recipe"])
    device = machine.device(asked.device)
    precision = machine.precision(base.precision, device)
    if isinstance(asked.network, str):
        catalogue.specification(asked.network)
    dataset = load(_data_spec(asked, base, settings["data"]), progress=progress)
    if asked.network is not None:
        refusals.require_fit(asked, _specification(asked.network, dataset, settings["network"]), dataset)
    processor: Processor = "gpu" if device.type == "cuda" else "bfloat16" if precision == "bfloat16" else "float32"
    start, remarks = _start(asked, dataset, processor, settings["network"], progress)
    if start is not None:
        dataset = replace(dataset, preprocessing=start.preprocessing(dataset.preprocessing))
        base = configuration.with_settings(recipe(asked.recipe or "transfer"), settings["recipe"])
        base = replace(base, per_pixel_mean=base.per_pixel_mean and start.mean is None)
    base = _choosing(base, dataset, settings["recipe"])
    small = TINY_SIDE <= min(dataset.preprocessing.image_size) < PHOTOGRAPH_SIDE
    if base.name == "fast" and asked.network is None and not small:
        raise BadSetting(
            f"recipe fast is for images of {TINY_SIDE} to {PHOTOGRAPH_SIDE - 1} pixels a side, and these have "
            f"{min(dataset.preprocessing.image_size)}; take --recipe default, or another --image-size"
        )
    steps = FAST if base.name == "fast" and small and start is None else None
    chosen = _chosen(asked, dataset, processor, settings["network"], start=start, steps=steps)
    specification = (
        start.network.spec if start else _specification(asked.network or chosen.network, dataset, settings["network"])
    )
    refusals.require_fit(asked, specification, dataset)
    shape = (dataset.preprocessing.channels, *dataset.preprocessing.image_size)
    epochs = asked.epochs or base.epochs or chosen.epochs
    augment = _augment(base, dataset)
    inspection = cost.inspect(specification, shape)
    base = _with_batch_size(base, chosen, settings["recipe"], len(dataset.train))
    return Plan(
        asked=given,
        dataset=dataset,
        specification=specification,
        network_name=start.name if start else chosen.network,
        recipe=replace(
            base,
            epochs=epochs,
            precision=precision,
            crop_padding=augment.crop_padding,
            flip=augment.flip,
            padding=augment.padding,
        ),
        epochs=epochs,
        augment=augment,
        device=device,
        precision=precision,
        reason=_reason(asked, base, chosen),
        start=start,
        remarks=(
            *remarks,
            *refusals.without_effect(base, specification, settings["recipe"]),
            *_fast_remarks(base, start.name if start else chosen.network, epochs, len(dataset.train)),
        ),
        began=began,
        inspection=inspection,
    )


def _choosing(base: Recipe, dataset: Dataset, settings: list[str]) -> Recipe:
    """Returns the recipe with the last epoch chosen where no validation part is there to choose by.

    Raises:
        BadSetting: If the user asks for something that needs one.
    """
    if dataset.validation is not None:
        return base
    asked = any(name_of(setting) == "choose" for setting in settings)
    none = "where no validation part is held out"
    configuration.check(not asked or base.choose == "last", "choose", base.choose, f"last, {none}")
    configuration.check(base.patience is None, "patience", base.patience, f"none, {none}")
    return replace(base, choose="last")


def _fast_remarks(base: Recipe, network: str, epochs: int, images: int) -> list[str]:
    """Says where the recipe ``fast`` is taken for what its rates were not made for."""
    if base.name != "fast":
        return []
    steps = epochs * (images // (base.batch_size or images))
    few = f"recipe fast is for tens of thousands of images; steps here: {steps}, and --recipe default takes more"
    other = "the rates of recipe fast are made for fast-resnet8, and may be too high here: --recipe default is for any"
    return [*([few] if steps < _FEW_STEPS else ()), *(() if network in FAST.networks else [other])]


def _reason(asked: TrainSpec, base: Recipe, chosen: Choice) -> str:
    given = asked.epochs or base.epochs
    if (asked.network or asked.weights not in (None, "none")) and given:
        return "as asked"
    span = "about" if chosen.fills_budget else "within"
    return chosen.reason if given else f"{chosen.reason}, {span} {asked.minutes or DEFAULT_MINUTES:g} min"


def by_room(settings: Iterable[str]) -> dict[str, list[str]]:
    """Sorts ``name=value`` settings into those of the network, the data and the recipe; drops the room's name.

    What the data has from the recipe is the recipe's.
    """
    sorted_ = {"network": [], "data": [], "recipe": []}
    for setting in map(str.strip, settings):
        room, dot, rest = setting.partition(".")
        known = dot and room in sorted_
        name = name_of(rest if known else setting)
        sorted_["recipe" if name in _OF_BOTH or not known else room].append(rest if known else setting)
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
    return configuration.with_settings(spec, settings, "data.")


def _specification(network: str | NetworkSpec, dataset: Dataset, settings: list[str]) -> NetworkSpec:
    classes, channels = len(dataset.classes), dataset.preprocessing.channels
    if isinstance(network, NetworkSpec):
        spec = replace(network, classes=classes).seeing(channels)
    else:
        spec = catalogue.specification(network, classes=classes, in_channels=channels)
    return configuration.with_settings(spec, settings, "network.")


def _start(
    asked: TrainSpec,
    dataset: Dataset,
    processor: Processor,
    settings: list[str],
    progress: sources.Progress | None,
) -> tuple[Start | None, tuple[str, ...]]:
    """Returns what the run starts from, and what is to be said of it."""
    if asked.weights == "none" or (asked.weights is None and not _is_usual(asked, dataset, settings)):
        return None, ()
    if settings:
        raise BadSetting(f"--set network.{settings[0]} is another network than the weights'; add --weights none")
    weights = asked.weights or transfer.USUAL
    if (":" not in weights and weights not in published.PUBLISHED) or Path(weights).exists():
        start = _local_start(asked, weights, dataset)
        return start if asked.deepen is None else transfer.deepened(start, *asked.deepen, seed=asked.seed), ()
    if asked.deepen is not None:
        raise BadSetting(f"deepen adds blocks to the network of a run or a file, not of {weights}; name one of these")
    if isinstance(asked.network, NetworkSpec):
        raise BadSetting(f"{weights} belong to networks by name; name one, such as --network resnet50")
    steps = _published_ladder(weights, dataset)
    network = asked.network or _chosen(asked, dataset, processor, settings, steps=steps).network
    try:
        start = transfer.from_published(network, weights, dataset, seed=asked.seed, progress=progress)
    except DownloadFailed as error:
        if asked.weights is not None:
            raise
        return None, (f"trains from nothing, for {weights} cannot be had: {error}",)
    return start, (_TOLD_OF_PUBLISHED,) if asked.weights is None else ()


def _published_ladder(weights: str, dataset: Dataset) -> Ladder:
    """Returns the networks that there are such weights for.

    Raises:
        BadSetting: If there are none.
    """
    steps = fine_tuned(min(dataset.preprocessing.image_size))
    networks = tuple(name for name in steps.networks if published.has(name, weights))
    if not networks:
        published.find(steps.networks[0], weights)
    return replace(steps, networks=networks)


def _is_usual(asked: TrainSpec, dataset: Dataset, settings: list[str]) -> bool:
    """Says whether a run that names no weights starts from published ones: photographs, and nothing that forbids it."""
    plain = asked.recipe is None and not settings and not isinstance(asked.network, NetworkSpec)
    there = asked.network is None or published.has(str(asked.network), transfer.USUAL)
    return plain and there and min(dataset.preprocessing.image_size) >= _FINE_TUNED_SIDE


def _local_start(asked: TrainSpec, weights: str, dataset: Dataset) -> Start:
    path = files.expanded(weights)
    if path.is_file():
        if isinstance(asked.network, NetworkSpec):
            raise BadSetting("a file of weights belongs to a network by name; name one, such as --network resnet50")
        return transfer.from_file(path, asked.network, dataset, seed=asked.seed)
    if asked.network is not None:
        raise BadSetting(f"{weights} is a run and says which network it is; leave out --network")
    return transfer.from_run(weights, dataset, seed=asked.seed)


def _with_factory(asked: TrainSpec) -> TrainSpec:
    """Returns what was asked with the specification that a ``path.py:factory`` makes in its place."""
    if not isinstance(asked.network, str) or not factory.is_factory(asked.network):
        return asked
    made = factory.from_file(asked.network)
    spec = made.spec if isinstance(made, ResidualNetwork) else made
    if not isinstance(spec, NetworkSpec):
        raise BadNetwork(
            f"{asked.network} makes a {type(made).__name__}, which a run could not keep as data; "
            "training takes a factory that returns a residua.NetworkSpec"
        )
    return replace(asked, network=spec)


def _chosen(
    asked: TrainSpec,
    dataset: Dataset,
    processor: Processor,
    settings: list[str],
    *,
    start: Start | None = None,
    steps: Ladder | None = None,
) -> Choice:
    shape = (dataset.preprocessing.channels, *dataset.preprocessing.image_size)
    own = start.network.spec if start else asked.network if isinstance(asked.network, NetworkSpec) else None
    name = start.name if start else "own" if own else str(asked.network) if asked.network else None

    def multiply_adds(name: str) -> int:
        return cost.multiply_adds(_specification(own or name, dataset, settings), shape)

    return choose(
        min(shape[1:]),
        len(dataset.train),
        processor=processor,
        cores=machine.cores(),
        minutes=asked.minutes,
        network=name,
        steps=fine_tuned(min(shape[1:])) if start else steps,
        multiply_adds=multiply_adds,
    )


def _with_batch_size(base: Recipe, chosen: Choice, settings: list[str], images: int) -> Recipe:
    """Fills in the batch size where the recipe leaves it to the rule; the learning rate goes with it.

    The recipe's rate is for 256 images a step and scales linearly with the batch (Goyal et al. 2017, §2.1),
    unless the user set either. A step takes at most the whole training part.

    Raises:
        BadSetting: If the user asks for more images a step than there are.
    """
    if base.batch_size is not None:
        asked = any(name_of(setting) == "batch_size" for setting in settings)
        if asked and base.batch_size > images:
            raise BadSetting(
                f"batch_size is {base.batch_size:,}, and the training part has {images:,} images; "
                f"give {images:,} at most"
            )
        return replace(base, batch_size=min(base.batch_size, images))
    set_by_user = any(name_of(setting) == "optimizer.learning_rate" for setting in settings)
    batch_size = min(chosen.batch_size, images)
    rate = base.optimizer.learning_rate * (1.0 if set_by_user else batch_size / 256)
    return replace(base, batch_size=batch_size, optimizer=replace(base.optimizer, learning_rate=rate))


def _augment(base: Recipe, dataset: Dataset) -> AugmentSpec:
    usual = default_augment(dataset)
    side = min(dataset.preprocessing.image_size)
    padding = base.crop_padding or 0
    configuration.check(padding < side, "crop_padding", padding, f"below {side}, the side of the images in pixels")
    return AugmentSpec(
        crop_padding=usual.crop_padding if base.crop_padding is None else base.crop_padding,
        flip=usual.flip if base.flip == "auto" else base.flip,
        padding=usual.padding if base.padding == "auto" else base.padding,
        crop_smallest_area=base.crop_smallest_area,
        erase=base.erase,
    )
