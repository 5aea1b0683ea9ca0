"""What this machine offers: cores and threads, bfloat16 or not, the allocator, the device.

Nothing here happens on import. `prepare_process` is for programs (the command line, a training run);
a library that merely imports Residua keeps its process as it was.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import re
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, final

from residua.errors import BadSetting, ResiduaError

if TYPE_CHECKING:
    import torch

Precision = Literal["float32", "bfloat16", "float16"]

ALLOCATOR_VARIABLE = "RESIDUA_ALLOCATOR"
_CGROUP_FILES = {
    "": ("/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"),
    "memory": (
        "/sys/fs/cgroup/memory",
        "memory.limit_in_bytes",
        "memory.usage_in_bytes",
        "total_inactive_file",
    ),
}
"""Where version 2 ("") and version 1 keep them: the root, the limit, the use, and the row of idle pages."""
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4
_PR_SET_PDEATHSIG = 1


@final
@dataclass(frozen=True, kw_only=True)
class Place:
    """Says which process this is of those that train together."""

    rank: int = 0
    """Among all of them."""
    ranks: int = 1
    local_rank: int = 0
    """Among those on this machine."""
    local_ranks: int = 1
    starter: Literal["torchrun", "srun"] | None = None
    """What started them; None where this process is alone."""


def place() -> Place:
    """Reads this process's place from the variables that torchrun sets, or srun."""
    env = os.environ
    if "RANK" in env and "WORLD_SIZE" in env:
        return Place(
            rank=int(env["RANK"]),
            ranks=int(env["WORLD_SIZE"]),
            local_rank=int(env.get("LOCAL_RANK", "0")),
            local_ranks=int(env.get("LOCAL_WORLD_SIZE", "1")),
            starter="torchrun",
        )
    if int(env.get("SLURM_STEP_NUM_TASKS", "1")) > 1:  # of srun's step, not of the batch script around it
        beside = re.match(r"\d+", env.get("SLURM_STEP_TASKS_PER_NODE", "1"))
        return Place(
            rank=int(env["SLURM_PROCID"]),
            ranks=int(env["SLURM_STEP_NUM_TASKS"]),
            local_rank=int(env["SLURM_LOCALID"]),
            local_ranks=int(beside[0]) if beside else 1,
            starter="srun",
        )
    return Place()


@contextlib.contextmanager
def said_once() -> Iterator[None]:
    """Has rank 0 alone say what every process of a run refuses alike before they meet; the others leave as it does."""
    try:
        yield
    except ResiduaError as error:
        if place().rank:
            raise SystemExit(error.exit_code) from error
        raise


def threads() -> int:
    """Returns how many threads this process should compute with: the cores, shared with the processes beside it.

    srun's ``--cpus-per-task`` says it where Slurm has bound each process to cores of its own.
    """
    here, bound = place(), os.environ.get("SLURM_CPUS_PER_TASK")
    if here.starter == "srun" and bound:
        return max(1, min(cores(), int(bound)))
    return max(1, cores() // here.local_ranks)


def end_with_parent() -> None:
    """Has Linux send this process SIGTERM when the one that started it dies, so that none is left behind."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def cores() -> int:
    """Counts the cores that this process may use (its affinity mask and its container's share)."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(available, _cgroup_cores() or available))


def prepare_process() -> None:
    """Sets up this process for training: the allocator keeps its memory, threads never exceed cores, nor the
    share of them that `threads` leaves this process.

    glibc maps and unmaps every large activation, which costs half the time of a step on photographs;
    three ``mallopt`` settings make it keep the pages. The resident size then stays at its peak.
    ``RESIDUA_ALLOCATOR=default`` leaves the allocator alone.
    """
    import torch

    if os.environ.get(ALLOCATOR_VARIABLE, "") != "default":
        keep_memory()
    torch.set_num_threads(min(torch.get_num_threads(), threads()))


def keep_memory() -> bool:
    """Tells glibc to keep freed memory for this process, and says whether it could."""
    if sys.platform != "linux" or platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL("libc.so.6").mallopt
    settings = ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, 2**31 - 1), (_M_TOP_PAD, 64 << 20))
    accepted = [mallopt(name, value) == 1 for name, value in settings]
    return all(accepted)


def device(name: str = "auto") -> torch.device:
    """Returns the device by name; ``auto`` is the first CUDA device, else the processor.

    Raises:
        BadSetting: If the name means no device of this machine.
    """
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(name)
    except RuntimeError:
        raise BadSetting(f"{name!r} is no device; allowed: auto, cpu, cuda, cuda:1, …") from None
    if chosen.type not in ("cpu", "cuda"):
        raise BadSetting(f"{name!r} is no device that this library computes on; allowed: auto, cpu, cuda, cuda:1, …")
    if chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count():
        raise BadSetting(f"{name} is not on this machine ({torch.cuda.device_count()} CUDA devices); use --device cpu")
    return chosen


