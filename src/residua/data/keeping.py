"""Where a folder's decoded images are while a network learns from them: the rule, and what is said about it.

Up to 256 MiB of pixels (1,783 photographs of 224 × 224) lie in memory, where at least twice that is free. More are
decoded once into the cache (`residua.data.cache`) and mapped from there. What exceeds the cache's limit, or finds no
room on the disk, is decoded anew in every epoch. The pixels are the same bytes in all three, so nothing that is
computed from them depends on where they were.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
import torch
from jaxtyping import UInt8

from residua import machine
from residua.data import cache, check, decoding
from residua.data.dataset import Chosen, Part, Preprocessing, Stored
from residua.data.decoding import Target
from residua.data.pixels import counted, preprocessing_of
from residua.data.spec import DataSpec
from residua.data.stored import Streamed, states
from residua.data.threads import Progress
from residua.errors import BadData

IN_MEMORY_BYTES = 256 << 20


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Kept:
    """The images of all parts, wherever they are, and what the user should know about it."""

    pixels: UInt8[np.ndarray, "n h w c"] | Stored
    notes: tuple[str, ...] = ()

    def cut(self, first: int, last: int) -> UInt8[np.ndarray, "m h w c"] | Stored:
        """Returns the images from ``first`` up to ``last``."""
        if isinstance(self.pixels, np.ndarray):
            return self.pixels[first:last]
        return Chosen(self.pixels, torch.arange(first, last))


def keep(paths: Sequence[Path], target: Target, spec: DataSpec, progress: Progress | None = None) -> Kept:
    """Returns all images by the rule of this file, or as the user asked.

    Raises:
        BadData: If files cannot be used, or do not fit the memory that was asked for.
    """
    needed = len(paths) * target.bytes
    if spec.keep == "memory" or (spec.keep == "auto" and _in_memory(needed)):
        check.fits_memory(len(paths), target.channels, target.size)
        return Kept(pixels=decoding.decode(paths, target, progress))
    if spec.keep == "stream":
        return _streamed(paths, target, "as asked")
    kept = _cached(paths, target, spec, progress)
    return _streamed(paths, target, kept) if isinstance(kept, str) else kept


def looked_through(parts: Sequence[Part], spec: DataSpec, progress: Progress | None = None) -> Preprocessing:
    """Returns the training part's preprocessing, and walks stored parts once, which settles their digests too.

    Raises:
        BadData: If streamed files cannot be used; names them.
    """
    try:
        preprocessing = preprocessing_of(parts[0], spec, progress)
        for part in parts[1:]:
            for _ in counted(part, progress) if part.stored else ():
                pass
    except BadData:
        _name_all(parts)
        raise
    return preprocessing


def _in_memory(needed: int) -> bool:
    free = machine.memory_bytes() * check.MEMORY_SHARE
    return needed <= IN_MEMORY_BYTES and (not free or needed <= free)


def _cached(paths: Sequence[Path], target: Target, spec: DataSpec, progress: Progress | None) -> Kept | str:
    """Returns the images mapped from the cache, or why they cannot be there.

    The cache has them in the order of their paths, so that another division of the same images finds them too.
    """
    began = time.perf_counter()
    order = sorted(range(len(paths)), key=paths.__getitem__)
    ordered = [paths[i] for i in order]
    where = cache.folder(spec.cache)
    key = cache.key(ordered, states(ordered), target)
    file = where / f"{key}.npy"
    found, took = cache.opened(file), ""
    if found is None:
        refused = cache.no_room(where, len(paths) * target.bytes, int(spec.cache_gb * 1e9), key=key)
        if refused:
            return refused
        try:
            found = cache.build(file, ordered, target, progress)
        except OSError as error:
            return f"the cache in {where} could not be written ({error.strerror or error})"
        took = f"; the first reading took {time.perf_counter() - began:.0f} s"
    places = torch.empty(len(order), dtype=torch.int64)
    places[torch.tensor(order)] = torch.arange(len(order))
    n, c, h, w = found.shape
    note = f"{n:,} photographs in a cache of {cache.size(n * c * h * w)}, {where}{took}"
    return Kept(pixels=Chosen(found, places), notes=(note,))


def _streamed(paths: Sequence[Path], target: Target, reason: str) -> Kept:
    """Returns images that are decoded anew in every epoch; as many are looked at here as show a colour."""
    listed = states(paths)
    shown = (image for image in decoding.each(paths, target) if image is not None)
    grey = target.channels == 1 or all(decoding.is_grey(image) for image in shown)
    note = f"{len(paths):,} photographs are decoded anew in every epoch: {reason}"
    return Kept(pixels=Streamed(paths=paths, states=listed, target=target, grey=grey), notes=(note,))


def _name_all(parts: Sequence[Part]) -> None:
    """Reads all streamed images, to name every one that cannot be used.

    Raises:
        BadData: If there are any.
    """
    chosen = parts[0].stored
    if isinstance(chosen, Chosen) and isinstance(chosen.stored, Streamed):
        for _ in decoding.each(chosen.stored.paths, chosen.stored.target):
            pass
