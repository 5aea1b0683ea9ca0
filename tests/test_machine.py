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
