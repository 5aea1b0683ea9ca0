"""Who is at work on what: one process of many, on one machine or on several that share a disk.

A lease is a file ``NAME.GENERATION`` that exactly one process can make (``O_CREAT | O_EXCL``); its holder touches it
every few seconds. Where the newest generation is no longer touched, its holder is gone, and whoever makes the next
generation takes over: again exactly one. A holder that is known to be dead (same machine, no such process) is not
waited for. Clocks of different machines are never compared: a lease is old when it has not changed for a while by the
clock of who looks.
"""

import contextlib
import json
import os
import platform
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import final

HEARTBEAT_SECONDS = 10.0
STALE_SECONDS = 90.0
"""Nine heartbeats: a disk that is shared over a network may show them late."""


@final
class Leases:
    """The leases of one folder, as one process sees them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen: dict[Path, tuple[int, float]] = {}

    @contextlib.contextmanager
    def claim(self, name: str) -> Iterator[bool]:
        """Yields whether this process alone may work on ``name`` within the block; the lease ends with the block."""
        path = self._taken(name)
        if path is None:
            yield False
            return
        ended = threading.Event()
        beating = threading.Thread(target=_beat, args=(path, ended), daemon=True)
        beating.start()
        try:
            yield True
        finally:
            ended.set()
            beating.join()
            for old in self._generations(name):  # the oldest first: at no moment is a dead one the newest
                if _generation(old) <= _generation(path):  # a newer one is of who took over
                    old.unlink(missing_ok=True)

    def held(self) -> list[str]:
        """Lists the names that some process is at work on, as far as can be seen."""
        names = {path.stem for path in self._folder.glob("*.*")}
        return sorted(name for name in names if any(map(self._is_alive, self._generations(name)[-1:])))

    def _taken(self, name: str) -> Path | None:
        """Makes the next generation of a lease that nobody holds, if no other process is quicker."""
        self._folder.mkdir(parents=True, exist_ok=True)
        known = self._generations(name)
        if known and self._is_alive(known[-1]):
            return None
        path = self._folder / f"{name}.{_generation(known[-1]) + 1 if known else 0}"
        try:
            handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        except FileExistsError:
            return None
        with os.fdopen(handle, "w") as file:
            json.dump({"host": platform.node(), "process": os.getpid()}, file)
        return path

    def _generations(self, name: str) -> list[Path]:
        """Lists a name's leases, the oldest generation first."""
        return sorted((one for one in self._folder.glob(f"{name}.*") if one.suffix[1:].isdigit()), key=_generation)

    def _is_alive(self, path: Path) -> bool:
        """Says whether the holder of a lease may still be at work."""
        try:
            changed, text = path.stat().st_mtime_ns, path.read_text()
        except FileNotFoundError:
            return False
        holder = json.loads(text) if text.endswith("}") else {}  # its holder may not have written it yet
        if holder.get("host") == platform.node() and not _is_process(int(holder["process"])):
            return False
        before, since = self._seen.get(path, (None, 0.0))
        if before != changed:
            self._seen[path] = (changed, time.monotonic())
            return True
        return time.monotonic() - since < STALE_SECONDS


def _beat(path: Path, ended: threading.Event) -> None:
    while not ended.wait(HEARTBEAT_SECONDS):
        with contextlib.suppress(OSError):
            os.utime(path)


def _generation(path: Path) -> int:
    return int(path.suffix[1:])


def _is_process(number: int) -> bool:
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