def precision(name: str, on: torch.device) -> Precision:
    """Returns the arithmetic of the convolutions; ``auto`` is bfloat16 where the device computes it natively.

    Raises:
        BadSetting: If bfloat16 is asked for where it is only emulated, or float16 on a processor.
    """
    if name == "float16" and on.type == "cpu":
        raise BadSetting(
            "precision is 'float16', which is about a thousand times slower on a processor; "
            "use bfloat16 or float32, or leave it to auto"
        )
    if name == "auto":
        return "bfloat16" if has_bfloat16(on) else "float32"
    if name == "bfloat16" and not has_bfloat16(on):
        raise BadSetting("bfloat16 is not native on this device and would be slower; use precision float32")
    return "bfloat16" if name == "bfloat16" else "float16" if name == "float16" else "float32"


def computing_in(arithmetic: Precision, on: torch.device) -> torch.autocast:
    """Returns the context in which convolutions and linear layers compute so; in float32 it changes nothing."""
    import torch

    return torch.autocast(on.type, getattr(torch, arithmetic), enabled=arithmetic != "float32")


def has_bfloat16(on: torch.device) -> bool:
    """Says whether the device multiplies bfloat16 matrices natively."""
    import torch

    if on.type == "cuda":
        return torch.cuda.get_device_capability(on)[0] >= 8
    return bool(_cpu_flags() & {"avx512_bf16", "amx_bf16", "bf16"})


def why_not_compiled(on: torch.device) -> str:
    """Says why ``torch.compile`` does not work for a device; empty where it does.

    Compiles an addition, which takes a C++ compiler on a processor and triton on a GPU, and seconds the first time. The
    compiler is asked for besides: what torch has compiled before it would find again without one.
    """
    import torch
    from torch._inductor.cpp_builder import get_cpp_compiler

    try:
        if on.type == "cpu":
            get_cpp_compiler()
        torch.compile(lambda x: x + 1)(torch.zeros(16, device=on))
    except (RuntimeError, ImportError, OSError) as error:
        lines = [line.strip() for line in str(error).splitlines()]
        return next((line for line in lines if line and not line.endswith(":")), type(error).__name__)
    return ""


def description() -> dict[str, Any]:
    """Describes what a run was computed on: versions, processor, cores, threads, device."""
    import numpy
    import torch

    from residua import __version__

    cuda = torch.cuda.is_available()
    return {
        "residua": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "system": platform.platform(),
        "processor": processor_name(),
        "cores": cores(),
        "threads": torch.get_num_threads(),
        "bfloat16": has_bfloat16(device()),
        "device": torch.cuda.get_device_name() if cuda else "cpu",
        "memory_bytes": memory_bytes(),
    }


def processor_name() -> str:
    """Names the processor as the system does, with its widest vector extension."""
    flags = _cpu_flags()
    widest = next((flag for flag in ("amx_bf16", "avx512_bf16", "avx512f", "avx2") if flag in flags), "")
    for line in _lines("/proc/cpuinfo"):
        if line.startswith("model name"):
            return f"{line.partition(':')[2].strip()} ({widest})" if widest else line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def memory_bytes() -> int:
    """Returns the memory that this process may still take, in bytes; 0 where the system does not say.

    The least of what the machine has and what its control groups, a container's or a job's, leave it.
    """
    machines = [int(line.split()[1]) * 1024 for line in _lines("/proc/meminfo") if line.startswith("MemAvailable")]
    return max(0, min([*machines, *_cgroup_bytes()], default=0))


def resident_bytes() -> int:
    """Returns the memory that this process has now, in bytes; 0 where the system does not say."""
    pages = " ".join(_lines("/proc/self/statm")).split()
    return int(pages[1]) * os.sysconf("SC_PAGE_SIZE") if len(pages) > 1 else 0


def _cpu_flags() -> set[str]:
    for line in _lines("/proc/cpuinfo"):
        if line.startswith(("flags", "Features")):
            return set(line.partition(":")[2].split())
    return set()


def _cgroup_cores() -> int | None:
    """The container's processor quota in whole cores, where one is set (cgroup v2)."""
    quota = " ".join(_lines("/sys/fs/cgroup/cpu.max")).split()
    if len(quota) == 2 and quota[0] != "max":
        return max(1, int(quota[0]) // int(quota[1]))
    return None


def _cgroup_bytes() -> Iterator[int]:
    """Yields what each control group above this process leaves it, where one has a limit (versions 2 and 1).

    Pages of files that were not used lately are given back under pressure, so they count as free.
    """
    for line in _lines("/proc/self/cgroup"):
        _, controllers, path = line.split(":", 2)
        if controllers not in ("", "memory"):
            continue
        root, limit, used, cached = _CGROUP_FILES["memory" if controllers else ""]
        parts = [part for part in path.split("/") if part]
        for depth in range(len(parts), -1, -1):
            group = "/".join([root, *parts[:depth]])
            most, taken = (_number(f"{group}/{name}") for name in (limit, used))
            if most is not None and taken is not None:
                idle = [int(row.split()[1]) for row in _lines(f"{group}/memory.stat") if row.startswith(f"{cached} ")]
                yield most - taken + sum(idle)


def _number(path: str) -> int | None:
    """Reads a file with one whole number; ``max``, which is no limit, is None."""
    text = "".join(_lines(path)).strip()
    return int(text) if text.isdecimal() else None


def _lines(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8") as file:  # noqa: PTH123
            return file.read().splitlines()
    except OSError:
        return []
