"""Several processes on this machine that run one study: each takes trials from the store until none is left.

They share nothing but the store, as processes on other machines would, so that one that dies costs no more than the
trial it was at. Each gets an equal part of the cores as threads.
"""

import contextlib
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import final

from residua import machine
from residua.errors import BadRun, BadSetting, Interrupted
from residua.studies import studyfile
from residua.studies.design import Scale, Study
from residua.studies.gathering import gather
from residua.studies.results import Results
from residua.studies.runner import PAUSE_SECONDS, STOPPED, Account, Share, Silent, Told, work
from residua.studies.schedule import Place, Schedule
from residua.studies.store import Store

_SECONDS_TO_SAVE = 60.0


@final
@dataclass(frozen=True, kw_only=True)
class Orders:
    """All that a worker has to know."""

    study: Study
    scale: Scale
    seeds: int | None
    store: Path
    place: Place
    share: Share
    threads: int

    def schedule(self) -> Schedule:
        """Returns what is to be run."""
        return Schedule(self.study, self.scale, seeds=self.seeds, store=Store(self.store), place=self.place)


def run(orders: Orders, count: int, *, file: Path | None = None, told: Told | None = None) -> Results:
    """Runs a study in so many processes and returns the results.

    Args:
        orders: What each of them does; they divide it among themselves.
        count: How many.
        file: That the study was read from, which each of them reads too.
        told: Is told of every trial, whichever worker runs it.

    Raises:
        BadSetting: If the study cannot be sent to another process.
        BadRun: If every worker died before the last trial had ended.
        Interrupted: If the user asked to stop; every trial under way is saved.
    """
    parcel, schedule, store = _packed(orders, file), orders.schedule(), Store(orders.store)
    account = Account(schedule, store, orders.share, told or Silent())
    account.start(workers=count)
    with _workers(parcel, count, orders.threads) as workers:
        try:
            _watch(account, store, workers)
        except KeyboardInterrupt:
            raise Interrupted(STOPPED) from None
    return gather(schedule, store)


def _watch(account: Account, store: Store, workers: list["subprocess.Popen[bytes]"]) -> None:
    """Tells of what the workers do until every trial has ended.

    Raises:
        BadRun: If all workers are gone before.
    """
    while True:
        alive = any(one.poll() is None for one in workers)
        held = set(store.held())
        for one in account.open():
            if one.address in held:
                account.begin(one)
        if account.is_complete():
            return
        if not alive:
            codes = ", ".join(str(one.returncode) for one in workers)
            raise BadRun(f"every worker ended early (exit codes {codes}); run the study again with --workers 1 to see")
        time.sleep(PAUSE_SECONDS)


@contextlib.contextmanager
def _workers(parcel: bytes, count: int, threads: int) -> Iterator[list["subprocess.Popen[bytes]"]]:
    """Starts the workers; ends them with the block, each with its trial saved."""
    command = [sys.executable, "-m", "residua.studies.workers"]
    found_here = os.pathsep.join(one for one in sys.path if one)
    variables = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONPATH": found_here}
    workers = [_begun(command, variables) for _ in range(count)]
    try:
        for one in workers:
            assert one.stdin is not None
            with contextlib.suppress(BrokenPipeError), one.stdin:  # of one that died at once
                one.stdin.write(parcel)
        yield workers
    finally:
        for one in workers:
            if one.poll() is None:
                one.send_signal(signal.SIGTERM)
        for one in workers:
            with contextlib.suppress(subprocess.TimeoutExpired):
                one.wait(_SECONDS_TO_SAVE)


def _begun(command: list[str], variables: dict[str, str]) -> "subprocess.Popen[bytes]":
    """Starts a worker in a session of its own: Ctrl-C is for this process, which asks each worker once to save."""
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=variables, start_new_session=True
    )


def _packed(orders: Orders, file: Path | None) -> bytes:
    """Returns the orders as bytes; functions go by their names, so each process has to find them there."""
    own = [one for one in orders.study.measures if one.function.__module__ == "__main__"]
    if own:
        raise BadSetting(
            f"measure {own[0].name} is defined in the program itself, where no worker finds it; put the study into a "
            "file of its own and run `residua study FILE`, or take --workers 1"
        )
    try:
        return pickle.dumps((None if file is None else str(file.resolve()), pickle.dumps(orders)))
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise BadSetting(
            f"the study cannot be sent to workers ({error}); define its functions at the level of their file, "
            "or take --workers 1"
        ) from error


def _main() -> int:
    """Is one worker: reads its orders from the standard input and works until nothing is left."""
    machine.end_with_parent()
    file, packed = pickle.load(sys.stdin.buffer)
    if file is not None:
        studyfile.study(file)
    orders: Orders = pickle.loads(packed)
    machine.prepare_process()
    try:
        work(orders.schedule(), Store(orders.store), orders.share)
    except (KeyboardInterrupt, Interrupted):
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(_main())
