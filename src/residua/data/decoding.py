"""Reads many image files at a time; Pillow decodes outside Python's lock, so threads share the cores."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
from jaxtyping import UInt8

from residua.data import check, imagefile
from residua.data.fitting import Pixels, fitted
from residua.data.imagefile import Head
from residua.data.spec import Fit
from residua.data.threads import Progress as Progress
from residua.data.threads import in_order, in_threads, told
from residua.errors import BadData


@final
@dataclass(frozen=True, kw_only=True)
class Target:
    """What every image becomes."""

    size: tuple[int, int]
    """Height and width in pixels."""
    fit: Fit
    channels: int
    """1 for grey, 3 for red, green and blue."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Returns height, width and channels."""
        return (*self.size, self.channels)

    @property
    def bytes(self) -> int:
        """Returns the bytes of one image."""
        return self.size[0] * self.size[1] * self.channels

    def read(self, path: Path) -> Pixels:
        """Reads and fits a file.

        Raises:
            BadData: As `imagefile.read`.
        """
        return fitted(imagefile.read(path, for_size=self.size), self.size, fit=self.fit, channels=self.channels)


def heads(paths: Sequence[Path], progress: Progress | None = None) -> list[Head]:
    """Reads the sizes and channels of all files.

    Raises:
        BadData: If files cannot be used; names them.
    """
    failures: dict[str, BadData] = {}

    def look(path: Path) -> Head | None:
        try:
            return imagefile.head(path)
        except BadData as error:
            failures[str(path)] = error
            return None

    found = in_threads(look, paths, "looking at the images", progress)
    check.all_read({str(path): failures[str(path)] for path in paths if str(path) in failures})
    return [head for head in found if head is not None]


def each(paths: Sequence[Path], target: Target) -> Iterator[Pixels | None]:
    """Yields every file read and fitted, in order; None for one that cannot be used.

    Raises:
        BadData: After the last, if files cannot be used; names them.
    """
    failures: dict[str, BadData] = {}

    def read(path: Path) -> Pixels | None:
        try:
            return target.read(path)
        except BadData as error:
            failures[str(path)] = error
            return None

    yield from in_order(read, paths)
    check.all_read({str(path): failures[str(path)] for path in paths if str(path) in failures})


def decode(paths: Sequence[Path], target: Target, progress: Progress | None = None) -> UInt8[np.ndarray, "n h w c"]:
    """Reads and fits all files; three channels become one where every image is grey in every pixel.

    Raises:
        BadData: If files cannot be used; names them.
    """
    pixels = np.empty((len(paths), *target.shape), np.uint8)
    grey = True
    for i, image in enumerate(told(each(paths, target), "reading the images", len(paths), progress)):
        if image is not None:
            pixels[i] = image
            grey = grey and is_grey(image)
    return np.ascontiguousarray(pixels[..., :1]) if grey else pixels


def is_grey(pixels: UInt8[np.ndarray, "*b h w c"]) -> bool:
    """Says whether every pixel is a grey: its channels are equal."""
    return pixels.shape[-1] == 1 or bool((pixels == pixels[..., :1]).all())


def content_keys(paths: Sequence[Path], progress: Progress | None = None) -> list[str | None]:
    """Returns the SHA-256 of each file that may have a twin; None where no other file has its length."""
    lengths = [path.stat().st_size for path in paths]
    shared = {length for length, n in Counter(lengths).items() if n > 1}

    def digest(i: int) -> str | None:
        if lengths[i] not in shared:
            return None
        with paths[i].open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    return in_threads(digest, range(len(paths)), "looking for duplicates", progress)
