"""The public verbs that show what a network is, and what it makes of an image."""

import os
from pathlib import Path
from typing import Any

from residua import artifact
from residua.errors import BadNetwork
from residua.networks.cost import Inspection
from residua.networks.foreign import ForeignInspection
from residua.networks.spec import NetworkSpec
from residua.report import diagram, features_page
from residua.report.features import Features, features_of
from residua.subject import Meant, Subject, subject, trained


def inspect(
    network: Meant,
    input: tuple[int, int, int] | None = None,
    *,
    classes: int | None = None,
) -> Inspection | ForeignInspection:
    """Tells what a network costs, stage by stage and layer by layer, and which named one it is nearest to.

    Args:
        network: Catalogue name, specification, ``path.py:factory``, which is run as code, a run, or any module: one
            of another library is run once on an image of zeros.
        input: Channels, height and width; None takes a run's images, else 224×224 for a network for photographs or of
            another library, else 32×32.
        classes: None keeps the specification's.
    """
    return _resized(network, input, classes).inspect(input)


def draw_network(
    network: Meant,
    out: str | os.PathLike[str] | None = None,
    *,
    input: tuple[int, int, int] | None = None,
    classes: int | None = None,
) -> Path:
    """Draws a network's stages, blocks and shortcuts as an SVG file and returns its path.

    Args:
        network: As `inspect` takes it.
        out: The file; None takes ``NETWORK.svg``.
        input: Channels, height and width, as `inspect` takes them.
        classes: None keeps the specification's.

    Raises:
        BadNetwork: If it is of another library, whose shortcuts nobody knows.
    """
    meant = _resized(network, input, classes)
    spec = meant.specification
    if spec is None or isinstance(found := meant.inspect(input), ForeignInspection):
        raise BadNetwork(f"{meant.name} has no specification to be drawn from; `residua inspect` shows its table")
    path = Path(out if out is not None else f"{meant.name}.svg")
    return diagram.write_diagram(path, spec, found, name=meant.name)


def feature_maps(run: str | os.PathLike[str], image: Any) -> Features:
    """Returns what every part of a run's network makes of one image, and its answer.

    Args:
        run: A finished run.
        image: A path, a Pillow image, or an array of 8-bit pixels (h × w or h × w × 3).

    Raises:
        BadData: If the image cannot be read.
        BadSetting: If a network's name is given, which has learned nothing.
    """
    return features_of(artifact.load(trained(run).model), image)


def draw_features(run: str | os.PathLike[str], image: Any, out: str | os.PathLike[str] | None = None) -> Path:
    """Draws the maps of `feature_maps` as a page and returns its path; None writes ``RUN/features-IMAGE.html``."""
    opened, found = trained(run), feature_maps(run, image)
    path = Path(out) if out is not None else opened.path / f"features-{Path(found.file).stem}.html"
    return features_page.write_features(found, path, network=opened.read("run")["network"], run=opened.path.name)


def _resized(network: Meant, input: tuple[int, int, int] | None, classes: int | None) -> Subject:
    meant = subject(network)
    channels = input[0] if input and isinstance(meant.network, NetworkSpec) else None
    return meant.resized(classes=classes, in_channels=channels)
