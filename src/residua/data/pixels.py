"""From arrays of pixels to the parts of a data set and the numbers that normalise it."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from residua.data.dataset import Part, PartName, Preprocessing, Stored, stored_part
from residua.data.spec import DataSpec
from residua.data.threads import Progress, in_order


def part_of(
    name: PartName, pixels: UInt8[np.ndarray, "n h w c"] | Stored, labels: Sequence[int], files: Sequence[str]
) -> Part:
    """Returns a part over the pixels themselves, without copying them, or over stored ones."""
    positions = torch.tensor(labels, dtype=torch.int64)
    if isinstance(pixels, Stored):
        return stored_part(name, pixels, positions, files)
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2)
    return Part(name=name, images=images, labels=positions, files=tuple(files))


def preprocessing_of(train: Part, spec: DataSpec, progress: Progress | None = None) -> Preprocessing:
    """Returns the preprocessing whose mean and standard deviation are the training part's."""
    _, channels, height, width = train.images.shape
    mean, std = statistics(counted(train, progress), per_pixel=spec.per_pixel_mean)
    return Preprocessing(image_size=(height, width), channels=channels, fit=spec.fit, mean=mean, std=std)


def counted(part: Part, progress: Progress | None = None) -> Iterator[UInt8[Tensor, "_b c h w"]]:
    """Yields all images, some at a time; tells how many there were of those that are stored, which take a while."""
    done = 0
    for images in part.chunks():
        done += len(images)
        if progress and part.stored is not None:
            progress(f"looking through the {part.name} images", done, len(part))
        yield images


def statistics(
    chunks: Iterable[UInt8[Tensor, "_b c h w"]], *, per_pixel: bool = False
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Returns mean and standard deviation of pixels/255: exact sums of integers, divided by n (not n − 1).

    The mean has one value a channel or, ``per_pixel``, one a pixel in the order c, h, w; the standard
    deviation is the channel's. A channel that is constant gets one grey level (1/255), so that nothing
    is divided by zero.

    Args:
        chunks: All images, some at a time; counted in threads.
        per_pixel: Which mean.
    """

    def count(chunk: Tensor) -> tuple[int, Tensor, Tensor | None]:
        levels = torch.stack([torch.bincount(channel.flatten(), minlength=256) for channel in chunk.unbind(1)])
        return len(chunk), levels, chunk.sum(0, dtype=torch.int64) if per_pixel else None

    n, levels, sums = 0, torch.zeros(1, dtype=torch.int64), torch.zeros(1, dtype=torch.int64)
    for images, chunk_levels, chunk_sums in in_order(count, chunks, ahead=2):
        n, levels = n + images, levels + chunk_levels
        sums = sums if chunk_sums is None else sums + chunk_sums
    value = torch.arange(256, dtype=torch.float64) / 255
    share = levels.double() / levels.sum(1, keepdim=True)
    means = share @ value
    deviations = (share * (value - means[:, None]).square()).sum(1).sqrt()
    mean = sums.double() / (255 * n) if per_pixel else means
    return tuple(mean.flatten().tolist()), tuple(deviations.clamp(min=1 / 255).tolist())
