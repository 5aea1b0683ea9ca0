"""Starts the same command several times on this machine, by torch's launcher, and ends with the exit code of rank 0."""

import logging
import os
import signal
import sys
import tempfile
import uuid
from collections.abc import Sequence

from residua import machine
from residua.errors import ProcessLost

_SECONDS_TO_SAVE = "300"
"""Between a signal to stop and SIGKILL: the step under way, and the save."""


def launch(processes: int, arguments: Sequence[str]) -> int:
    """Runs ``residua ARGUMENTS`` in so many processes, which share this machine's cores, and returns the exit code.

    A SIGINT or SIGTERM is passed on to them, and ends this process as it ends them: with 130 or 143.

    Raises:
        ProcessLost: If a signal from elsewhere killed one of them.
    """
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, machine.cores() // processes)))
    os.environ.setdefault("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", _SECONDS_TO_SAVE)
    # The processes say themselves what happened to them.
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    logging.disable(logging.ERROR)
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    with tempfile.TemporaryDirectory(prefix="residua-") as logs:
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=processes,
            run_id=uuid.uuid4().hex,
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",
            local_addr="localhost",
            max_restarts=0,
            logs_specs=DefaultLogsSpecs(log_dir=logs),
        )
        try:
            elastic_launch(config, sys.executable)("-m", "residua", *arguments)
        except SignalException as stopped:
            return 128 + stopped.sigval
        except ChildFailedError as error:
            return _exit_code({rank: failure.exitcode for rank, failure in error.failures.items()}, processes)
    return 0


def _exit_code(codes: dict[int, int], processes: int) -> int:
    """Returns the exit code of the lowest rank that failed.

    Args:
        codes: Of the ranks that failed; negative is the signal that killed one.
        processes: How many there were.

    Raises:
        ProcessLost: If one of them was killed.
    """
    # The launcher sends those that are left a SIGTERM, which may meet one on its way out: that is no cause.
    codes = {rank: code for rank, code in codes.items() if code != -signal.SIGTERM} or codes
    for rank, code in sorted(codes.items()):
        if code < 0:
            name = signal.Signals(-code).name
            why = ", as the system does when memory runs out" if -code == signal.SIGKILL else ""
            raise ProcessLost(
                f"process {rank} of {processes} was killed by {name}{why}, and the others were ended, "
                "which say above how to go on"
            )
    return codes[min(codes)]
