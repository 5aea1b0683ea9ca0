"""A network's surface beside that of its plain twin, and what may be said of the two.

Batch norm decides what such a picture shows: with frozen statistics a point far from the centre is a network whose
norms fit it no longer. So the same numbers are taken under a second policy, and a ranking that changes is said first.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from math import isnan
from typing import Literal, final

from residua.diagnostics.landscape.surface import Numbers, Policy, Surface
from residua.diagnostics.measured import Measured

Twin = Literal["residual", "plain"]

STATISTICS: dict[Policy, str] = {
    "frozen": "running statistics frozen",
    "batch": "statistics of each batch",
    "recalibrated": "statistics recalibrated at every point",
}
"""What the norms use under each policy, for a sentence."""


@final
@dataclass(frozen=True)
class Quantity:
    """One of the numbers of a surface, by which two can be ranked."""

    name: str
    of: Callable[[Numbers], float | None]
    larger_is_rougher: bool


QUANTITIES = (
    Quantity("median loss", lambda one: one.median, True),
    Quantity("cells near the centre’s loss", lambda one: one.near, False),
    Quantity("non-convex cells", lambda one: one.non_convex, True),
    Quantity("roughness", lambda one: None if isnan(one.roughness) else one.roughness, True),
)


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Row:
    """The numbers of one of the twins under one policy, over several draws of the directions."""

    twin: Twin
    policy: Policy
    seeds: tuple[int, ...]
    """Of the directions, in the order of ``numbers``; both twins have the same."""
    numbers: tuple[Numbers, ...]
    shape: tuple[int, int]
    """Rows and columns of each grid; a second policy's is the coarser one."""
    images: int

    def measured(self, quantity: Quantity) -> Measured | None:
        """Returns a quantity over the directions; None where one of them has no such number."""
        values = [quantity.of(one) for one in self.numbers]
        known = tuple(value for value in values if value is not None)
        return Measured(known) if known and len(known) == len(values) else None


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Comparison:
    """Two surfaces of one scale, and their numbers over directions and policies."""

    residual: Surface
    plain: Surface
    rows: tuple[Row, ...]
    """Under each policy one row a twin; the policy of the two surfaces first."""
    remarks: tuple[str, ...] = ()

    @property
    def policies(self) -> tuple[Policy, ...]:
        """Returns the policies of the rows, each once, in their order."""
        return tuple(dict.fromkeys(row.policy for row in self.rows))

    def row(self, twin: Twin, policy: Policy) -> Row:
        """Returns the row of one twin under one policy.

        Raises:
            KeyError: If there is none.
        """
        found = next((row for row in self.rows if (row.twin, row.policy) == (twin, policy)), None)
        if found is None:
            raise KeyError((twin, policy))
        return found


def rougher(comparison: Comparison, policy: Policy, quantity: Quantity) -> Twin | None:
    """Returns the twin that a quantity calls the rougher under a policy; None where the directions disagree.

    Directions are paired: a seed's number of one twin meets the same seed's of the other.
    """
    residual, plain = (comparison.row(twin, policy).measured(quantity) for twin in ("residual", "plain"))
    if residual is None or plain is None:
        return None
    sign = 1 if quantity.larger_is_rougher else -1
    pairs = [(sign * a, sign * b) for a, b in zip(residual.values, plain.values, strict=True)]
    if all(b > a for a, b in pairs):
        return "plain"
    return "residual" if all(a > b for a, b in pairs) else None


def ranking(comparison: Comparison, policy: Policy) -> dict[str, Twin | None]:
    """Returns, for each quantity that both twins have under a policy, which of them is the rougher by it."""
    rows = [comparison.row(twin, policy) for twin in ("residual", "plain")]
    known = [quantity for quantity in QUANTITIES if all(row.measured(quantity) is not None for row in rows)]
    return {quantity.name: rougher(comparison, policy, quantity) for quantity in known}


def changed(comparison: Comparison) -> tuple[str, ...]:
    """Returns the names of the quantities whose ranking under a later policy is another than under the first."""
    first, *others = (ranking(comparison, policy) for policy in comparison.policies)
    return tuple(name for name in first if any(name in other and other[name] != first[name] for other in others))


def headline(comparison: Comparison) -> tuple[str, ...]:
    """Returns what may be said of the twins, a sentence each; a ranking that changes with the policy comes first."""
    policies = comparison.policies
    said = [_of_policy(comparison, policy) for policy in policies]
    if moved := changed(comparison):
        ways = " and with ".join(STATISTICS[policy] for policy in policies)
        depends = "Which surface is the rougher depends on how the norms are treated"
        said.insert(0, f"{depends}: by {_joined(moved)} the ranking is not the same with {ways}.")
    return (*said, _of_centres(comparison))


def _of_policy(comparison: Comparison, policy: Policy) -> str:
    """Says by which quantities each of the twins is the rougher under a policy, and the two median losses."""
    found, seeds = ranking(comparison, policy), len(comparison.row("residual", policy).seeds)
    said = [
        f"the {twin} network’s surface is the rougher by {_joined(names, found)}"
        for twin in ("plain", "residual")
        if (names := tuple(name for name, rank in found.items() if rank == twin))
    ]
    if undecided := tuple(name for name, rank in found.items() if rank is None):
        said.append(f"neither is the rougher by {_joined(undecided, found)}{' in every draw' if seeds > 1 else ''}")
    losses = [comparison.row(twin, policy).measured(QUANTITIES[0]) for twin in ("residual", "plain")]
    medians = " against ".join(f"{one.median:.3g}" for one in losses if one is not None)
    draws = f"over {seeds} draws of the directions" if seeds > 1 else "along one draw of the directions"
    return f"With {STATISTICS[policy]}, {draws}: {'; '.join(said)} (median loss {medians}, residual against plain)."


def _of_centres(comparison: Comparison) -> str:
    """Says how well both were trained: a surface around a network that has not learned is no twin of one that has."""
    residual, plain = (one.cells[0].centre for one in (comparison.residual, comparison.plain))
    said = f"At the centre the loss is {residual.loss:.3g} (residual) and {plain.loss:.3g} (plain)"
    nowhere = tuple(name for name, one in (("residual", residual), ("plain", plain)) if not one.is_minimum)
    if len(nowhere) == 2:
        return f"{said}; neither is at a minimum."
    return f"{said}; the {nowhere[0]} one is at no minimum." if nowhere else f"{said}."


def _joined(names: Sequence[str], of: Collection[str] = ()) -> str:
    """Names quantities: ``median loss and roughness``, or ``all 4 numbers`` where ``of`` has no others."""
    if len(names) > 1 and len(names) == len(of):
        return f"all {len(names)} numbers"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
