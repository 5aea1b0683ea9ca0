"""Files written whole or not at all, downloaded and checked.

A file appears under its name only when its last byte is on the disk: it is written beside its place,
flushed, and renamed. Of a download that broke off, the beginning stays there for the next try.
"""

import contextlib
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from io import BufferedRandom
from pathlib import Path
from typing import IO, Any

from residua.errors import BadRun, BadSetting, DownloadFailed

Progress = Callable[[int, int | None], None]
"""Is told the bytes so far and the bytes in all (None where the server does not say)."""

OFFLINE_VARIABLE = "RESIDUA_OFFLINE"
MIRROR_VARIABLE = "RESIDUA_MIRROR"
_FEWEST_DIGITS = 8  # of a checksum: 32 bits, as torchvision's file names have them


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Yields a file that takes the place of ``path`` when the block ends well, and is removed otherwise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".partial")
    partial = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.chmod(0o666 & ~_umask())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def expanded(path: str | os.PathLike[str]) -> Path:
    """Returns a path with the home folder in the place of a leading ``~``.

    Raises:
        BadSetting: If it names a user that there is not.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise BadSetting(f"{path} begins with ~ and the name of no user; write it whole") from None


def partials(folder: Path) -> list[Path]:
    """Lists what is being written in a folder, and what writes that a kill cut short have left there."""
    return list(folder.glob(".*.partial"))


def remove_partials(folder: Path) -> None:
    """Removes what writes that a kill cut short have left in a folder; no other process may be writing there."""
    for partial in partials(folder):
        partial.unlink(missing_ok=True)


def write(path: Path, content: str | bytes) -> None:
    """Writes ``content`` to ``path`` whole or not at all; text as UTF-8."""
    with replacing(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


def write_json(path: Path, value: Any) -> None:
    """Writes ``value`` as indented JSON, whole or not at all; non-ASCII text stays readable."""
    write(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


class JsonObject(dict[str, Any]):
    """A JSON object of a run; asking for what it lacks raises `BadRun`, for then its file is damaged."""

    def __init__(self, values: dict[str, Any], path: Path) -> None:
        super().__init__(values)
        self._path = path

    def __missing__(self, name: str) -> None:
        raise BadRun(f"{self._path} is damaged (it lacks {name!r}); restore the file, or train again")


def read_json(path: Path) -> JsonObject:
    """Reads the JSON object that a file of a run holds.

    Raises:
        BadRun: If the file is missing or holds none.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"), object_hook=lambda values: JsonObject(values, path))
    except FileNotFoundError:
        raise BadRun(f"{path} is missing; is {path.parent} a finished run?") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise BadRun(f"{path} is damaged ({error}); train again, or restore the file") from None
    if not isinstance(found, JsonObject):
        raise BadRun(f"{path} is damaged (no JSON object); restore the file, or train again")
    return found


