"""The page of one image's way through a network: self-contained, its maps as small exact pictures."""

import base64
import io
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
from jaxtyping import Float
from matplotlib import colormaps
from PIL import Image

from residua import __version__, files
from residua.diagnostics.feature_maps import PlaceMaps
from residua.errors import BadSetting
from residua.report.features import Features
from residua.report.page import environment
from residua.report.pictures import embedded, overlaid

UNSIGNED, SIGNED = "inferno", "RdBu_r"
"""Colour maps of matplotlib: from black for 0 to bright; from blue over white for 0 to red."""
ANSWERS = 5
_SMALL = 96
"""Images up to so many pixels a side are enlarged by whole pixels, not blurred."""


@final
@dataclass(frozen=True, kw_only=True)
class Panel:
    """One part of the network as the page shows it."""

    title: str
    shape: tuple[int, int, int]
    receptive_field: int
    dead: int
    low: float
    high: float
    """The values of the first and the last colour."""
    signed: bool
    pictures: tuple[tuple[int, str], ...]
    """Channels, from 0, each with its map as a ``data:`` address."""
    bar: str
    """All colours from low to high, as a ``data:`` address."""


def write_features(features: Features, path: Path, *, network: str, run: str) -> Path:
    """Writes the page and returns its path; it loads nothing and runs no script.

    Args:
        features: What `features_of` found.
        path: Where to.
        network: What the network is called.
        run: What its run is called.

    Raises:
        BadSetting: If the file cannot be written.
    """
    try:
        files.write(path, render(features, network=network, run=run))
    except OSError as error:
        raise BadSetting(f"cannot write {path} ({error.strerror or error}); choose another --out") from error
    return path


def render(features: Features, *, network: str, run: str) -> str:
    """Returns the page as HTML."""
    answer = features.prediction.top(ANSWERS)
    template = environment().get_template("features.html.j2")
    return template.render(
        features=features,
        network=network,
        run=run,
        panels=[_panel(*pair) for pair in zip(features.places, features.receptive_fields, strict=True)],
        answers=list(zip(answer.classes, answer.probabilities, strict=True)),
        image=embedded(features.image),
        overlay=overlaid(features.image, features.activation_map),
        small=max(features.image.shape[-2:]) <= _SMALL,
        colours={False: UNSIGNED, True: SIGNED},
        version=__version__,
    )


def _panel(place: PlaceMaps, receptive_field: int) -> Panel:
    """Gives all maps of a place one scale: from 0, or from −m, to m, the largest of them."""
    values = place.maps.numpy()
    high = float(np.abs(values).max(initial=0.0)) or 1.0
    low = -high if place.signed else 0.0
    addresses = (_address(_coloured(one, low, high)) for one in values)
    ramp = np.linspace(low, high, 256, dtype=np.float32)[None]
    return Panel(
        title=place.place.capitalize().replace("Stage", "Stage "),
        shape=place.shape,
        receptive_field=receptive_field,
        dead=place.dead,
        low=low,
        high=high,
        signed=place.signed,
        pictures=tuple(zip(place.channels, addresses, strict=True)),
        bar=_address(_coloured(ramp, low, high)),
    )


def _coloured(values: Float[np.ndarray, "h w"], low: float, high: float) -> Image.Image:
    """Returns one pixel a value, 256 colours from ``low`` to ``high``."""
    levels = np.nan_to_num((values - low) / (high - low)).clip(0, 1) * 255
    picture = Image.fromarray(levels.round().astype(np.uint8)).convert("P")
    colours = colormaps[SIGNED if low < 0 else UNSIGNED](np.arange(256), bytes=True)
    picture.putpalette(np.ascontiguousarray(colours[:, :3]).tobytes())
    return picture


def _address(picture: Image.Image) -> str:
    file = io.BytesIO()
    picture.save(file, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode('ascii')}"
