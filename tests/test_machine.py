import mmap
import subprocess
import sys

import pytest
import torch

from residua import machine
from residua.errors import BadSetting


def test_threads_never_exceed_cores():
    code = (
        "import torch; torch.set_num_threads(64); from residua import machine; machine.prepare_process(); "
        "assert torch.get_num_threads() <= machine.cores(), torch.get_num_threads()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_device_that_is_none_is_refused():
    with pytest.raises(BadSetting, match="'gpu' is no device"):
        machine.device("gpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_a_cuda_device_that_is_not_here_is_refused():
    with pytest.raises(BadSetting, match="use --device cpu"):
        machine.device("cuda")


def test_bfloat16_is_chosen_only_where_it_is_native(monkeypatch: pytest.MonkeyPatch):
    processor = torch.device("cpu")
    for native, chosen in ((True, "bfloat16"), (False, "float32")):
        monkeypatch.setattr(machine, "has_bfloat16", lambda on, native=native: native)
        assert machine.precision("auto", processor) == chosen
    with pytest.raises(BadSetting, match="not native"):
        machine.precision("bfloat16", processor)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")
def test_the_allocator_keeps_its_pages():
    """Without `keep_memory` every large tensor is mapped and faulted in anew, page by page."""
    code = (
        "import resource, torch\n"
        "from residua import machine\n"
        "{}\n"
        "def faults():\n"
        "    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "    for pixels in (1 << 20, 4 << 20, 8 << 20):\n"
        "        torch.empty(pixels).fill_(1)\n"
        "    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before\n"
        "[faults() for _ in range(4)]\n"
        "print(faults())"
    )
    kept, default = (
        int(subprocess.run([sys.executable, "-c", code.format(call)], check=True, capture_output=True).stdout)
        for call in ("machine.keep_memory()", "")
    )
    assert kept < default / 2


def test_the_description_names_what_a_result_depends_on():
    described = machine.description()
    assert {"residua", "torch", "processor", "cores", "threads", "device", "bfloat16"} <= described.keys()


def test_float16_is_for_gpus():
    with pytest.raises(BadSetting, match="thousand times slower on a processor; use bfloat16"):
        machine.precision("float16", torch.device("cpu"))
    assert machine.precision("float16", torch.device("cuda")) == "float16"


@pytest.mark.parametrize(
    ("arithmetic", "dtype"), [("float32", "float32"), ("bfloat16", "bfloat16"), ("float16", "float16")]
)
def test_layers_compute_in_the_arithmetic_that_is_asked_for(arithmetic: machine.Precision, dtype: str):
    on = torch.device("cpu")
    with machine.computing_in(arithmetic, on):
        assert torch.nn.Linear(2, 2)(torch.zeros(1, 2)).dtype == getattr(torch, dtype)


GROUPS = {
    "version 2, of the group": (
        100,
        {"/proc/self/cgroup": "0::/job/step", "/sys/fs/cgroup/job/step/memory.max": "60"}
        | {"/sys/fs/cgroup/job/step/memory.current": "50", "/sys/fs/cgroup/job/step/memory.stat": "inactive_file 5"},
        15,
    ),
    "version 2, of the group above": (
        100,
        {"/proc/self/cgroup": "0::/job/step", "/sys/fs/cgroup/job/step/memory.max": "max"}
        | {"/sys/fs/cgroup/job/memory.max": "70", "/sys/fs/cgroup/job/memory.current": "50"},
        20,
    ),
    "version 2, of a container": (
        100,
        {"/proc/self/cgroup": "0::/", "/sys/fs/cgroup/memory.max": "90", "/sys/fs/cgroup/memory.current": "10"},
        80,
    ),
    "version 1": (
        100,
        {"/proc/self/cgroup": "5:cpu:/a\n9:memory:/docker/x", "/sys/fs/cgroup/memory/memory.usage_in_bytes": "8"}
        | {"/sys/fs/cgroup/memory/memory.limit_in_bytes": "40", "/sys/fs/cgroup/memory/memory.stat": "cache 9"},
        32,
    ),
    "above its limit": (
        100,
        {"/proc/self/cgroup": "0::/", "/sys/fs/cgroup/memory.max": "9", "/sys/fs/cgroup/memory.current": "10"},
        0,
    ),
    "the machine has less": (
        3,
        {"/proc/self/cgroup": "0::/", "/sys/fs/cgroup/memory.max": "9000", "/sys/fs/cgroup/memory.current": "10"},
        3 * 1024,
    ),
    "no limit": (100, {"/proc/self/cgroup": "0::/"}, 100 * 1024),
}


@pytest.mark.parametrize(("kilobytes", "there", "free"), GROUPS.values(), ids=list(GROUPS))
def test_a_control_groups_limit_counts(monkeypatch: pytest.MonkeyPatch, kilobytes: int, there: dict, free: int):
    """The least of the machine's free memory and what every group above the process leaves."""
    there = {"/proc/meminfo": f"MemTotal: 1 kB\nMemAvailable: {kilobytes} kB"} | there
    monkeypatch.setattr(machine, "_lines", lambda path: there.get(path, "").splitlines())
    assert machine.memory_bytes() == free


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_resident_size_grows_with_what_is_written():
    """A map of its own, for freed memory that is used again is resident already."""
    before = machine.resident_bytes()
    with mmap.mmap(-1, 32 << 20) as kept:
        kept.write(bytes(32 << 20))
        assert machine.resident_bytes() - before >= 0.8 * (32 << 20)
