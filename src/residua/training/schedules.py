"""How the learning rate moves: pure functions of the step, so that a resumed run needs no state.

Each gives a factor of the recipe's learning rate for ``step`` of ``steps``, step 0 being the first.
"""

import math
from dataclasses import dataclass
from typing import Literal

from residua.configuration import check, check_choices


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Says how the learning rate moves over a run."""

    kind: Literal["constant", "step", "cosine", "one_cycle"] = "one_cycle"
    """``step`` multiplies by ``factor`` at each milestone; ``one_cycle`` rises and falls linearly."""
    warmup_fraction: float = 0.2
    """Share of all steps over which the rate rises linearly from nearly 0; every kind honours it."""
    final_fraction: float = 0.0
    """Where ``cosine`` and ``one_cycle`` end, as a share of the learning rate."""
    milestones: tuple[float, ...] = (0.5, 0.75)
    """Shares of all steps at which ``step`` multiplies the rate."""
    factor: float = 0.1
    """What ``step`` multiplies by."""

    def __post_init__(self) -> None:
        check_choices(self)
        check(
            0 <= self.warmup_fraction < 1,
            "schedule.warmup_fraction",
            self.warmup_fraction,
            "0 up to but not 1",
        )
        check(0 <= self.final_fraction <= 1, "schedule.final_fraction", self.final_fraction, "0 to 1")
        check(0 < self.factor < math.inf, "schedule.factor", self.factor, "above 0")
        check(
            all(0 < m < 1 for m in self.milestones),
            "schedule.milestones",
            self.milestones,
            "shares between 0 and 1",
        )

    def at(self, step: int, steps: int) -> float:
        """Returns the factor of the learning rate at ``step`` (from 0) of ``steps``; 1 for the only step of a run."""
        if steps == 1:
            return 1.0
        warmup = self.warmup_fraction * steps
        if step + 1 < warmup:
            return (step + 1) / warmup
        progress = (step + 1 - warmup) / max(1.0, steps - warmup)
        return self._after_warmup(min(1.0, progress), (step + 0.5) / steps)

    def _after_warmup(self, progress: float, position: float) -> float:
        """``progress`` runs from 0 at the end of the warm-up to 1 after the last step; ``position`` over all steps."""
        if self.kind == "constant":
            return 1.0
        if self.kind == "step":
            return self.factor ** sum(position > milestone for milestone in self.milestones)
        fallen = (1 - math.cos(math.pi * progress)) / 2 if self.kind == "cosine" else progress
        return 1 - (1 - self.final_fraction) * fallen
