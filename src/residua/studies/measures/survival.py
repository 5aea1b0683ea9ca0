"""How many blocks stochastic depth really runs in a step, and the time that this saves.

Notation: L blocks, of which block l is kept with probability p_l = 1 − l/L · (1 − p_L) (Huang et al. 2016, Eq. 4).
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import nn

from residua.diagnostics.case import Case, reseed, undisturbed
from residua.errors import BadNetwork
from residua.networks.blocks import ResidualBlock
from residua.networks.network import ResidualNetwork, build
from residua.studies.trial import Measure, Measurement, Trial

_PASSES = 60
_PAIRS = 12
"""Of steps that are timed, one with the blocks dropped, one with all."""
_IMAGES = 64


def survival(trial: Trial) -> Measurement:
    """Measures a network of the library's in training mode.

    Numbers: ``kept_share``, the blocks whose residual function ran over all blocks, mean of 60 passes;
    ``predicted_kept_share``, 1 − (1 − p_L)(L + 1)/(2L), which at p_L = ½ is (3L − 1)/(4L); ``time_saved``, 1 − the time
    of a step (forward, backward, update of 64 images) over that of the same network with p_L = 1, medians of 12 steps
    each, taken in turn; ``predicted_time_saved``, 1 − ``predicted_kept_share``, as if the blocks took all the time.

    Raises:
        BadNetwork: If the network is none of the library's.
    """
    case = trial.case(_IMAGES)
    network = case.module
    if not isinstance(network, ResidualNetwork):
        raise BadNetwork(
            f"{trial.arm}: a {type(network).__name__} has no survival probabilities to go by; "
            "give the arm a name of the catalogue or a specification"
        )
    kept = predicted_kept_share(sum(network.spec.blocks), network.spec.last_survival)
    whole = build(replace(network.spec, last_survival=1.0), seed=trial.seed).to(case.device)
    return Measurement(
        numbers={
            "kept_share": kept_share(case, seed=trial.seed),
            "predicted_kept_share": kept,
            "time_saved": _time_saved(case, whole, seed=trial.seed),
            "predicted_time_saved": 1 - kept,
        }
    )


SURVIVAL = Measure("survival", survival, version=2)


def predicted_kept_share(blocks: int, last: float) -> float:
    """Returns Σ p_l / L."""
    return 1 - (1 - last) * (blocks + 1) / (2 * blocks)


def kept_share(case: Case, *, seed: int, passes: int = _PASSES) -> float:
    """Counts the blocks whose residual function runs; two images a pass are enough to see it."""
    ran: list[None] = []
    few = case.examples.take(slice(0, 2))
    with undisturbed(case.module) as network, torch.no_grad():
        branches = [one.residual for one in network.train().modules() if isinstance(one, ResidualBlock)]
        hooks = [next(one.children()).register_forward_hook(lambda *_: ran.append(None)) for one in branches]
        reseed(case.device, seed)
        try:
            for _ in range(passes):
                network(*few.args)
        finally:
            for hook in hooks:
                hook.remove()
    return len(ran) / (passes * len(branches))


def _time_saved(case: Case, whole: nn.Module, *, seed: int) -> float:
    """Returns 1 − the ratio of the medians; steps are taken in turn, so that both networks meet the same machine."""
    with undisturbed(case.module) as network, torch.enable_grad():
        steps = _step(case, network), _step(case, whole)
        reseed(case.device, seed)
        times: tuple[list[float], list[float]] = ([], [])
        for _ in range(_PAIRS + 1):
            for step, taken in zip(steps, times, strict=True):
                taken.append(_seconds(step, case.device))
    dropped, all_kept = (statistics.median(one[1:]) for one in times)
    return 1 - dropped / all_kept


def _step(case: Case, network: nn.Module) -> Callable[[], None]:
    """Returns a training step whose rate is 0, so that no parameter moves."""
    network.train()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.0, momentum=0.9)

    def step() -> None:
        optimizer.zero_grad()
        case.loss(network(*case.examples.args), case.examples.labels).backward()
        optimizer.step()

    return step


def _seconds(step: Callable[[], None], device: torch.device) -> float:
    began = time.perf_counter()
    step()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - began