def write_json_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    """Writes one JSON object a line, whole or not at all."""
    write(path, "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows))


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    """Reads one JSON object a line; a line that is none is left out, as the last may be, cut short by a kill."""
    rows = []
    text = path.read_text(encoding="utf-8", errors="replace")
    for line in text.split("\n"):  # a file's name may hold other ends of lines
        with contextlib.suppress(json.JSONDecodeError):
            rows.append(json.loads(line, object_hook=lambda values: JsonObject(values, path)))
    return [row for row in rows if isinstance(row, JsonObject)]


def matches(path: Path, checksum: str) -> bool:
    """Says whether ``path`` is a file with this checksum, written ``md5:…`` or ``sha256:…``.

    Fewer digits than the digest has, but at least eight, are its beginning: publishers put them into files' names.
    """
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return _agrees(hashlib.file_digest(file, checksum.partition(":")[0]).hexdigest(), checksum)


def download(address: str, path: Path, *, checksum: str, progress: Progress | None = None) -> Path:
    """Fetches ``address`` to ``path`` unless it is there with its checksum already.

    What came before a connection broke, or the program was killed, stays beside ``path`` under a hidden name, and
    the next call goes on from there; a process that finds another one at it waits and takes the finished file.
    ``RESIDUA_MIRROR`` replaces the address's scheme and host (``https://mirror/base`` serves
    ``https://mirror/base/FILE``); ``RESIDUA_OFFLINE`` forbids fetching; the proxy variables
    ``HTTPS_PROXY``, ``HTTP_PROXY`` and ``NO_PROXY`` are honoured.

    Args:
        address: Where the publisher serves the file.
        path: Where the file belongs; it appears there whole and verified, or not at all.
        checksum: The expected digest or its beginning, as `matches` takes it.
        progress: Is told bytes so far and in all, after every chunk.

    Raises:
        DownloadFailed: If the file cannot be fetched or differs; names address, place and checksum.
    """
    if matches(path, checksum):
        return path
    address = _mirrored(address)
    if os.environ.get(OFFLINE_VARIABLE, "").lower() not in ("", "0", "false"):
        raise DownloadFailed(
            f"{path.name} is not at {path} and {OFFLINE_VARIABLE} is set; unset it, "
            f"or {_by_hand(address, path, checksum)}"
        )
    try:
        with partial(path) as file:
            if not matches(path, checksum):  # another process may have just finished it
                _complete(file, address, path, checksum=checksum, progress=progress)
                finish(file, path)
    except OSError as error:
        raise DownloadFailed(
            f"cannot write {path} ({error.strerror or error}); free space there or choose another place"
        ) from error
    return path


@contextlib.contextmanager
def partial(path: Path) -> Iterator[BufferedRandom]:
    """Yields the beginning of a file that is not whole yet, for reading and appending, once no other process has it.

    An empty one is removed afterwards, and any after a failed write, which more often than not wants its space.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beginning = path.with_name(f".{path.name}.partial")
    while True:
        with beginning.open("a+b") as file:
            _wait_for(file)
            if not _is_at(file, beginning):
                continue  # the process before renamed it or removed it
            try:
                yield file
            except OSError:
                beginning.unlink(missing_ok=True)
                raise
            finally:
                if _is_at(file, beginning) and os.fstat(file.fileno()).st_size == 0:
                    beginning.unlink()
            return


def finish(file: BufferedRandom, path: Path) -> None:
    """Gives a file that is whole now its name, once its last byte is on the disk."""
    file.flush()
    os.fsync(file.fileno())
    Path(file.name).replace(path)


@contextlib.contextmanager
def alone_in(folder: Path) -> Iterator[bool]:
    """Yields whether no other process is within such a block for this folder; a killed one is not.

    A system without such locks, or a disk, lets everybody in.
    """
    with contextlib.ExitStack() as stack:
        try:
            import fcntl

            handle = os.open(folder, os.O_RDONLY)
            stack.callback(os.close, handle)
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        except (ImportError, OSError):
            pass
        yield True


def _wait_for(file: BufferedRandom) -> None:
    """Waits until no other process has the file locked; a system without such locks lets everybody in."""
    with contextlib.suppress(ImportError, OSError):
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX)


def _is_at(file: BufferedRandom, place: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), place.stat())
    except FileNotFoundError:
        return False


def _complete(file: BufferedRandom, address: str, path: Path, *, checksum: str, progress: Progress | None) -> None:
    """Appends to ``file`` what it lacks of ``address``; begins anew, once, where the whole then differs.

    Raises:
        DownloadFailed: If the rest cannot be fetched, or the whole differs: then nothing is kept.
    """
    import httpx

    by_hand = _by_hand(address, path, checksum)
    file.seek(0)
    digest = hashlib.file_digest(file, checksum.partition(":")[0])
    resumed = file.tell() > 0
    try:
        if not (resumed and _agrees(digest.hexdigest(), checksum)):
            digest = _append(file, address, digest, progress)
        if resumed and not _agrees(digest.hexdigest(), checksum):
            digest = _append(file, address, _emptied(file, digest), progress)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DownloadFailed(f"cannot fetch {path.name}: {reason}; try again{_kept(file)}, or {by_hand}") from error
    if not _agrees(digest.hexdigest(), checksum):
        _emptied(file, digest)
        raise DownloadFailed(
            f"{address} gave a file with {digest.name}:{digest.hexdigest()}, not {checksum}: nothing was kept; "
            f"try again, or {by_hand}"
        )


def _append(file: BufferedRandom, address: str, digest: Any, progress: Progress | None) -> Any:
    """Streams what ``file`` lacks of ``address`` to its end and into ``digest``; returns the digest of the whole.

    Bytes are kept as they were sent: a compression for the transfer alone would leave nothing to go on from.
    """
    import httpx

    have = file.tell()
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with httpx.stream("GET", address, headers=headers, follow_redirects=True, timeout=30) as response:
        goes_on = have > 0 and _begins_at(have, response)
        if goes_on or not have or response.status_code not in (206, 416):
            response.raise_for_status()
            if not goes_on:
                digest, have = _emptied(file, digest), 0
            return _received(response, file, digest, have, progress=progress)
    return _append(file, address, _emptied(file, digest), progress)


def _received(response: Any, file: BufferedRandom, digest: Any, have: int, *, progress: Progress | None) -> Any:
    length = response.headers.get("content-length")
    total = have + int(length) if length else None
    for chunk in response.iter_raw():
        file.write(chunk)
        digest.update(chunk)
        have += len(chunk)
        if progress:
            progress(have, total)
    return digest


def _begins_at(have: int, response: Any) -> bool:
    """Says whether a response brings everything from byte ``have`` on."""
    found = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", response.headers.get("content-range", ""))
    if response.status_code != 206 or not found:
        return False
    first, last, total = found.groups()
    return int(first) == have and total in ("*", str(int(last) + 1))


def _emptied(file: BufferedRandom, digest: Any) -> Any:
    """Returns the digest of nothing, after leaving the file empty."""
    file.seek(0)
    file.truncate()
    return hashlib.new(digest.name)


def _kept(file: BufferedRandom) -> str:
    file.flush()
    size = os.fstat(file.fileno()).st_size
    return f", which goes on after the {size:,} bytes that came" if size else ""


def _agrees(digest: str, checksum: str) -> bool:
    """Says whether a digest is the expected one, or begins with it where that is shorter."""
    expected = checksum.partition(":")[2]
    return len(expected) >= _FEWEST_DIGITS and digest.startswith(expected)


def _by_hand(address: str, path: Path, checksum: str) -> str:
    return f"fetch {address} by hand to {path} ({checksum})"


def _mirrored(address: str) -> str:
    mirror = os.environ.get(MIRROR_VARIABLE, "").rstrip("/")
    return f"{mirror}/{address.rpartition('/')[2]}" if mirror else address


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
