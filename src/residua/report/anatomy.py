"""What a drawing of a network shows, before anybody says where: columns of blocks, one block's inside, a legend.

A network is read from left to right: the stem, the stages, the head, each a column with its blocks from top to bottom.
"""

from dataclasses import dataclass
from typing import Literal, final

Line = Literal["identity", "changed"]
"""A shortcut that passes its input on unchanged, drawn solid, or into another shape, drawn dotted."""


@final
@dataclass(frozen=True, kw_only=True)
class Box:
    """One block, or a few layers of the stem or the head."""

    rows: tuple[str, ...]
    """Its convolutions: ``3×3, 64``, with ``/2`` where they shrink the maps."""
    shortcut: Line | None = None
    """None where nothing goes round it."""


@final
@dataclass(frozen=True)
class Fold:
    """Blocks of a long stage that are not drawn."""

    blocks: int


@final
@dataclass(frozen=True, kw_only=True)
class Column:
    """One part of the network."""

    title: str
    size: str
    """Channels × height × width of its output."""
    notes: tuple[str, ...]
    items: tuple[Box | Fold, ...]
    stage: int | None = None
    """From 0; None for the stem and the head."""


@final
@dataclass(frozen=True, kw_only=True)
class Inside:
    """The layers of one block, in the order that they are applied."""

    title: str
    entry: tuple[str, ...]
    """Before both paths."""
    residual: tuple[str, ...]
    line: Line | None
    """None in a plain network."""
    shortcut: tuple[str, ...]
    """Empty for the identity."""
    merge: str
    """The sign where both meet; empty in a plain network."""
    closing: tuple[str, ...]


@final
@dataclass(frozen=True, kw_only=True)
class Anatomy:
    """All that a drawing shows."""

    name: str
    style: str
    """What its blocks are made of, in a line."""
    totals: tuple[tuple[str, str], ...]
    """Numbers and what they count."""
    columns: tuple[Column, ...]
    inside: Inside
    legend: tuple[tuple[str, str], ...]
    """Signs (identity, changed, weighed, or text) and their meanings."""
    weighed: bool
    """Whether every shortcut carries a sign: it is scaled, gated or dropped."""
