"""Whether the blocks of a stage refine one estimate (Greff et al. 2017, arXiv:1612.07771)."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, final

from torch import Tensor
from torch.nn import functional

from residua.diagnostics.case import Case, Examples, undisturbed
from residua.diagnostics.operations import Operation
from residua.diagnostics.stages import Place, places, stages
from residua.diagnostics.trace import trace

_FALL = 0.01
_AT_ONCE = 16
"""Examples in one pass: all outputs of a stage are kept at once."""


@final
@dataclass(frozen=True, kw_only=True)
class StageEstimates:
    """The outputs of a stage's blocks, compared with the last of them."""

    names: tuple[str, ...]
    cosines: tuple[float, ...]
    """Of each block's output to the stage's last, mean over the examples; the last is 1."""
    rises: bool
    """Whether they never fall by more than 0.01 from block to block."""


@final
@dataclass(frozen=True, kw_only=True)
class Estimation:
    """All stages: runs of places of one shape, two or more."""

    stages: tuple[StageEstimates, ...]


def iterative_estimation(case: Case, *, size: int = 64) -> Estimation:
    """Measures how far along each block of a stage already is: ⟨y_l, y_L⟩ / ‖y_l‖‖y_L‖ an example (Greff 2017, §4).

    y is the sum at an addition, before any activation behind it; in a network without additions the output of a
    weighted layer, before its norm. Evaluation mode, the first ``size`` examples. There is no stage where no two
    consecutive places are of one shape.

    Raises:
        BadNetwork: If the forward pass fails.
    """
    with undisturbed(case.module) as module:
        module.eval()
        found = places(trace(module, case.examples.take(slice(0, 2))))
        runs = [run for run in stages(found) if len(run) > 1]
        sums = [[0.0] * len(run) for run in runs]
        examples = case.examples.take(slice(0, size))
        for start in range(0, len(examples), _AT_ONCE):
            part = examples.take(slice(start, start + _AT_ONCE))
            for sums_of_run, cosines in zip(sums, _cosines(case, part, runs), strict=True):
                sums_of_run[:] = [one + other for one, other in zip(sums_of_run, cosines, strict=True)]
    return Estimation(
        stages=tuple(
            _estimates(run, [one / len(examples) for one in sums_of_run])
            for run, sums_of_run in zip(runs, sums, strict=True)
        )
    )


def _cosines(case: Case, examples: Examples, runs: list[tuple[Place, ...]]) -> list[list[float]]:
    """Returns each place's cosine to the last of its run, summed over the examples of one pass."""
    wanted = {place.index for run in runs for place in run}
    outputs: dict[int, Tensor] = {}

    def look(operation: Operation, _args: tuple[Any, ...], _kwargs: dict[str, Any], output: Tensor) -> None:
        if operation.index in wanted:
            # Copied: an activation in place may write over it.
            outputs[operation.index] = output.detach().clone()

    trace(case.module, examples, look=look)
    return [[_cosine(outputs[place.index], outputs[run[-1].index]) for place in run] for run in runs]


def _cosine(one: Tensor, last: Tensor) -> float:
    return float(functional.cosine_similarity(one.flatten(1).double(), last.flatten(1).double(), dim=1).sum())


def _estimates(run: tuple[Place, ...], cosines: list[float]) -> StageEstimates:
    return StageEstimates(
        names=tuple(one.name for one in run),
        cosines=tuple(cosines),
        rises=all(later >= earlier - _FALL for earlier, later in pairwise(cosines)),
    )
