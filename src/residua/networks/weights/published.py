"""The weights that others publish: what there is, how good it is, where it is fetched from and kept."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import final

import platformdirs

from residua import files
from residua.errors import BadSetting, unknown

ROOT_VARIABLE = "RESIDUA_WEIGHTS"
BEST = "DEFAULT"
"""Stands for a network's best weights, as it does in torchvision."""


@final
@dataclass(frozen=True, kw_only=True)
class PublishedWeights:
    """Weights as their publisher describes them, trained on the 1000 classes of ImageNet."""

    network: str
    """The network that they are for, as `residua.networks.catalogue` names it."""
    publisher: str
    """Whose they are; also says whose names the tensors have."""
    name: str
    """What the publisher calls them."""
    address: str
    checksum: str
    """``sha256:`` and the beginning of the digest, which ends the file's name."""
    size_mebibytes: float
    """The file's size in units of 2²⁰ bytes; the publisher writes MB for them."""
    top1_accuracy: float
    """Share of ImageNet's validation images that are classified right, in percent, from one crop each."""
    resize_side: int
    """The shorter side that an image is first scaled to, in pixels."""
    crop_side: int = 224
    """Side of the square that is then cut from the middle, in pixels."""
    interpolation: str = "bilinear"
    """How it is scaled, smoothing where it shrinks."""
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    """Subtracted from red, green and blue, which are from 0 to 1."""
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    """What they are then divided by."""

    @property
    def title(self) -> str:
        """What `find` takes for them: publisher and name."""
        return f"{self.publisher}:{self.name}"

    @property
    def file(self) -> str:
        """The name of the file."""
        return self.address.rpartition("/")[2]


def _torchvision(row: tuple[str, str, str, float, float, int]) -> PublishedWeights:
    network, version, digits, mebibytes, accuracy, resize_side = row
    return PublishedWeights(
        network=network,
        publisher="torchvision",
        name=f"IMAGENET1K_{version}",
        address=f"https://download.pytorch.org/models/{network}-{digits}.pth",
        checksum=f"sha256:{digits}",
        size_mebibytes=mebibytes,
        top1_accuracy=accuracy,
        resize_side=resize_side,
    )


_TORCHVISION = (
    ("resnet18", "V1", "f37072fd", 44.661, 69.758, 256),
    ("resnet34", "V1", "b627a593", 83.275, 73.314, 256),
    ("resnet50", "V1", "0676ba61", 97.781, 76.130, 256),
    ("resnet50", "V2", "11ad3fa6", 97.79, 80.858, 232),
    ("resnet101", "V1", "63fe2227", 170.511, 77.374, 256),
    ("resnet101", "V2", "cd907fc2", 170.53, 81.886, 232),
    ("resnet152", "V1", "394f9c45", 230.434, 78.312, 256),
    ("resnet152", "V2", "f82ba261", 230.474, 82.284, 232),
    ("resnext50_32x4d", "V1", "7cdf4587", 95.789, 77.618, 256),
    ("resnext50_32x4d", "V2", "1a0047aa", 95.833, 81.198, 232),
    ("resnext101_32x8d", "V1", "8ba56ff5", 339.586, 79.312, 256),
    ("resnext101_32x8d", "V2", "110c445d", 339.673, 82.834, 232),
    ("resnext101_64x4d", "V1", "173b62eb", 319.318, 83.246, 232),
    ("wide_resnet50_2", "V1", "95faca4d", 131.82, 78.468, 256),
    ("wide_resnet50_2", "V2", "9ba9bcbe", 263.124, 81.602, 232),
    ("wide_resnet101_2", "V1", "32ee1156", 242.896, 78.848, 256),
    ("wide_resnet101_2", "V2", "d733dc28", 484.747, 82.510, 232),
)
"""Network, version, digits, size, accuracy, resize side, as in torchvision 0.29.2 (models/resnet.py, and
transforms/_presets.py for the rest). V1 of the wide networks comes to two bytes a parameter: half precision."""

PUBLISHED: Mapping[str, tuple[PublishedWeights, ...]] = {"torchvision": tuple(map(_torchvision, _TORCHVISION))}
"""All that is published, by publisher."""


def find(network: str, weights: str) -> PublishedWeights:
    """Returns what ``weights`` stands for: ``torchvision:IMAGENET1K_V2``, or ``torchvision`` for a network's best.

    Raises:
        BadSetting: If the publisher is unknown, or has no such weights for the network; with the nearest that exists.
    """
    publisher, _, name = weights.partition(":")
    if publisher not in PUBLISHED:
        raise BadSetting(unknown("publisher of weights", publisher, PUBLISHED))
    there = {published.network for published in PUBLISHED[publisher]}
    if network not in there:
        raise BadSetting(unknown(f"network that {publisher} publishes weights for", network, there))
    of_network = {published.name: published for published in PUBLISHED[publisher] if published.network == network}
    if name in ("", BEST):
        return max(of_network.values(), key=lambda published: published.top1_accuracy)
    if name not in of_network:
        raise BadSetting(unknown(f"name of {publisher}'s weights for {network}", name, (*of_network, BEST)))
    return of_network[name]


def has(network: str, weights: str) -> bool:
    """Says whether `find` knows these weights for the network."""
    try:
        find(network, weights)
    except BadSetting:
        return False
    return True


def fetch(published: PublishedWeights, *, progress: files.Progress | None = None) -> Path:
    """Returns the file with the weights, checked, after fetching it where it is not kept yet.

    Raises:
        DownloadFailed: If it is not there and cannot be fetched; names address, place and checksum.
    """
    place = root_folder() / published.file
    return files.download(published.address, place, checksum=published.checksum, progress=progress)


def root_folder() -> Path:
    """Returns where fetched weights are kept: ``RESIDUA_WEIGHTS``, or a folder in the user's cache."""
    chosen = os.environ.get(ROOT_VARIABLE)
    return files.expanded(chosen) if chosen else platformdirs.user_cache_path("residua") / "weights"


def imagenet_classes() -> tuple[str, ...]:
    """Returns the 1000 classes of ImageNet in the order of the published networks' outputs, named as in torchvision."""
    text = resources.files("residua.networks.weights").joinpath("imagenet1k.txt").read_text(encoding="utf-8")
    return tuple(text.splitlines())
