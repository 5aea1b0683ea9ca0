"""Stops a run, and says whether one that went on ended as one that nobody stopped."""

import os
import signal
from pathlib import Path
from typing import Any

from tests.training.conftest import EPOCHS, STEPS

from residua import files
from residua.training import checkpoint
from residua.training.fit import Fitted
from residua.training.record import Record

TIMES = ("seconds", "images_per_second")


def timeless(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name not in TIMES} for row in rows]


def assert_same(run: Path, whole: Fitted) -> None:
    """Weights to the bit, every metric that is no time, and each step once."""
    ours, theirs = (path / "model.safetensors" for path in (run, whole.record.path))
    assert ours.read_bytes() == theirs.read_bytes()
    assert timeless(Record(run).epochs()) == timeless(whole.record.epochs())
    assert Record(run).read("result") == whole.record.read("result")
    steps = [row["step"] for row in files.read_json_lines(run / "steps.jsonl")]
    assert steps == list(range(1, EPOCHS * STEPS + 1))


def stop_at(step: int, number: int = signal.SIGINT) -> Any:
    seen = iter(range(1, 10_000))
    return lambda _event: next(seen) == step and os.kill(os.getpid(), number)


def steps_of(folder: Path) -> list[int]:
    return [int(path.name.split("-")[1]) for path in checkpoint.found(folder)]
