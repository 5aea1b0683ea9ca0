"""How much of the input each stage still holds."""

from dataclasses import dataclass
from typing import final

from residua.diagnostics.case import Case


@final
@dataclass(frozen=True, kw_only=True)
class KeptAt:
    """A read-out from one place."""

    name: str
    r2: float
    """Held-out R² of a ridge regression from the place to the input, reduced to 8 × 8 pixels; at most 1."""


@final
@dataclass(frozen=True, kw_only=True)
class Information:
    """Read-outs along the network, from the input on."""

    places: tuple[KeptAt, ...]
    examples: int


def information_kept(case: Case, *, examples: int = 768) -> Information:
    raise NotImplementedError
