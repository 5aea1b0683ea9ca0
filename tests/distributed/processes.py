"""Runs a function in several real processes that find each other as torchrun's or srun's do.

A server imports torch once and is forked for each process, so that one costs milliseconds.
"""

import multiprocessing
import os
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from residua.errors import ResiduaError

SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["residua.verbs", "residua.training.fit", "tests.training.conftest"])
SECONDS = 120


@dataclass(frozen=True)
class Ended:
    """How the processes ended, rank by rank."""

    codes: list[int | None]
    """Exit codes; a negative one is the signal that killed it."""
    said: list[str]
    """What each wrote to standard error."""
    gave: list[Any]
    """What each function returned; None where it raised."""


def together(
    ranks: int, function: Callable[..., Any], *arguments: Any, folder: Path, starter: str = "torchrun"
) -> Ended:
    """Calls ``function(*arguments)`` in so many processes at once; none outlives `SECONDS`."""
    folder.mkdir(parents=True, exist_ok=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    children = [
        SERVER.Process(target=_child, args=(variables(starter, rank, ranks, port), folder, rank, function, arguments))
        for rank in range(ranks)
    ]
    for child in children:
        child.start()
    for child in children:
        child.join(SECONDS)
    hung = [rank for rank, child in enumerate(children) if child.is_alive()]
    for child in children:
        child.kill()
        child.join()
    assert not hung, f"ranks {hung} hang"
    paths = [folder / f"gave-{rank}.pt" for rank in range(ranks)]
    return Ended(
        codes=[child.exitcode for child in children],
        said=[(folder / f"said-{rank}.txt").read_text() for rank in range(ranks)],
        gave=[torch.load(path, weights_only=False) if path.is_file() else None for path in paths],
    )


def variables(starter: str, rank: int, ranks: int, port: str) -> dict[str, str]:
    """What torchrun sets on one machine, or srun."""
    meeting = {"MASTER_ADDR": "localhost", "MASTER_PORT": port}
    if starter == "srun":
        named = ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID", "SLURM_STEP_TASKS_PER_NODE")
        meeting.pop("MASTER_ADDR")
    else:
        named = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
    return meeting | dict(zip(named, map(str, (rank, ranks, rank, ranks)), strict=True))


def _child(
    environment: dict[str, str], folder: Path, rank: int, function: Callable[..., Any], arguments: tuple[Any, ...]
) -> None:
    os.environ.update(environment)
    torch.set_num_threads(1)
    with (folder / f"said-{rank}.txt").open("w") as said:
        os.dup2(said.fileno(), sys.stderr.fileno())
        try:
            torch.save(function(*arguments), folder / f"gave-{rank}.pt")
        except ResiduaError as error:
            print(error, file=sys.stderr, flush=True)
            sys.exit(error.exit_code)
