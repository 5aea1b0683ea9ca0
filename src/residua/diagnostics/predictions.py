"""What theory predicts of a network at initialisation, each with the conditions under which it holds."""

from dataclasses import dataclass
from typing import final


@final
@dataclass(frozen=True, kw_only=True)
class Prediction:
    """A number that theory gives for this network; where a condition fails there is none."""

    value: float
    quantity: str
    """What it is, in words: ``‖∂L/∂x₀‖ / ‖∂L/∂x_L‖``."""
    source: str
    """Paper and equation, or the page of the docs that derives it."""
    conditions: tuple[str, ...]
    """Those that were checked and hold."""
