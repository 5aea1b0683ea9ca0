"""What a NETWORK argument means: a name, a specification, a module, a file that makes one of these, or a run."""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

from torch import nn

from residua import configuration
from residua.errors import BadSetting, unknown
from residua.networks import catalogue, cost, factory, foreign
from residua.networks.cost import Inspection, Shape
from residua.networks.foreign import ForeignInspection
from residua.networks.nearest import nearest
from residua.networks.network import ResidualNetwork
from residua.networks.spec import NetworkSpec
from residua.training import record
from residua.training.record import Record

Meant = str | os.PathLike[str] | NetworkSpec | nn.Module
"""What stands for a network: a name, ``path.py:factory``, a run, or a network itself."""


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Subject:
    """A network that was asked about."""

    name: str
    """What it is called in a title or a file's name."""
    network: NetworkSpec | nn.Module
    image: Shape | None = None
    """Of the images that it was trained on, where it is a run's."""
    has_name: bool = False
    """Whether it is one of the catalogue."""

    @property
    def specification(self) -> NetworkSpec | None:
        """Returns the network as data; None of a module that is not the library's."""
        if isinstance(self.network, NetworkSpec):
            return self.network
        return self.network.spec if isinstance(self.network, ResidualNetwork) else None

    def resized(self, *, classes: int | None, in_channels: int | None) -> "Subject":
        """Returns the subject with other classes or image channels; None keeps what it has.

        Raises:
            BadSetting: If its layers exist already.
        """
        changes = {"classes": classes, "in_channels": in_channels}
        changes = {field: number for field, number in changes.items() if number is not None}
        if isinstance(self.network, NetworkSpec):
            return replace(self, network=replace(self.network, **changes))
        if changes:
            raise BadSetting(
                f"{self.name} is built already, and its {' and '.join(changes)} cannot change; leave them out, "
                "or have the factory return a NetworkSpec"
            )
        return self

    def inspect(self, image: Shape | None = None) -> Inspection | ForeignInspection:
        """Tells what the network costs for images of ``image``, else of the run's, else of those usual for it.

        Raises:
            BadNetwork: If the network cannot take them.
        """
        known = self.network
        if not isinstance(known, NetworkSpec | ResidualNetwork):
            return foreign.trace(known, image)
        spec = known if isinstance(known, NetworkSpec) else known.spec
        side = 224 if spec.for_photographs else 32
        found = cost.inspect(known, image or self.image or (spec.in_channels, side, side))
        return found if self.has_name else replace(found, nearest=nearest(spec))


def subject(meant: Meant) -> Subject:
    """Returns the network that is meant.

    Args:
        meant: A catalogue name; ``path.py:factory``, which is run as code; a run, by its folder, its name under
            ``runs/``, or ``last``; or a network.

    Raises:
        BadSetting: If there is no network of the name, with the nearest, or the factory makes none.
        BadRun: If there is no such run, or its files are damaged.
    """
    if isinstance(meant, NetworkSpec):
        return Subject(name="network", network=meant)
    if isinstance(meant, nn.Module):
        return Subject(name=type(meant).__name__, network=meant)
    text = os.fspath(meant)
    if factory.is_factory(text):
        return Subject(name=text.rpartition(":")[2], network=factory.from_file(text))
    if text in catalogue.names():
        return Subject(name=text, network=catalogue.specification(text), has_name=True)
    if _may_be_run(text):
        return _of_run(text)
    raise BadSetting(unknown("network", text, catalogue.names()))


def trained(run: str | os.PathLike[str]) -> Record:
    """Returns the finished run that is meant.

    Raises:
        BadSetting: If a network is meant, which has learned nothing.
        BadRun: If there is no such run, or it has not finished.
    """
    text = os.fspath(run)
    if text in catalogue.names() or factory.is_factory(text):
        raise BadSetting(
            f"{text} is a network without trained weights; give a run: its folder, its name under "
            f"{record.DEFAULT_ROOT}/, or last; `residua train --network {text}` makes one"
        )
    return record.find(text).require_finished()


def _may_be_run(text: str) -> bool:
    in_runs = (record.DEFAULT_ROOT / text / "run.json").is_file()
    return text == "last" or in_runs or Path(text).is_dir() or len(Path(text).parts) > 1


def _of_run(text: str) -> Subject:
    """Returns the network of a run, finished or not, and the shape of its images."""
    found = record.find(text)
    spec = configuration.from_json(NetworkSpec, found.read("specification"))
    channels, height, width = found.read("network")["image"]
    return Subject(name=found.path.resolve().name, network=spec, image=(channels, height, width))
