"""A source that a network was not trained on, made into what the network sees."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import final

import torch
from jaxtyping import UInt8
from torch import Tensor

from residua import configuration
from residua.data import sources
from residua.data.dataset import Dataset, Part, Places, Preprocessing, Stored, stored_part
from residua.data.decoding import Progress
from residua.data.spec import DataSpec
from residua.errors import BadData, unknown

_LUMINANCE = (0.299, 0.587, 0.114)  # ITU-R 601, as Pillow's mode L


def foreign_part(
    source: str,
    preprocessing: Preprocessing,
    classes: Sequence[str],
    data_root: str | None = None,
    *,
    settings: Sequence[str] = (),
    progress: Progress | None = None,
) -> Part:
    """Returns the images of a source to evaluate on: its own test part, or its validation part, or else all.

    Labels are positions in ``classes``, matched by name; images have the size and channels of ``preprocessing``.
    ``settings`` change fields of the `DataSpec`, such as ``cache_gb=100``.

    Raises:
        BadData: If the source cannot be used, or has a class that is not among ``classes``.
    """
    height, width = preprocessing.image_size
    spec = DataSpec(
        source=source,
        data_root=data_root,
        image_size=height if height == width else None,
        fit=preprocessing.fit,
        validation_fraction=0.0,
        test_fraction=0.0,
    )
    dataset = sources.load(configuration.with_settings(spec, settings), progress=progress)
    part = dataset.test or dataset.validation or dataset.train
    if part.images.shape[-2:] != (height, width):
        found = "×".join(map(str, part.images.shape[-2:]))
        raise BadData(
            f"{source} has images of {found} pixels and the network takes {height}×{width}; resize them first"
        )
    return replace(_with_channels(part, preprocessing.channels), labels=_renamed(dataset, part, classes))


@final
@dataclass(frozen=True, eq=False)
class Recoloured:
    """Stored images with another number of channels."""

    stored: Stored
    channels: int

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Returns n, c, h and w."""
        n, _, h, w = self.stored.shape
        return n, self.channels, h, w

    def read(self, places: Places) -> UInt8[Tensor, "b c h w"]:
        """Returns images by position."""
        return _recoloured(self.stored.read(places), self.channels)


def _with_channels(part: Part, channels: int) -> Part:
    if part.images.shape[1] == channels:
        return part
    if part.stored is not None:
        return stored_part(part.name, Recoloured(part.stored, channels), part.labels, part.files)
    return replace(part, images=_recoloured(part.images, channels))


def _recoloured(images: UInt8[Tensor, "n c h w"], channels: int) -> UInt8[Tensor, "n c2 h w"]:
    """Repeats grey for a colour network; takes the luminance for a grey one."""
    if channels == 3:
        return images.expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)
    weights = torch.tensor(_LUMINANCE)
    grey = [torch.einsum("c,nchw->nhw", weights, chunk.float()).round() for chunk in images.split(1024)]
    return torch.cat(grey)[:, None].to(torch.uint8)


def _renamed(dataset: Dataset, part: Part, classes: Sequence[str]) -> Tensor:
    for name in dataset.classes:
        if name not in classes:
            raise BadData(f"{dataset.source}: {unknown('class of this network', name, classes)}")
    positions = torch.tensor([list(classes).index(name) for name in dataset.classes])
    return positions[part.labels]
