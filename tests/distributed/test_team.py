"""What the processes say to each other, and what each does when another one cannot go on."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.distributed.processes import together, variables
from tests.distributed.test_equality import NETWORKS, begun

from residua import machine
from residua.errors import BadData, BadSetting
from residua.networks.network import build
from residua.networks.spec import NetworkSpec, small_stem
from residua.training import loop
from residua.training.distributed import ALONE, Team, _with_synchronised_norm, joined
from residua.training.loop import take_steps
from residua.training.plan import plan
from residua.training.sitting import Sitting
from residua.training.spec import TrainSpec

REFUSED = "no such image; look again"


def said_by_all() -> dict[str, Any]:
    with joined() as team:
        return {
            "sums": team.sums([team.rank + 0.5, 2]),
            "largest": team.largest([team.rank, -team.rank]),
            "gathered": team.gathered(f"rank {team.rank}"),
            "together": team.together(lambda: team.rank),
            "lead": team.lead(lambda: f"from {team.rank}"),
        }


def test_what_srun_starts_meets_on_one_machine_without_an_address(tmp_path: Path):
    """Sums and maxima over ranks, everybody's values in order, one's own result, and rank 0's."""
    first, second, third = together(3, said_by_all, folder=tmp_path, starter="srun").gave
    shared = {"sums": [4.5, 6], "largest": [2, 0], "gathered": ["rank 0", "rank 1", "rank 2"], "lead": "from 0"}
    assert [first, second, third] == [shared | {"together": rank} for rank in range(3)]


def test_one_process_is_asked_nothing():
    assert ALONE.sums([1.5]) == [1.5]
    assert ALONE.largest([3]) == [3]
    assert ALONE.lead(lambda: "done") == ALONE.together(lambda: "done") == "done"
    network = torch.nn.Linear(1, 1)
    assert ALONE.spread(network) is network


def planning() -> None:
    def decide() -> None:
        if team.rank == 1:
            raise BadData(REFUSED)

    with joined() as team:
        team.together(decide)


def leading() -> None:
    def write() -> None:
        raise BadSetting(REFUSED)

    with joined() as team:
        team.lead(write)


def facts() -> None:
    with joined() as team:
        team.same({"the recipe": "default", "the test part": "sha256:" + "ab"[team.rank]})


def facts_of_one() -> None:
    with joined() as team:
        team.same({"the recipe": "default"} | ({"the test part": "sha256:a"} if team.leads else {}))


def refusing() -> None:
    with joined() as team:
        spec = TrainSpec(network="resnet8", epochs=1, settings=("synchronised_norm=true",), device="cpu")
        Sitting.begin(plan(spec), (), team)


def normalising_one_number() -> None:
    with joined() as team:
        shrinking = NetworkSpec(stem=small_stem(4), blocks=(1,) * 4, widths=(4,) * 4, in_channels=1, classes=10)
        Sitting.begin(plan(TrainSpec(network=shrinking, epochs=1, settings=("batch_size=3",))), (), team)


def losing() -> None:
    """Rank 1 alone meets a loss that is no number, at its third step."""
    ordinary, calls = loop._loss, iter(range(100))

    def loss(course: Any, logits: Any, labels: Any) -> Any:
        found, step = ordinary(course, logits, labels), next(calls)
        return found * float("nan") if team.rank == 1 and step == 2 else found

    loop._loss = loss
    with joined() as team:
        for _ in take_steps(*begun("batch norm", team)):
            pass


@pytest.mark.parametrize(
    ("case", "says"),
    [
        (planning, f"process 1: {REFUSED}\n"),
        (leading, f"{REFUSED}\n"),
        (facts, "the test part differs: sha256:a in process 0, sha256:b in process 1; every machine needs "),
        (facts_of_one, "the test part differs: sha256:a in process 0, none in process 1; every machine needs "),
        (refusing, "synchronised_norm"),
        (normalising_one_number, "--processes 2 leaves 1 image of 3 at once"),
        (losing, "the loss is nan at step 3 (first bad value: the loss itself); usual remedies: "),
    ],
)
def test_what_stops_one_is_said_once_and_ends_all(tmp_path: Path, case: Callable[[], None], says: str):
    """Whoever meets it: rank 0 says it and ends with 2, and the others leave quietly."""
    ended = together(2, case, folder=tmp_path)
    assert ended.codes == [2, 0]
    assert ended.said[0].startswith(says)
    assert ended.said[1] == ""


def dying() -> None:
    """Rank 0 is killed before there is a run."""
    with joined() as team:
        team.together(lambda: os.kill(os.getpid(), signal.SIGKILL) if team.leads else None)


@pytest.mark.parametrize("starter", ["torchrun", "srun"])
def test_whoever_is_left_says_that_rank_0_was_lost(tmp_path: Path, starter: str):
    ended = together(2, dying, folder=tmp_path, starter=starter)
    assert ended.codes == [-signal.SIGKILL, 1]
    assert ended.said[1].startswith("process 1: another process of the run ended; its own message, or its system's, ")
    assert ended.said[1].count("\n") == 1


def test_a_synchronised_norm_is_the_same_network_seen_otherwise():
    """Over the same parameters and statistics, and training; the network that is evaluated and saved stays plain."""
    network = build(NETWORKS["batch norm"], seed=0).eval()
    twin = _with_synchronised_norm(network)
    ours, theirs = ({**dict(n.named_parameters()), **dict(n.named_buffers())} for n in (network, twin))
    assert all(theirs[name] is tensor for name, tensor in ours.items())
    assert any(isinstance(layer, torch.nn.SyncBatchNorm) and layer.training for layer in twin.modules())
    assert not any(isinstance(layer, torch.nn.SyncBatchNorm) or layer.training for layer in network.modules())


def test_a_synchronised_norm_is_refused_where_torch_has_none():
    with pytest.raises(BadSetting, match=r"on GPUs only; leave it out, or .*--set network\.norm=group"):
        Sitting.begin(plan(TrainSpec(network="resnet8", device="cpu", settings=("synchronised_norm=true",))), [])


def test_a_batch_smaller_than_the_team_is_refused():
    decided = plan(TrainSpec(network="resnet8", epochs=1, settings=("batch_size=2",)))
    with pytest.raises(BadSetting, match="a batch of 2 images is too small for 3 processes; use fewer"):
        Sitting.begin(decided, [], Team(rank=0, ranks=3))


def test_srun_on_several_machines_needs_an_address(monkeypatch: pytest.MonkeyPatch):
    for name, value in variables("srun", 0, 4, "1").items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SLURM_STEP_TASKS_PER_NODE", "2(x2)")
    with (
        pytest.raises(BadSetting, match="srun started 4 processes on several machines, and MASTER_ADDR .* export"),
        joined(),
    ):
        pass


@pytest.mark.parametrize(
    ("environment", "threads"),
    [
        ({}, 8),
        (variables("torchrun", 1, 2, "1"), 4),
        (variables("torchrun", 1, 16, "1"), 1),
        (variables("srun", 1, 4, "1"), 2),
        (variables("srun", 1, 4, "1") | {"SLURM_CPUS_PER_TASK": "3"}, 3),
        ({"SLURM_NTASKS": "4", "SLURM_PROCID": "0"}, 8),
    ],
)
def test_processes_divide_the_cores(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], threads: int):
    """Eight cores. A batch script that runs without srun, the last case, is one process whatever it may start."""
    monkeypatch.setattr(machine, "cores", lambda: 8)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert machine.threads() == threads
