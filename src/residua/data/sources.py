"""Where images come from: a published set by its name, or a folder by its path."""

from pathlib import Path

import numpy as np
from PIL import Image

from residua.data import check, photographs, published
from residua.data.dataset import Dataset, Part, PartName
from residua.data.decoding import Progress as Progress
from residua.data.fitting import fitted
from residua.data.pixels import part_of, preprocessing_of
from residua.data.published import PublishedSet
from residua.data.spec import DataSpec as DataSpec
from residua.data.split import Shares, carve, rule_text
from residua.data.threads import in_threads
from residua.errors import BadData, unknown


def names() -> tuple[str, ...]:
    """Returns the names of the published sets, the default first."""
    return published.names()


def load(spec: DataSpec, *, progress: Progress | None = None) -> Dataset:
    """Reads a source: split, made equal in size, with the training part's statistics.

    Args:
        spec: The source, and what is done with it.
        progress: Is told the stage of the work, how much of it is done, and how much there is in all.

    Raises:
        BadData: If the source cannot be used; one line says why and what to do.
        BadSetting: If ``group`` matches no file.
        DownloadFailed: If a published set is not there and cannot be fetched.
    """
    if spec.source in names():
        return _published(spec, progress)
    return photographs.load(spec, check.folder_exists(spec.source, names()), progress=progress)


def download(name: str, data_root: str | None = None, *, progress: Progress | None = None) -> Path:
    """Fetches a published set ahead of its use, and returns its folder; what is there is only checked.

    Raises:
        BadData: If the name is no set that is fetched, or a file there differs from the published one.
        DownloadFailed: If a file cannot be fetched.
    """
    if name not in names():
        raise BadData(unknown("published set", name, names()))
    return published.fetch(name, data_root, progress=progress)


def _published(spec: DataSpec, progress: Progress | None) -> Dataset:
    """Carves validation out of the publishers' training part; and a test part only where they made none."""
    found = published.read(spec.source, spec.data_root, progress=progress)
    images = found.train[0]
    shares = Shares(
        test=0.0 if found.test else spec.test_fraction,
        validation=spec.validation_fraction,
        seed=spec.split_seed,
    )
    side = spec.image_size
    count = len(images) + (len(found.test[0]) if found.test else 0)
    size = (side, side) if side else images.shape[2:]
    check.fits_memory(count, images.shape[1], (size[0], size[1]))
    parts = _carved(found, shares, spec, progress)
    if found.test:
        pixels = _sized(found.test[0], spec, progress)
        files = [f"test/{i:05d}" for i in range(len(pixels))]
        parts.append(part_of("test", pixels, found.test[1].tolist(), files))
    rule = rule_text(shares)
    return Dataset(
        source=spec.source,
        classes=found.classes,
        parts=tuple(parts),
        preprocessing=preprocessing_of(parts[0], spec),
        split_rule=f"test as published; {rule}" if found.test else rule,
        sizes=((images.shape[2], images.shape[3], count),),
    )


def _carved(found: PublishedSet, shares: Shares, spec: DataSpec, progress: Progress | None) -> list[Part]:
    """Divides the images that the publishers did not; equal ones stay together."""
    images, labels = found.train
    pixels = _sized(images, spec, progress)
    files = [f"train/{i:05d}" if found.test else f"{i:05d}" for i in range(len(images))]
    contents = [image.tobytes() for image in images]
    placed = np.array(carve(files, [str(label) for label in labels], shares=shares, ties=[contents]))
    parts = []
    order: tuple[PartName, ...] = ("train", "validation", "test")
    for name in order:
        chosen = np.flatnonzero(placed == name)
        if len(chosen):
            part = part_of(name, pixels[chosen], labels[chosen].tolist(), [files[i] for i in chosen])
            parts.append(part)
    return parts


def _sized(images: np.ndarray, spec: DataSpec, progress: Progress | None) -> np.ndarray:
    """Returns the images with their channels last, scaled where another size is asked for."""
    pixels = np.array(images.transpose(0, 2, 3, 1), order="C")
    side = spec.image_size
    if side is None or pixels.shape[1:3] == (side, side):
        return pixels
    channels = pixels.shape[3]

    def scale(image: np.ndarray) -> np.ndarray:
        opened = Image.fromarray(image[:, :, 0] if channels == 1 else image)
        return fitted(opened, (side, side), fit=spec.fit, channels=channels)

    return np.stack(in_threads(scale, list(pixels), "scaling the images", progress))
