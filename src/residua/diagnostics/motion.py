"""How far the blocks moved at one sampled step of a training: the data that a watch gives.

Notation: as in `residua.diagnostics.watch`: g the gradient, w the weights before the step, w′ after it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final


@final
@dataclass(frozen=True, kw_only=True)
class BlockMotion:
    """One block at one step; what is no finite number is None."""

    block: str
    """Path of its module (`residua.diagnostics.parts`)."""
    gradient: float | None
    """‖g‖; 0 where none arrived."""
    weights: float | None
    """‖w‖."""
    update: float | None
    """‖w′ − w‖, whatever the optimizer makes of the gradient: rate, momentum, decay."""

    @property
    def ratio(self) -> float | None:
        """Returns ‖w′ − w‖ / ‖w‖; None where there are no weights of two axes, or they are all 0."""
        return self.update / self.weights if self.weights and self.update is not None else None


@final
@dataclass(frozen=True, kw_only=True)
class Sample:
    """One sampled step."""

    step: int
    """Counts from 1: in a run its steps as ``steps.jsonl`` has them, elsewhere those that the optimizer took."""
    learning_rate: float | None
    """The largest of the optimizer's groups; None where they have none."""
    blocks: tuple[BlockMotion, ...]
    """Those that learn at this step, in the module's order."""

    def to_json(self) -> dict[str, Any]:
        """Returns the sample as plain values: by block [‖g‖, ‖w‖, ‖w′ − w‖]."""
        rows = {one.block: [one.gradient, one.weights, one.update] for one in self.blocks}
        return {"step": self.step, "learning_rate": self.learning_rate, "blocks": rows}

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> "Sample":
        """Reads what `to_json` gave."""
        blocks = tuple(
            BlockMotion(block=block, gradient=gradient, weights=weights, update=update)
            for block, (gradient, weights, update) in row["blocks"].items()
        )
        return cls(step=row["step"], learning_rate=row["learning_rate"], blocks=blocks)
