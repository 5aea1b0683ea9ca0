"""What cannot work, refused before the first step in one line; checks of single fields stand with their fields."""

import shlex

import torch

from residua import machine
from residua.data.dataset import Dataset
from residua.errors import BadNetwork, BadSetting
from residua.networks.cost import Inspection
from residua.networks.spec import NetworkSpec
from residua.training.choice import PHOTOGRAPH_SIDE, ladder
from residua.training.recipe import Recipe
from residua.training.spec import TrainSpec, name_of

_ENLARGED = 96


def require_agreement(asked: TrainSpec, settings: dict[str, list[str]]) -> None:
    """Refuses what two options say differently, and what follows from the images.

    Raises:
        BadSetting: With the two, or with the way to say it.
    """
    given = {room: _texts(said) for room, said in settings.items()}
    epochs = given["recipe"].get("epochs")
    if epochs is not None and asked.epochs is not None and epochs != str(asked.epochs):
        raise BadSetting(f"--epochs is {asked.epochs} and --set epochs={epochs}; give one of them")
    if epochs is not None and asked.minutes is not None:
        raise BadSetting("--minutes and --set epochs both say how long to train; give one of them")
    for name in ("image_size", "fit", "group", "data_root"):
        option, usual = getattr(asked, name), getattr(TrainSpec(), name)
        said = given["data"].get(name, str(option))
        if option != usual and said != str(option):
            raise BadSetting(f"--{name.replace('_', '-')} is {option} and --set data.{name}={said}; give one of them")
    if "name" in given["recipe"]:
        raise BadSetting(f"name is the recipe's own; for another recipe say --recipe {given['recipe']['name']}")
    if "source" in given["data"]:
        raise BadSetting(f"data.source is what is trained on; give it first: residua train {given['data']['source']}")
    for name in ("classes", "in_channels"):
        if name in given["network"]:
            raise BadSetting(f"network.{name} follows from the images; leave it out")


def without_effect(base: Recipe, spec: NetworkSpec, settings: list[str]) -> list[str]:
    """Says which settings are not read, because of what another one, or the network, says."""
    unread = {
        "averaging.decay": base.averaging.kind == "none" and "averaging.kind is none",
        "averaging.every": base.averaging.kind == "none" and "averaging.kind is none",
        "schedule.factor": base.schedule.kind != "step" and f"schedule.kind is {base.schedule.kind}",
        "schedule.milestones": base.schedule.kind != "step" and f"schedule.kind is {base.schedule.kind}",
        "optimizer.filter_momentum": base.optimizer.kind != "muon" and f"optimizer.kind is {base.optimizer.kind}",
        "recalibration_images": spec.norm != "batch" and f"the network's norm is {spec.norm}",
        "crop_padding": base.crop_smallest_area is not None and "crop_smallest_area is set",
    }
    asked = {name_of(setting) for setting in settings}
    return [f"{name} changes nothing here, for {why}" for name, why in unread.items() if why and name in asked]


def _texts(settings: list[str]) -> dict[str, str]:
    """Returns the text of each name."""
    return {name.strip(): text.strip() for name, _, text in (setting.partition("=") for setting in settings)}


def require_fit(asked: TrainSpec, spec: NetworkSpec, dataset: Dataset) -> None:
    """Refuses a network for photographs on small images, and images that the network shrinks to nothing."""
    height, width = dataset.preprocessing.image_size
    if spec.for_photographs and min(height, width) < PHOTOGRAPH_SIDE and asked.weights not in (None, "none"):
        raise BadNetwork(
            f"the network of {asked.weights} is for photographs: its stem shrinks {height}×{width} pixels to "
            f"{height // 4}×{width // 4}; add --image-size {_ENLARGED}"
        )
    if spec.for_photographs and min(height, width) < PHOTOGRAPH_SIDE:
        source, name = (
            shlex.quote(asked.source),
            asked.network if isinstance(asked.network, str) else "resnet18",
        )
        raise BadNetwork(
            f"{name} is for photographs: its stem shrinks {height}×{width} pixels to {height // 4}×{width // 4}; "
            f"use `residua train {source} --network {ladder(min(height, width)).networks[0]}` or "
            f"`residua train {source} --network {name} --image-size {_ENLARGED}`"
        )
    spec.require_fit((dataset.preprocessing.channels, height, width))


def require_numbers_to_normalise(base: Recipe, inspection: Inspection, *, processes: int) -> None:
    """Refuses a step in which a batch norm would see one number a channel, whose variance is 0.

    Raises:
        BadSetting: With the ways out.
    """
    norms = [row.shape for row in inspection.layers if row.kind == "batch norm"]
    batch = base.batch_size or 2 * processes
    share = batch // processes
    if share // min(base.micro_batches, share) == 1 and any(height * width == 1 for _, height, width in norms):
        by = f"micro_batches={base.micro_batches}" if share > 1 else f"--processes {processes}"
        said = "batch_size is 1" if batch == 1 else f"{by} leaves 1 image of {batch} at once"
        raise BadSetting(
            f"{said}, and the last maps have 1×1 pixels: batch norm needs two numbers a channel; "
            "give 2 or above, or --set network.norm=group"
        )


def require_compiler(recipe: Recipe, device: torch.device) -> None:
    """Refuses a recipe that compiles where that does not work; tries it, for seconds, before minutes are spent.

    Raises:
        BadSetting: With torch's reason.
    """
    if recipe.compile and (reason := machine.why_not_compiled(device)):
        remedy = "install a C++ compiler, such as g++" if device.type == "cpu" else "install triton"
        raise BadSetting(f"compile is true, and torch.compile does not work here ({reason}); {remedy}, or leave it out")


def require_gpus_for_synchronised_norm(base: Recipe, device: torch.device) -> None:
    """Refuses statistics over all processes where torch has no such norm."""
    if base.synchronised_norm and device.type != "cuda":
        raise BadSetting(
            "synchronised_norm is true and torch has that norm on GPUs only; leave it out, or take a norm that needs "
            "no other images: --set network.norm=group"
        )
