"""The batch script of docs/distributed.md under a real Slurm, whose two nodes this machine plays."""

import contextlib
import getpass
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.distributed.processes import together

from residua import files, verbs

DOCUMENT = Path(__file__).parents[2] / "docs" / "distributed.md"
SECONDS = 120
EPOCHS, SETTING = 20, "checkpoint_seconds=0"
TRAIN = f"--network resnet8 --epochs {EPOCHS} --set {SETTING}"
CONFIGURATION = """\
ClusterName=residua
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/none
CredType=cred/none
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
StateSaveLocation={folder}/state
SlurmdSpoolDir={spool}/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
NodeName=127.0.0.1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=2
NodeName=neighbour NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=2
PartitionName=all Nodes=127.0.0.1,neighbour Default=YES State=UP
"""


@dataclass(frozen=True)
class Cluster:
    """A Slurm of two nodes, each of two cores, that the test's machine plays."""

    folder: Path
    environment: dict[str, str]

    def asked(self, *command: str) -> str:
        """Returns what a command of Slurm's prints."""
        return subprocess.run(
            command, env=self.environment, cwd=self.folder, check=True, capture_output=True, text=True, timeout=SECONDS
        ).stdout

    def answers(self, daemons: Sequence["subprocess.Popen[bytes]"]) -> bool:
        """Waits until both nodes run a command, or a daemon has given up."""
        until = time.monotonic() + 30
        while time.monotonic() < until and all(daemon.poll() is None for daemon in daemons):
            # The controller may not answer yet.
            with contextlib.suppress(subprocess.CalledProcessError, subprocess.TimeoutExpired):
                if self.asked("sinfo", "-h", "-o", "%t").split() == ["idle"]:
                    return self.asked("srun", "--nodes=2", "echo", "here").split() == ["here", "here"]
            time.sleep(0.2)
        return False

    def submit(self, script: str) -> str:
        """Queues a batch script, and returns the job's number."""
        (self.folder / "job.sh").write_text(script)
        return self.asked("sbatch", "--parsable", "--output=%j.txt", "job.sh").strip()

    def ended(self, job: str) -> tuple[int, str]:
        """Waits for a job's end, and returns its exit code and what it printed."""
        until, told = time.monotonic() + SECONDS, ""
        while not (ended := re.search(r"JobState=(?:COMPLETED|FAILED)\b.*? ExitCode=(\d+):", told, re.DOTALL)):
            assert time.monotonic() < until, f"the job does not end: {told}"
            time.sleep(0.2)
            told = self.asked("scontrol", "show", "job", job)
        return int(ended[1]), (self.folder / f"{job}.txt").read_text()


@pytest.fixture
def spool() -> Iterator[str]:
    """A folder whose name is short: Slurm's sockets lie there, and a socket's name has 107 bytes at most."""
    with tempfile.TemporaryDirectory(prefix="slurm-", dir="/tmp") as folder:
        yield folder


@pytest.fixture
def cluster(tmp_path: Path, spool: str) -> Iterator[Cluster]:
    missing = [name for name in ("slurmctld", "slurmd", "srun", "sbatch") if shutil.which(name) is None]
    if missing:
        pytest.skip(f"needs Slurm (apt install slurm-wlm): no {', '.join(missing)}")
    folder, host = tmp_path / "slurm", socket.gethostname()
    (folder / "state").mkdir(parents=True)
    configuration = folder / "slurm.conf"
    configuration.write_text(
        CONFIGURATION.format(host=host, ports=free_ports(3), user=getpass.getuser(), folder=folder, spool=spool)
    )
    started = Cluster(folder, {**os.environ, "SLURM_CONF": str(configuration)})
    daemons = [["slurmctld", "-D"], ["slurmd", "-D", "-N", "127.0.0.1"], ["slurmd", "-D", "-N", "neighbour"]]
    logs = [(folder / f"daemon-{number}.txt").open("w") for number in range(len(daemons))]
    running = [
        subprocess.Popen(daemon, env=started.environment, stdout=log, stderr=subprocess.STDOUT)
        for daemon, log in zip(daemons, logs, strict=True)
    ]
    try:
        if not started.answers(running):
            pytest.skip(f"Slurm does not start here: {(folder / 'daemon-0.txt').read_text()[-300:]}")
        yield started
    finally:
        for daemon in reversed(running):
            daemon.send_signal(signal.SIGTERM)
            daemon.wait(SECONDS)
        for log in logs:
            log.close()


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def documented(command: str) -> str:
    """Returns the document's batch script for two nodes of two cores without GPUs, with another command after srun."""
    found = re.search(r"## Slurm\n\n```\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    assert found is not None
    script = (
        found[1].replace("--ntasks-per-node=8", "--ntasks-per-node=2").replace("cpus-per-task=12", "cpus-per-task=1")
    )
    script = script.replace("#SBATCH --gpus-per-node=8\n", "").replace("=29500", f"={free_ports(1)[0]}")
    asked = f"{shlex.quote(sys.executable)} -m residua {command}"
    script, changed = re.subn("residua train PHOTOS --out RUN", lambda _: asked, script)
    assert changed == 1
    return script


def trained(photographs: Path, out: Path) -> None:
    """Trains as ``TRAIN`` says, in processes that were started another way."""
    verbs.train(photographs, network="resnet8", epochs=EPOCHS, settings=[SETTING], out=out)


@pytest.mark.slow
def test_the_documented_script_stops_goes_on_and_equals_one_machine(cluster: Cluster, coloured_folder: Path):
    """The signal before the time is up saves; the next job goes on, to the bits of four processes on one machine."""
    run = cluster.folder / "run"
    job = cluster.submit(documented(f"train {coloured_folder} {TRAIN} --out {run}"))
    until = time.monotonic() + SECONDS
    while not ((run / "steps.jsonl").is_file() and len(files.read_json_lines(run / "steps.jsonl")) >= 3):
        assert time.monotonic() < until, (cluster.folder / f"{job}.txt").read_text()
        time.sleep(0.05)
    cluster.asked("scancel", "--signal=TERM", job)
    code, said = cluster.ended(job)
    assert code == 143, said
    assert f"saved; go on with: residua train --resume {run}\n" in said
    assert said.count("resnet8 (74,770 parameters)") == 1
    stopped_after = len(files.read_json_lines(run / "steps.jsonl"))

    code, said = cluster.ended(cluster.submit(documented(f"train --resume {run}")))
    assert code == 0, said
    assert files.read_json(run / "run.json")["processes"] == 4

    beside = cluster.folder / "beside"
    ended = together(4, trained, coloured_folder, beside, folder=cluster.folder / "ended")
    assert ended.codes == [0] * 4, ended.said
    assert stopped_after < len(files.read_json_lines(run / "steps.jsonl"))
    assert (run / "steps.jsonl").read_bytes() == (beside / "steps.jsonl").read_bytes()
    assert (run / "model.safetensors").read_bytes() == (beside / "model.safetensors").read_bytes()


@pytest.mark.slow
def test_two_nodes_that_are_not_told_where_to_meet(cluster: Cluster, coloured_folder: Path):
    script = documented(f"train {coloured_folder} {TRAIN}").replace("export MASTER_ADDR=", "MEANT=")
    code, said = cluster.ended(cluster.submit(script))
    assert code == 2, said
    assert "error: srun started 4 processes on several machines, and MASTER_ADDR does not say where they meet" in said
