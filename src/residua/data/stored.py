"""Images outside memory: mapped from a file of pixels, or decoded from their own files whenever they are asked for."""

import mmap
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from residua.data.dataset import Places
from residua.data.decoding import Target
from residua.data.threads import in_order
from residua.errors import BadData

State = tuple[int, int, int]
"""Length in bytes, and the nanoseconds of the last change to a file's content and to the file itself. The system
sets the last at every write and every renaming, whatever a program then says of the content's time."""

_TICK_NS = 2 * 10**9  # the coarsest clock of a file system: FAT's


def states(paths: Sequence[Path]) -> list[State]:
    """Returns what tells whether a file has changed; waits up to two seconds where one has just been written.

    What is written later than the clock's tick after its last change cannot have the same state.

    Raises:
        BadData: If a file is gone.
    """
    found = [_state(path) for path in paths]
    while 0 < (left := max(state[2] for state in found) + _TICK_NS - time.time_ns()) <= _TICK_NS:
        time.sleep(left / 1e9)
        found = [_state(path) for path in paths]
    return found


def _state(path: Path) -> State:
    try:
        found = path.stat()
    except OSError:
        raise BadData(f"{path} is gone; restore it, or begin anew without it") from None
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns


@final
class Mapped:
    """Images in a file of pixels (NumPy's ``.npy``), mapped read-only: the system reads pages as they are touched.

    After every reading the pages are given back to the system's file cache, so that the process never holds more of
    the file than it is just looking at.

    Args:
        path: The file, an array n × h × w × c of uint8.

    Raises:
        TypeError, ValueError: If it is none, or longer or shorter.
    """

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            np.lib.format.read_magic(file)
            shape, _, _ = np.lib.format.read_array_header_1_0(file)
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            self._pixels = np.ndarray(shape, np.uint8, self._map, offset=file.tell())
            if len(self._map) != file.tell() + self._pixels.nbytes or self._pixels.ndim != 4:
                raise ValueError(f"{path} does not hold what its header says")

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Returns n, c, h and w."""
        n, h, w, c = self._pixels.shape
        return n, c, h, w

    def read(self, places: Places) -> UInt8[Tensor, "b c h w"]:
        """Returns copies of images by position, channels-last."""
        chosen = self._pixels[places] if isinstance(places, slice) else self._pixels[places.numpy()]
        copied = np.array(chosen) if isinstance(places, slice) else chosen
        if hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED)
        return torch.from_numpy(copied).permute(0, 3, 1, 2)


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Streamed:
    """Images decoded and fitted anew every time, one thread a core."""

    paths: Sequence[Path]
    states: Sequence[State]
    """Of the files when they were listed."""
    target: Target
    grey: bool = False
    """Whether the first channel is kept alone, all being equal in every image."""

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Returns n, c, h and w."""
        return (len(self.paths), self._channels, *self.target.size)

    @property
    def _channels(self) -> int:
        return 1 if self.grey else self.target.channels

    def read(self, places: Places) -> UInt8[Tensor, "b c h w"]:
        """Reads images by position, channels-last.

        Raises:
            BadData: If a file cannot be used, or has changed since it was listed.
        """
        chosen = range(len(self.paths))[places] if isinstance(places, slice) else places.tolist()
        pixels = np.empty((len(chosen), *self.target.size, self._channels), np.uint8)
        for i, image in enumerate(in_order(self._read, chosen)):
            pixels[i] = image[:, :, : self._channels]
        return torch.from_numpy(pixels).permute(0, 3, 1, 2)

    def _read(self, place: int) -> UInt8[np.ndarray, "h w c"]:
        path = self.paths[place]
        if _state(path) != self.states[place]:
            raise BadData(f"{path} has changed since it was listed; put it back, or begin anew")
        return self.target.read(path)
