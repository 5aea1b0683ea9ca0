"""Several processes that train one network: torch's DistributedDataParallel, put on from outside.

Each of ``ranks`` processes sees every ``ranks``-th image of a batch; gradients are averaged over the batch's images, so
that all processes take the same step. Without batch norm and dropout that is the step of one process. With batch norm
each process normalises its own images: the step is that of one process that accumulates the shares as micro-batches.

Running statistics are those of rank 0, from its share of each batch; the others take them over before an evaluation.
Stochastic depth draws the same on every rank. Dropout does too, so that images of different ranks share masks.

Rank 0 alone writes files, draws progress, and carries the message and the exit code of what ends a run early. Of a
process that was lost rank 1 speaks too, for it may be rank 0.
"""

import contextlib
import copy
import gc
import os
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from statistics import median
from typing import Any, TypeVar, final

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.parallel import DistributedDataParallel

from residua import evaluation, machine
from residua.data.dataset import Part, Preprocessing
from residua.errors import BadSetting, ProcessLost, ResiduaError
from residua.evaluation import Outcome, Views
from residua.machine import Place, Precision
from residua.networks.blocks import StochasticDepth
from residua.networks.shortcuts import DropoutShortcut
from residua.training.interrupts import stop_on_signals

Result = TypeVar("Result")

_PATIENCE = timedelta(minutes=30)
"""How long a process waits for one that lives and does not answer, such as a lead that fetches a large set."""
_PORT = "29500"
_AVERAGED = 3
"""Times that the gradients' averaging is measured."""


