"""Checkpoints: all that a run needs to go on as if it had never stopped, so that a kill at any moment costs little.

A checkpoint is written beside its place, flushed and renamed, and its name holds the beginning of its SHA-256:
``step-000000120-0123456789abcdef.pt`` is whole or is not there, and what the disk changed is recognised. The newest
`KEPT` stay; one that is damaged is passed over for the one before it.
"""

import hashlib
import io
import pickle
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from residua import files
from residua.errors import BadRun, NotSaved
from residua.training.observers import EpochEnded
from residua.training.state import Position, State

KEPT = 2
_DIGITS = 16
_NAME = re.compile(r"step-(\d+)-([0-9a-f]{16})\.pt")


def save(state: State, folder: Path) -> Path:
    """Writes the state into ``folder``, whole or not at all, and removes all but the newest checkpoints.

    Raises:
        NotSaved: If it cannot be written; the checkpoints before it are untouched.
    """
    content = _content(state)
    digest = hashlib.sha256(content).hexdigest()[:_DIGITS]
    path = folder / f"step-{state.position.total_steps:09}-{digest}.pt"
    try:
        files.write(path, content)
    except OSError as error:
        there = found(folder)
        before = f"the checkpoint of step {_step(there[-1]):,} is intact" if there else "there is none before it"
        raise NotSaved(
            f"cannot save step {state.position.total_steps:,} to {folder} ({error.strerror or error}); {before}: "
            f"free space, then go on with `residua train --resume {folder.parent}`"
        ) from error
    behind = [other for other in found(folder) if _step(other) <= state.position.total_steps]
    for other in found(folder):
        if other not in behind[-KEPT:]:  # an old one, or one further on that could not be read back
            other.unlink()
    return path


def found(folder: Path) -> list[Path]:
    """Lists the checkpoints of a run, the oldest first; what a kill cut short is none."""
    names = [path for path in folder.glob("step-*.pt") if _NAME.fullmatch(path.name)]
    return sorted(names, key=lambda path: (_step(path), path.stat().st_mtime_ns))


def restore(state: State, folder: Path, device: torch.device) -> str:
    """Reads the newest whole checkpoint into a state that was made for the same network and recipe.

    Returns:
        What the user should know: empty, or which checkpoints were passed over.

    Raises:
        BadRun: If every checkpoint is damaged, or the newest whole one belongs to another network.
    """
    damaged = []
    for path in reversed(found(folder)):
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest()[:_DIGITS] != _NAME.fullmatch(path.name)[2]:  # type: ignore[index]
            damaged.append(path.name)
            continue
        _read(state, content, path, device)
        return f"{', '.join(damaged)} cannot be read back: goes on from {path.name}" if damaged else ""
    raise BadRun(f"{', '.join(damaged)} in {folder} cannot be read back; train again")


def _content(state: State) -> bytes:
    values = {
        "network": state.network.state_dict(),
        "optimizer": state.optimizer.state_dict(),
        "position": asdict(state.position),
        "history": [asdict(row) for row in state.history],
        "average": state.average,
        "scaler": state.scaler.state_dict(),
        "best_weights": state.best_weights,
        "best_epoch": state.best_epoch,
        "best_loss": state.best_loss,
        "best_accuracy": state.best_accuracy,
    }
    buffer = io.BytesIO()
    torch.save(values, buffer)
    return buffer.getvalue()


def _read(state: State, content: bytes, path: Path, device: torch.device) -> None:
    try:
        values: dict[str, Any] = torch.load(io.BytesIO(content), map_location=device, weights_only=True)
        state.network.load_state_dict(values["network"])
        state.optimizer.load_state_dict(values["optimizer"])
    except (RuntimeError, KeyError, ValueError, EOFError, pickle.UnpicklingError) as error:
        raise BadRun(f"{path} is not of this network ({str(error).splitlines()[0]}); train again") from error
    state.position = Position(**values["position"])
    state.history = [EpochEnded(**row) for row in values["history"]]
    state.average = values.get("average")
    if values.get("scaler"):
        state.scaler.load_state_dict(values["scaler"])
    state.best_weights = values["best_weights"]
    state.best_epoch, state.best_loss = values["best_epoch"], values["best_loss"]
    state.best_accuracy = values["best_accuracy"]


def _step(path: Path) -> int:
    return int(path.name.split("-")[1])
