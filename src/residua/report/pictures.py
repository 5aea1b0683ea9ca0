"""Pictures that a page shows: training images as the network saw them, and its most confident mistakes."""

import base64
import io
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

_LOSSLESS_UP_TO_PIXELS = 64
_MAP_OPACITY = 0.65
_JPEG_QUALITY = 88


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Mistake:
    """An image that the network took for another class, and where it looked."""

    file: str
    """Name of the image in its part."""
    label: str
    """Its true class."""
    predicted: str
    """The class that the network gave it."""
    probability: float
    """Of the predicted class, between 0 and 1."""
    image: UInt8[Tensor, "c h w"]
    """As the network saw it; one channel or three."""
    activation_map: Float[Tensor, "h w"]
    """Evidence for the predicted class by place (Zhou et al. 2016), scaled to 0–1 and to the image's size."""


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Pictures:
    """The pictures of a run."""

    samples: UInt8[Tensor, "n c h w"]
    """Training images as the network saw them, cropped and flipped; one channel or three."""
    sample_labels: tuple[str, ...]
    """Their classes, in the same order."""
    mistakes: tuple[Mistake, ...]
    """The most confident first."""


def embedded(image: UInt8[Tensor, "c h w"]) -> str:
    """Returns an image as a ``data:`` address that a page can hold.

    PNG up to 64 pixels a side; JPEG above, where it is a tenth of the size.
    """
    pixels = np.ascontiguousarray(image.permute(1, 2, 0).numpy())
    return _address(Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels))


def overlaid(image: UInt8[Tensor, "c h w"], activation_map: Float[Tensor, "h w"]) -> str:
    """Returns the image in grey under its activation map, dark where there is no evidence, as a ``data:`` address."""
    from matplotlib import colormaps

    grey = image.float().mean(0).numpy()[:, :, None] / 255
    heat = colormaps["inferno"](activation_map.clamp(0, 1).numpy())[:, :, :3]
    blended = (1 - _MAP_OPACITY) * grey + _MAP_OPACITY * heat
    return _address(Image.fromarray((blended * 255).round().astype(np.uint8)))


def _address(picture: Image.Image) -> str:
    file = io.BytesIO()
    lossless = max(picture.size) <= _LOSSLESS_UP_TO_PIXELS
    if lossless:
        picture.save(file, "PNG", optimize=True)
    else:
        picture.save(file, "JPEG", quality=_JPEG_QUALITY, subsampling=0)
    kind = "png" if lossless else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode('ascii')}"