@final
@dataclass(frozen=True, kw_only=True)
class Team:
    """The processes that train together; of one, every method answers at once.

    All ranks call the same methods in the same order.
    """

    rank: int = 0
    ranks: int = 1

    @property
    def leads(self) -> bool:
        """Says whether this process writes files and speaks to the user."""
        return self.rank == 0

    def agreed(self, error: ResiduaError) -> BaseException:
        """Returns what to raise for an error that every rank has met: rank 0 reports it, the others leave quietly."""
        return error if self.leads else SystemExit(0)

    def together(self, do: Callable[[], Result]) -> Result:
        """Returns what ``do`` gives here, once every rank has done it.

        Raises:
            ResiduaError: The first rank's that met one, on rank 0.
        """
        if self.ranks == 1:
            return do()
        done, error = _tried(do)
        for rank, met in enumerate(self.gathered(error)):
            if met is not None:
                raise self.agreed(met if rank == 0 else type(met)(f"process {rank}: {met}"))
        return done  # type: ignore[return-value]

    def lead(self, do: Callable[[], Result]) -> Result:
        """Does something on rank 0 alone and returns on every rank what it gave.

        Raises:
            ResiduaError: What it raised there.
        """
        if self.ranks == 1:
            return do()
        said: list[Any] = [_tried(do) if self.leads else None]
        dist.broadcast_object_list(said, src=0, device=torch.device("cpu"))
        done, error = said[0]
        if error is not None:
            raise self.agreed(error)
        return done

    def gathered(self, value: Result) -> list[Result]:
        """Returns every rank's value, rank 0's first."""
        if self.ranks == 1:
            return [value]
        values: list[Any] = [None] * self.ranks
        dist.all_gather_object(values, value)
        return values

    def sums(self, values: Sequence[float | int]) -> list[float | int]:
        """Returns the sum of each value over the ranks."""
        return self._reduced(values, dist.ReduceOp.SUM)

    def largest(self, values: Sequence[int]) -> list[int]:
        """Returns the largest of each value over the ranks."""
        return [int(value) for value in self._reduced(values, dist.ReduceOp.MAX)]

    def same(self, facts: dict[str, Any]) -> None:
        """Checks that every rank knows the same facts.

        Raises:
            BadSetting: If one differs, with its name.
        """
        [first, *others] = self.gathered(facts)
        for rank, theirs in enumerate(others, 1):
            for name in first | theirs:
                here, there = first.get(name), theirs.get(name)
                if here != there:
                    raise self.agreed(
                        BadSetting(
                            f"{name} differs: {_short(here)} in process 0, {_short(there)} in process {rank}; "
                            "every machine needs the same images, versions and kind of processor"
                        )
                    )

    def spread(
        self,
        network: nn.Module,
        forward: Callable[[Tensor], Tensor] | None = None,
        *,
        synchronised: bool = False,
    ) -> Callable[[Tensor], Tensor]:
        """Returns the forward pass whose backward pass averages gradients over the ranks.

        Every rank starts from the weights and buffers of rank 0. ``network`` keeps its layers. A part of it may rest:
        a block that is dropped, a stem that stops learning.

        Args:
            network: What learns.
            forward: Another way to compute it; None is its own.
            synchronised: Whether batch norm takes its statistics over all ranks.
        """
        if self.ranks == 1:
            return forward or network
        module = _with_synchronised_norm(network) if synchronised else network
        # Without `find_unused_parameters` DDP groups the gradients anew after its first step, and with the group the
        # order changes in which the ranks' shares are added: a resumed run of three would differ in the last bit.
        return DistributedDataParallel(_Forward(module, forward or module), find_unused_parameters=True)

    def evaluate(
        self,
        network: nn.Module,
        part: Part,
        preprocessing: Preprocessing,
        *,
        device: torch.device,
        precision: Precision = "float32",
        views: Views = "one",
    ) -> Outcome:
        """Asks the network about every image of a part once, each rank about its share, with rank 0's statistics.

        Returns:
            What `residua.evaluation.evaluate` would, on every rank.
        """
        settings = {"preprocessing": preprocessing, "device": device, "precision": precision, "views": views}
        ask = partial(evaluation.evaluate, network, **settings)
        if self.ranks == 1:
            return ask(part)
        for buffer in network.buffers():
            dist.broadcast(buffer, src=0)
        first, last = (len(part) * rank // self.ranks for rank in (self.rank, self.rank + 1))
        own = ask(part.only(torch.arange(first, last))).logits if first < last else None
        logits = [theirs for theirs in self.gathered(own) if theirs is not None]
        return Outcome(logits=torch.cat(logits), labels=part.labels.cpu())

    def seconds_to_average(self, numbers: int, device: torch.device) -> float:
        """Measures how long averaging so many gradients over the ranks takes; all ranks get the longest."""
        if self.ranks == 1:
            return 0.0
        times, gradients = [], torch.zeros(numbers, device=device)
        for _ in range(1 + _AVERAGED):
            began = time.perf_counter()
            dist.all_reduce(gradients)
            float(gradients[0])  # waits for a GPU
            times.append(time.perf_counter() - began)
        return max(self.gathered(median(times[1:])))

    def _reduced(self, values: Sequence[float | int], operation: Any) -> list[float | int]:
        if self.ranks == 1:
            return list(values)
        numbers = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(numbers, operation)
        return numbers.tolist()


ALONE = Team()


@contextlib.contextmanager
def joined(device: str = "auto") -> Iterator[Team]:
    """Yields the processes that torchrun or srun started together, once they have met; else this process alone.

    Gradients travel by NCCL between GPUs, one process to each, and by gloo between processors.

    Raises:
        BadSetting: If they cannot meet, or are more than this machine's GPUs.
        ProcessLost: If one of them ends while the others go on.
    """
    here = machine.place()
    if here.ranks == 1:
        yield ALONE
        return
    if here.starter == "torchrun":
        machine.end_with_parent()
    _meet(here, device)
    team = Team(rank=here.rank, ranks=here.ranks)
    try:
        lost = (
            "another process of the run ended; its own message, or its system's, says why; then give the same command "
            "again, or, where that has made its folder, `residua train --resume` with that"
        )
        with warnings.catch_warnings(), noticing_losses(team, lambda: lost):
            # The gradient of a one-pixel filter has other strides than DDP's buffer, which then copies a few bytes.
            warnings.filterwarnings("ignore", "Grad strides do not match", UserWarning)
            yield team
    finally:
        dist.destroy_process_group()
        # A DDP module refers to itself and to the group, whose threads abort a process that ends with them alive.
        gc.collect()


@contextlib.contextmanager
def noticing_losses(team: Team, says: Callable[[], str]) -> Iterator[None]:
    """Ends what cannot go on because a process ended: ranks 0 and 1 say so, the others leave quietly.

    A SIGTERM of the launcher's, which ends those that are left, does not cut this off.

    Raises:
        ProcessLost: On these ranks, with what ``says`` gives; rank 1 names itself.
    """
    try:
        yield
    except RuntimeError as error:
        # gloo raises plain RuntimeErrors, which begin with the path of its source file.
        if team.ranks == 1 or not (isinstance(error, dist.DistError) or "gloo" in str(error)):
            raise
        if team.rank > 1:
            raise SystemExit(ProcessLost.exit_code) from error
        with stop_on_signals():
            line = says()
        raise ProcessLost(line if team.leads else f"process {team.rank}: {line}") from error


def not_averaged(forward: Callable[[Tensor], Tensor]) -> contextlib.AbstractContextManager[None]:
    """Returns a context whose backward passes add up on this rank; the next one outside averages what they left.

    Args:
        forward: What `Team.spread` gave, compiled or not; of one process there is nothing to hold back.
    """
    return getattr(forward, "no_sync", contextlib.nullcontext)()


def depends_on_shares(network: nn.Module, *, synchronised: bool, uneven: bool) -> str:
    """Returns what makes a step depend on how its batch is shared among processes; empty where nothing does.

    Args:
        network: The network that trains.
        synchronised: Whether its batch norms use whole batches' statistics.
        uneven: Whether the processes' micro-batches differ in size, for each draws which blocks it drops.
    """
    kinds = {
        "batch norm": () if synchronised else (_BatchNorm,),
        "dropout": (_DropoutNd, DropoutShortcut),
        "stochastic depth in uneven micro-batches": (StochasticDepth,) if uneven else (),
    }
    return next((name for name, kind in kinds.items() if any(isinstance(m, kind) for m in network.modules())), "")


@final
class _Forward(nn.Module):
    """A module whose forward pass is a function over another one's parameters, and one more that takes no part.

    DDP is told to expect such a parameter, and remarks on a module that has none.
    """

    def __init__(self, network: nn.Module, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.network = network
        self._function = function
        self._unused = nn.Parameter(next(network.parameters()).new_zeros(()))

    def forward(self, images: Tensor) -> Tensor:
        return self._function(images)


def _with_synchronised_norm(network: nn.Module) -> nn.Module:
    """Returns a network in training mode whose batch norms are synchronised, over the same parameters and buffers."""
    tensors = [*network.parameters(), *network.buffers()]
    twin = copy.deepcopy(network, {id(tensor): tensor for tensor in tensors})
    return nn.SyncBatchNorm.convert_sync_batchnorm(twin).train()


def _tried(do: Callable[[], Result]) -> tuple[Result | None, ResiduaError | None]:
    try:
        return do(), None
    except ResiduaError as error:
        return None, error


def _meet(here: Place, device: str) -> None:
    """Meets the other processes, and takes this one's GPU."""
    _find_meeting_place(here)
    gpu = torch.cuda.is_available() and device != "cpu"
    if gpu and ":" in device:
        raise _said_once(here, f"--device {device} is one device for {here.ranks} processes; use --device cuda, or cpu")
    if gpu and here.starter == "torchrun" and here.local_ranks > torch.cuda.device_count():
        raise _said_once(
            here,
            f"{here.local_ranks} processes on a machine of {torch.cuda.device_count()} GPUs, and each needs its own; "
            f"use --processes {torch.cuda.device_count()}, or --device cpu",
        )
    if gpu:
        # Under ``--gpus-per-task=1`` each task of Slurm's sees its own GPU alone, as number 0.
        torch.cuda.set_device(here.local_rank % torch.cuda.device_count())
    try:
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if gpu else "gloo", rank=here.rank, world_size=here.ranks, timeout=_PATIENCE
        )
    except (dist.DistError, ValueError) as error:
        place = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
        raise BadSetting(
            f"process {here.rank} cannot meet the others at {place} ({str(error).splitlines()[0]}); "
            "MASTER_ADDR is a machine that all reach, MASTER_PORT is free there"
        ) from error


def _said_once(here: Place, message: str) -> BaseException:
    """Returns what to raise where all processes of a machine refuse the same before they have met."""
    return BadSetting(message) if here.local_rank == 0 else SystemExit(BadSetting.exit_code)


def _find_meeting_place(here: Place) -> None:
    """Completes what srun leaves open of the address where the processes meet."""
    alone = here.ranks == here.local_ranks
    if "MASTER_ADDR" not in os.environ and not alone:
        raise _said_once(
            here,
            f"{here.starter} started {here.ranks} processes on several machines, and MASTER_ADDR does not say where "
            'they meet; before srun: export MASTER_ADDR=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)',
        )
    os.environ.setdefault("MASTER_ADDR", "localhost")
    os.environ.setdefault("MASTER_PORT", _PORT)


def _short(value: object) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
