"""Whether the gradient of every block is the sum of its shortcut's and its branch's (He et al. 2016, Eq. 5)."""

from dataclasses import dataclass
from typing import Literal, final

from residua.diagnostics.case import Case


@final
@dataclass(frozen=True, kw_only=True)
class AdditiveBlock:
    """One block's check; all norms are of vectors at the block's input x."""

    name: str
    kind: Literal["identity", "free", "projection"]
    total: float
    """‖∂⟨g, y⟩/∂x‖ of y = F(x) + s(x), g being the loss's gradient by y."""
    shortcut: float
    """‖J_sᵀ g‖, by a product with the branch detached."""
    branch: float
    """‖J_Fᵀ g‖, by a product with the shortcut detached."""
    error: float
    """‖total − shortcut − branch‖ / ‖total‖."""
    slope_error: float
    """How far ⟨J_Fᵀ g, v⟩ lies from the central difference of ⟨g, F(x + εv)⟩ relative to both, v random: what a wrong
    backward of a layer shows in."""


@final
@dataclass(frozen=True, kw_only=True)
class AdditiveCheck:
    """The check of all blocks."""

    blocks: tuple[AdditiveBlock, ...]
    precision: Literal["float64", "float32"]
    tolerance: float
    """On ``error``."""
    slope_tolerance: float

    @property
    def failed(self) -> tuple[AdditiveBlock, ...]:
        """Returns the blocks that fail either test."""
        return tuple(one for one in self.blocks if one.error > self.tolerance or one.slope_error > self.slope_tolerance)


def additive_check(case: Case, *, examples: int = 8) -> AdditiveCheck:
    raise NotImplementedError
