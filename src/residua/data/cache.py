"""Decoded images kept in a folder, so that the same photographs are decoded once and not at every start.

A set of images is one ``KEY.npy``, an array n × h × w × c of uint8. The key is the SHA-256 of all that its pixels
follow from: every file's path, length and times of change, what the images become, and the versions of the rules and of
the packages that decode. A file that was changed, replaced or put back gives another key, and what is no longer asked
for is the first to be removed. So a file in the cache is never out of date, and needs no looking after.

A file appears whole or not at all. It is written in blocks; of a build that was killed the blocks whose checksums still
hold are kept, and the next build goes on from there. Of several processes that want the same file one builds it.
"""

import contextlib
import hashlib
import importlib.metadata
import os
import re
import shutil
import time
import zlib
from collections.abc import Iterable, Iterator, Sequence
from io import BufferedRandom, BytesIO
from pathlib import Path

import numpy as np
import platformdirs

from residua import files
from residua.data.decoding import Target, each, is_grey
from residua.data.fitting import Pixels
from residua.data.stored import Mapped, State
from residua.data.threads import Progress, told
from residua.errors import BadData

FOLDER_VARIABLE = "RESIDUA_CACHE"
_SET, _BEGUN = re.compile(r"[0-9a-f]{64}\.npy"), re.compile(r"\.[0-9a-f]{64}\.npy\..*")
_RULES = 2  # counts the changes to imagefile and fitting that change pixels
_DECODERS = ("pillow", "pillow-heif", "rawpy")
_BLOCK_BYTES = 4 << 20
_SPARE_BYTES = 1 << 30  # that the disk keeps free for the run itself
_BROKEN_OFF_SECONDS = 24 * 3600  # after which a build that nobody went on with is removed


def folder(asked: str | None) -> Path:
    """Returns where pixels are kept: as asked, or ``RESIDUA_CACHE``, or the user's cache folder."""
    chosen = asked or os.environ.get(FOLDER_VARIABLE)
    return files.expanded(chosen) if chosen else platformdirs.user_cache_path("residua") / "pixels"


def key(paths: Sequence[Path], states: Sequence[State], target: Target) -> str:
    """Returns the name of a set of images: 64 hexadecimal digits."""
    digest = hashlib.sha256(repr((_RULES, _versions(), target)).encode())
    for path, state in zip(paths, states, strict=True):
        digest.update(repr((os.fsencode(os.path.realpath(path)), state)).encode())
    return digest.hexdigest()


def no_room(where: Path, needed: int, limit: int, *, key: str = "") -> str | None:
    """Says why so many bytes find no place; None where they find one, the sets used longest ago having made way.

    What a build of the set ``key`` holds already, broken off or under way, is not needed again.
    """
    if needed > limit:
        return f"a cache of {size(needed)} is above data.cache_gb={limit / 1e9:g}"
    try:
        where.mkdir(parents=True, exist_ok=True)
        remove_broken_off(where)
        free = shutil.disk_usage(where).free
        begun = where / f".{key}.npy.partial"
        held = begun.stat().st_size if begun.exists() else 0
        room = sum(about.st_size for about, _ in _files(where, _SET)) + held + free - _SPARE_BYTES
        if needed > room:
            return f"a cache of {size(needed)} finds no room in {where} ({size(free)} free)"
        make_room(where, needed, min(limit, room))
    except OSError as error:
        return f"{where} cannot be written ({error.strerror})"
    return None


def make_room(where: Path, needed: int, limit: int) -> None:
    """Removes the sets used longest ago until so many bytes keep the limit.

    Other files in the folder are not the cache's: only names that are keys are touched.
    """
    sets = sorted(_files(where, _SET), key=lambda item: item[0].st_mtime)
    total = needed + sum(about.st_size for about, _ in sets)
    for about, found in sets:
        if total <= limit:
            break
        with contextlib.suppress(OSError):  # mapped by another process, where the system forbids removing it
            found.unlink()
            total -= about.st_size


def remove_broken_off(where: Path) -> None:
    """Removes what builds left that were broken off a day ago."""
    for about, rest in _files(where, _BEGUN):
        with contextlib.suppress(OSError):
            if time.time() - about.st_mtime > _BROKEN_OFF_SECONDS:
                rest.unlink()


def _files(where: Path, name: re.Pattern[str]) -> list[tuple[os.stat_result, Path]]:
    """Lists the files with such names, but for those that another process removes meanwhile."""
    found = []
    for path in where.iterdir():
        with contextlib.suppress(FileNotFoundError):
            if name.fullmatch(path.name):
                found.append((path.stat(), path))
    return found


