"""Reads many image files at a time; Pillow decodes outside Python's lock, so threads share the cores."""

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
from jaxtyping import UInt8

from residua import machine
from residua.data import check, imagefile
from residua.data.fitting import fitted
from residua.data.imagefile import Head
from residua.data.spec import Fit
from residua.errors import BadData

Progress = Callable[[str, int, int | None], None]
"""Is told what is being done, how much of it is done, and how much there is in all (None where unknown)."""

Item = TypeVar("Item")
Result = TypeVar("Result")


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


def decode(
    paths: Sequence[Path], size: tuple[int, int], *, fit: Fit, channels: int, progress: Progress | None = None
) -> UInt8[np.ndarray, "n h w c"]:
    """Reads and fits all files; three channels become one where every image is grey in every pixel.

    Raises:
        BadData: If files cannot be used; names them.
    """
    pixels = np.empty((len(paths), *size, channels), np.uint8)
    failures: dict[str, BadData] = {}

    def read(i: int) -> bool:
        try:
            image = imagefile.read(paths[i], for_size=size)
        except BadData as error:
            failures[str(paths[i])] = error
            return True
        pixels[i] = fitted(image, size, fit=fit, channels=channels)
        return channels == 1 or bool((pixels[i] == pixels[i, :, :, :1]).all())

    grey = in_threads(read, range(len(paths)), "reading the images", progress)
    check.all_read({str(path): failures[str(path)] for path in paths if str(path) in failures})
    return np.ascontiguousarray(pixels[..., :1]) if all(grey) else pixels


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


def in_threads(
    work: Callable[[Item], Result], items: Sequence[Item], stage: str, progress: Progress | None = None
) -> list[Result]:
    """Returns what ``work`` makes of each item, in order, one thread a core; an interrupt ends it soon."""
    pool = ThreadPoolExecutor(machine.threads())
    results: list[Result] = []
    try:
        for result in pool.map(work, items):
            results.append(result)
            if progress:
                progress(stage, len(results), len(items))
    finally:
        pool.shutdown(cancel_futures=True)
    return results
