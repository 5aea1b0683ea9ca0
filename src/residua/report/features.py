"""What a trained network makes of one image, from the image as it sees it to its answer."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from residua.artifact import Artifact
from residua.data.fitting import read_image
from residua.diagnostics.feature_maps import PlaceMaps, feature_maps
from residua.inference.predictor import Prediction
from residua.networks import cost
from residua.report.gather import evidence


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Features:
    """An image, the feature maps that it causes, and the answer."""

    file: str
    """Name of the image's file; ``image`` for one that came without."""
    image: UInt8[Tensor, "c h w"]
    """As the network sees it, before it is normalised."""
    places: tuple[PlaceMaps, ...]
    """The maps of the stem, the stages and the tail."""
    receptive_fields: tuple[int, ...]
    """Of the places, in pixels a side."""
    prediction: Prediction
    """Of all classes, the most probable first."""
    activation_map: Float[Tensor, "h w"]
    """Evidence for the most probable class by place (Zhou et al. 2016), scaled to 0–1 and to the image's size."""


def features_of(artifact: Artifact, image: Any) -> Features:
    """Shows the network an image and returns what every part of it makes of it.

    Args:
        artifact: A trained network.
        image: A path, a Pillow image, or an array of 8-bit pixels (h × w, or h × w × 3).

    Raises:
        BadData: If the image cannot be read.
    """
    pixels = read_image(image, artifact.preprocessing)
    network, batch = artifact.network(), artifact.preprocessing.normalise(pixels[None])
    with torch.no_grad():
        probabilities = network(batch).float().softmax(1)[0]
    ordered, order = probabilities.sort(descending=True, stable=True)
    inspection = cost.inspect(artifact.specification, (pixels.shape[0], pixels.shape[1], pixels.shape[2]))
    seen = {row.name.replace(" ", ""): row.receptive_field for row in inspection.stages}
    places = feature_maps(network, batch)
    path = os.fspath(image) if isinstance(image, str | os.PathLike) else None
    return Features(
        file="image" if path is None else Path(path).name,
        image=pixels,
        places=places,
        receptive_fields=tuple(seen[place.place] for place in places),
        prediction=Prediction(
            file=path,
            classes=tuple(artifact.classes[index] for index in order.tolist()),
            probabilities=tuple(ordered.tolist()),
        ),
        activation_map=evidence(network, batch, order[:1])[0],
    )