def opened(path: Path) -> Mapped | None:
    """Returns a set that is there, as used just now; None where it is not, or cannot be read.

    One that something else than a build cut short or wrote over is removed, so that it is built anew.
    """
    with contextlib.suppress(OSError):
        try:
            found = Mapped(path)
        except (ValueError, TypeError):
            path.unlink()
            return None
        with contextlib.suppress(OSError):  # of another user
            os.utime(path)
        return found
    return None


def build(path: Path, paths: Sequence[Path], target: Target, progress: Progress | None = None) -> Mapped:
    """Decodes all images into ``path``, or waits for the process that does, and returns them.

    Three channels become one where every image is grey in every pixel.

    Raises:
        BadData: If files cannot be used; names them.
        OSError: If the disk is full, or the folder cannot be written.
    """
    with files.partial(path) as file:
        if not path.exists():
            try:
                _fill(file, paths, target, progress)
                _finish(file, path)
                _sums(file).unlink()
            except BadData:
                file.truncate(0)
                raise
    return Mapped(path)


def size(bytes_: int) -> str:
    """Writes a number of bytes in MB or GB."""
    return f"{bytes_ / 1e9:.1f} GB" if bytes_ >= 1e9 else f"{bytes_ / 1e6:.0f} MB"


def _fill(file: BufferedRandom, paths: Sequence[Path], target: Target, progress: Progress | None) -> None:
    """Appends what ``file`` lacks of the images; after one that cannot be used, nothing more."""
    sums, head = _sums(file), _header((len(paths), *target.shape))
    images = max(1, _BLOCK_BYTES // target.bytes)
    good = _verified(file, sums, head, images * target.bytes)
    if not good:
        file.write(head)
    done = len(good) * images
    rest = told(each(paths[done:], target), "reading the images", len(paths) - done, progress)
    try:
        with sums.open("w") as listed:
            listed.writelines(f"{crc}\n" for crc in good)
            for block in _blocks(rest, images):
                content = b"".join(image.tobytes() for image in block)
                file.write(content)
                file.flush()
                listed.write(f"{zlib.crc32(content)}\n")
                listed.flush()
    except (BadData, OSError):
        sums.unlink(missing_ok=True)
        raise


def _sums(file: BufferedRandom) -> Path:
    """Returns where the checksums of a build's blocks are."""
    return Path(f"{file.name}.sums")


def _blocks(images: Iterable[Pixels | None], length: int) -> Iterator[list[Pixels]]:
    """Yields the images in lists of one length, the last shorter; after the first None they are only looked at."""
    block: list[Pixels] = []
    whole = True
    for image in images:
        whole = whole and image is not None
        if whole and image is not None:
            block.append(image)
        if len(block) == length:
            yield block
            block = []
    if whole and block:
        yield block


def _verified(file: BufferedRandom, sums: Path, head: bytes, length: int) -> list[int]:
    """Returns the checksums of the blocks that an earlier build left whole, and cuts the file off behind them."""
    good: list[int] = []
    file.seek(0)
    if sums.exists() and file.read(len(head)) == head:
        for line in sums.read_text().split():
            block = file.read(length)
            if len(block) < length or str(zlib.crc32(block)) != line:
                break
            good.append(int(line))
    file.seek(0)
    file.truncate(len(head) + len(good) * length if good else 0)
    return good


def _finish(file: BufferedRandom, path: Path) -> None:
    """Gives the file its name; where all is grey, one of its three channels alone is written."""
    file.flush()
    try:
        mapped = Mapped(Path(file.name))
    except (TypeError, ValueError):
        raise OSError(f"{file.name} was written by two processes at once, on a disk without locks") from None
    n, c, h, w = mapped.shape
    step = max(1, _BLOCK_BYTES // (c * h * w))
    chunks = [slice(first, first + step) for first in range(0, n, step)]
    pixels = (mapped.read(chunk).permute(0, 2, 3, 1).numpy() for chunk in chunks)
    if c == 1 or not all(is_grey(chunk) for chunk in pixels):
        files.finish(file, path)
        return
    with files.replacing(path) as one:
        one.write(_header((n, h, w, 1)))
        for chunk in chunks:
            one.write(mapped.read(chunk)[:, 0].numpy().tobytes())
    file.truncate(0)


def _header(shape: tuple[int, ...]) -> bytes:
    """Returns what comes before the pixels in an ``.npy`` file, which NumPy pads to whole blocks of 64 bytes."""
    head = BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return head.getvalue()


def _versions() -> list[str | None]:
    """Returns the versions of the packages that decode; None for one that is not here."""
    found: list[str | None] = []
    for name in _DECODERS:
        try:
            found.append(importlib.metadata.version(name))
        except importlib.metadata.PackageNotFoundError:
            found.append(None)
    return found
