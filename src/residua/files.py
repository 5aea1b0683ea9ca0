"""Files written whole or not at all, downloaded and checked.

A file appears under its name only when its last byte is on the disk: it is written beside its place,
flushed, and renamed.
"""

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from residua.errors import BadRun, DownloadFailed

Progress = Callable[[int, int | None], None]
"""Is told the bytes so far and the bytes in all (None where the server does not say)."""

OFFLINE_VARIABLE = "RESIDUA_OFFLINE"
MIRROR_VARIABLE = "RESIDUA_MIRROR"
_CHUNK_BYTES = 1 << 18


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


def write(path: Path, content: str | bytes) -> None:
    """Writes ``content`` to ``path`` whole or not at all; text as UTF-8."""
    with replacing(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


def write_json(path: Path, value: Any) -> None:
    """Writes ``value`` as indented JSON, whole or not at all; non-ASCII text stays readable."""
    write(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Reads a JSON file of a run.

    Raises:
        BadRun: If the file is missing or no JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadRun(f"{path} is missing; is {path.parent} a finished run?") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise BadRun(f"{path} is damaged ({error}); train again, or restore the file") from None


def write_json_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    """Writes one JSON object a line, whole or not at all."""
    write(path, "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows))


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    """Reads one JSON object a line; a last line cut short by a kill is left out."""
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines():
        with contextlib.suppress(json.JSONDecodeError):
            rows.append(json.loads(line))
    return rows


def matches(path: Path, checksum: str) -> bool:
    """Says whether ``path`` is a file with this checksum, written ``md5:…`` or ``sha256:…``."""
    algorithm, _, expected = checksum.partition(":")
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest() == expected


def download(address: str, path: Path, *, checksum: str, progress: Progress | None = None) -> Path:
    """Fetches ``address`` to ``path`` unless it is there with its checksum already.

    ``RESIDUA_MIRROR`` replaces the address's scheme and host (``https://mirror/base`` serves
    ``https://mirror/base/FILE``); ``RESIDUA_OFFLINE`` forbids fetching; the proxy variables
    ``HTTPS_PROXY``, ``HTTP_PROXY`` and ``NO_PROXY`` are honoured.

    Args:
        address: Where the publisher serves the file.
        path: Where the file belongs; it appears there whole and verified, or not at all.
        checksum: The expected digest, ``md5:…`` or ``sha256:…``.
        progress: Is told bytes so far and in all, after every chunk.

    Raises:
        DownloadFailed: If the file cannot be fetched or differs; names address, place and checksum.
    """
    if matches(path, checksum):
        return path
    address = _mirrored(address)
    by_hand = f"fetch {address} by hand to {path} ({checksum})"
    if os.environ.get(OFFLINE_VARIABLE, "").lower() not in ("", "0", "false"):
        raise DownloadFailed(f"{path.name} is not at {path} and {OFFLINE_VARIABLE} is set; unset it, or {by_hand}")
    try:
        found = _fetch(address, path, checksum, progress)
    except OSError as error:
        raise DownloadFailed(
            f"cannot write {path} ({error.strerror or error}); free space there or choose another place"
        ) from error
    if found != checksum:
        raise DownloadFailed(
            f"{address} gave a file with {found}, not {checksum}: nothing was kept; try again, or {by_hand}"
        )
    return path


def _fetch(address: str, path: Path, checksum: str, progress: Progress | None) -> str:
    """Streams ``address`` to ``path``, keeps it only if it has the checksum, and returns the one it has."""
    import httpx

    algorithm = checksum.partition(":")[0]
    digest, received = hashlib.new(algorithm), 0
    try:
        with (
            replacing(path) as file,
            httpx.stream("GET", address, follow_redirects=True, timeout=30) as response,
        ):
            response.raise_for_status()
            length = response.headers.get("content-length")
            for chunk in response.iter_bytes(_CHUNK_BYTES):
                file.write(chunk)
                digest.update(chunk)
                received += len(chunk)
                if progress:
                    progress(received, int(length) if length else None)
            if digest.hexdigest() != checksum.partition(":")[2]:
                raise _Differs
    except _Differs:
        pass
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        reason = str(error).splitlines()[0] or type(error).__name__
        raise DownloadFailed(
            f"cannot fetch {path.name}: {reason}; try again, or fetch {address} by hand to {path} ({checksum})"
        ) from error
    return f"{algorithm}:{digest.hexdigest()}"


class _Differs(Exception):
    """Makes `replacing` drop a file with the wrong checksum."""


def _mirrored(address: str) -> str:
    mirror = os.environ.get(MIRROR_VARIABLE, "").rstrip("/")
    return f"{mirror}/{address.rpartition('/')[2]}" if mirror else address


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
