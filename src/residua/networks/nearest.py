"""Which named network a specification is nearest to, and in what it differs from it."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple, final

from residua import configuration
from residua.networks import catalogue
from residua.networks.spec import NetworkSpec

FREE = ("classes", "in_channels")
"""Fields that follow the images: they are told, and make no other network."""


class Difference(NamedTuple):
    """A field in which two networks differ."""

    field: str
    """Its dotted name, as ``--set network.…`` takes it."""
    theirs: Any
    """The named network's value; None also where it has no such field."""
    ours: Any


@final
@dataclass(frozen=True)
class Nearest:
    """A named network and all that another one does differently."""

    name: str
    differences: tuple[Difference, ...]
    """In the order of the specification's fields; empty where there is none."""

    def to_json(self) -> dict[str, Any]:
        """Returns the name and the differences as JSON holds them."""
        return {"name": self.name, "differences": [difference._asdict() for difference in self.differences]}


def nearest(spec: NetworkSpec) -> Nearest:
    """Returns the named network that differs in the fewest fields; of several, the one of the nearest depth.

    Every field of the stem counts for itself. Classes and image channels count only among networks that are
    otherwise equally near, so that a named network is itself; the first in the catalogue is taken after that.

    Example:
        >>> from residua.networks.catalogue import specification
        >>> nearest(dataclasses.replace(specification("resnet20"), shortcut="scaled"))
        Nearest(name='resnet20', differences=(Difference(field='shortcut', theirs='padded', ours='scaled'),))
    """
    ours = _flat(configuration.to_json(spec))
    found = {name: _differences(theirs, ours) for name, theirs in _known().items()}

    def distance(name: str) -> tuple[int, int, int]:
        counted = sum(one.field not in FREE for one in found[name])
        return counted, abs(catalogue.specification(name).depth - spec.depth), len(found[name])

    name = min(found, key=distance)
    return Nearest(name, found[name])


@cache
def _known() -> dict[str, dict[str, Any]]:
    return {name: _flat(configuration.to_json(catalogue.specification(name))) for name in catalogue.names()}


def _differences(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> tuple[Difference, ...]:
    fields = dict.fromkeys((*ours, *theirs))
    pairs = (Difference(field, theirs.get(field), ours.get(field)) for field in fields)
    return tuple(pair for pair in pairs if pair.theirs != pair.ours)


def _flat(values: Mapping[str, Any], where: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= _flat(value, f"{where}{name}.") if isinstance(value, Mapping) else {f"{where}{name}": value}
    return flat
