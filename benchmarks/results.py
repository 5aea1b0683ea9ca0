"""Writes a measurement to ``docs/results/`` with what it depends on: commit, machine, load, number of runs."""

import os
import statistics
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from residua import files, machine

ROOT = Path(__file__).parents[1]


def spread(values: Sequence[float]) -> dict[str, float]:
    """Returns median, minimum, maximum and number of the values."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values), "n": len(values)}


def commit() -> str:
    """Returns the commit that is measured, with ``-dirty`` behind it where files differ from it (new ones do not)."""
    line = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    return subprocess.run(line, cwd=ROOT, capture_output=True, text=True).stdout.strip()


def write(name: str, command: str, values: dict[str, Any]) -> None:
    """Writes ``docs/results/NAME.json``."""
    path = ROOT / "docs" / "results" / f"{name}.json"
    about = {
        "command": command,
        "commit": commit(),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "load_average": os.getloadavg()[0],
        "machine": machine.description(),
    }
    files.write_json(path, {**about, **values})
    print(f"written: {path.relative_to(ROOT)}")
