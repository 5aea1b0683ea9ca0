"""``steps.jsonl``: a line a step, written as it is taken, so that a kill loses none; every step stands there once."""

import contextlib
import json
from pathlib import Path
from typing import IO, Any, final

from residua import files


@final
class StepLog:
    """Appends one line a step; each line is with the system when `add` returns, though not yet on the disk."""

    def __init__(self, path: Path, *, after: int) -> None:
        """Opens the log for the steps behind ``after``; lines of later ones, which are taken again, are removed.

        So are damaged lines: a log keeps no run from going on.
        """
        if path.is_file():
            rows = [row for row in files.read_json_lines(path) if isinstance(row.get("step"), int)]
            files.write_json_lines(path, [row for row in rows if row["step"] <= after])
        self._file: IO[str] = path.open("a", encoding="utf-8", buffering=1)

    def add(self, row: dict[str, Any]) -> None:
        """Writes a step's line."""
        with contextlib.suppress(OSError):  # a full disk is met, and said, when the state is saved
            self._file.write(json.dumps(row) + "\n")

    def close(self) -> None:
        """Closes the file."""
        with contextlib.suppress(OSError):
            self._file.close()
