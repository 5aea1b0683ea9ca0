"""From arrays of pixels to the parts of a data set and the numbers that normalise it."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from residua.data.dataset import Part, PartName, Preprocessing
from residua.data.spec import DataSpec

_CHUNK = 1024  # images counted at a time


def part_of(name: PartName, pixels: UInt8[np.ndarray, "n h w c"], labels: Sequence[int], files: Sequence[str]) -> Part:
    """Returns a part over the pixels themselves, without copying them."""
    return Part(
        name=name,
        images=torch.from_numpy(pixels).permute(0, 3, 1, 2),
        labels=torch.tensor(labels, dtype=torch.int64),
        files=tuple(files),
    )


def preprocessing_of(train: Part, spec: DataSpec) -> Preprocessing:
    """Returns the preprocessing whose mean and standard deviation are the training part's."""
    _, channels, height, width = train.images.shape
    mean, std = statistics(train.images, per_pixel=spec.per_pixel_mean)
    return Preprocessing(image_size=(height, width), channels=channels, fit=spec.fit, mean=mean, std=std)


def statistics(
    images: UInt8[Tensor, "n c h w"], *, per_pixel: bool = False
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Returns mean and standard deviation of pixels/255: exact sums of integers, divided by n (not n − 1).

    The mean has one value a channel or, ``per_pixel``, one a pixel in the order c, h, w; the standard
    deviation is the channel's. A channel that is constant gets one grey level (1/255), so that nothing
    is divided by zero.
    """
    n, c, h, w = images.shape
    sums = torch.zeros(c, h, w, dtype=torch.int64)
    levels = torch.zeros(c, 256, dtype=torch.int64)
    for chunk in images.split(_CHUNK):
        levels += torch.stack([torch.bincount(channel.flatten(), minlength=256) for channel in chunk.unbind(1)])
        if per_pixel:
            sums += chunk.sum(0, dtype=torch.int64)
    value = torch.arange(256, dtype=torch.float64) / 255
    share = levels.double() / (n * h * w)
    means = share @ value
    deviations = (share * (value - means[:, None]).square()).sum(1).sqrt()
    mean = sums.double() / (255 * n) if per_pixel else means
    return tuple(mean.flatten().tolist()), tuple(deviations.clamp(min=1 / 255).tolist())
