"""Images of any shape made to fit the network: cropped, padded or squashed."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from residua.data import imagefile
from residua.data.dataset import Preprocessing
from residua.data.spec import Fit
from residua.errors import BadData

Pixels = UInt8[np.ndarray, "h w c"]


def fitted(image: Image.Image, size: tuple[int, int], *, fit: Fit, channels: int) -> Pixels:
    """Returns the image at height and width ``size`` with 1 or 3 channels.

    ``crop`` takes the largest rectangle of the right proportions around the middle, ``pad`` shows the
    whole image in the middle of black, ``squash`` changes its proportions. Scaling is bilinear over
    the area that each new pixel covers. Grey repeats for 3 channels; colour becomes luminance
    (ITU-R 601) for 1.

    Args:
        image: Grey (``L``) or colour (``RGB``), as `imagefile.read` gives it.
        size: Height and width in pixels.
        fit: How the shape is changed.
        channels: 1 or 3.
    """
    height, width = size
    image = image.convert("L" if channels == 1 else "RGB")
    if image.size != (width, height):
        image = _padded(image, size) if fit == "pad" else _scaled(image, size, crop=fit == "crop")
    return np.array(image).reshape(height, width, channels)


def resized_and_cut(image: Image.Image, size: tuple[int, int], *, side: int, channels: int) -> Pixels:
    """Returns the middle of the image at height and width ``size`` after its shorter side became ``side`` pixels.

    What networks that others publish were tested on: the longer side is rounded down, the middle to the nearest
    pixel, as torchvision does both.
    """
    image = image.convert("L" if channels == 1 else "RGB")
    short = min(image.size)
    width, height = (side if length == short else int(side * length / short) for length in image.size)
    image = image.resize((width, height), Image.Resampling.BILINEAR)
    left, top = round((width - size[1]) / 2), round((height - size[0]) / 2)
    return np.array(image.crop((left, top, left + size[1], top + size[0]))).reshape(*size, channels)


def read_image(
    source: str | Path | bytes | Image.Image | np.ndarray | Tensor, preprocessing: Preprocessing
) -> UInt8[Tensor, "c h w"]:
    """Returns one image as the network's data had it before normalisation.

    Args:
        source: A file, its content, a Pillow image, an array h × w or h × w × channels, or a tensor
            channels × h × w; arrays and tensors hold 8- or 16-bit whole numbers.
        preprocessing: Size, fit and channels.

    Raises:
        BadData: If the image cannot be read or its pixels are refused.
    """
    size, channels, side = preprocessing.image_size, preprocessing.channels, preprocessing.resize_side
    image = _image(source, size if side is None else (side, side))
    if side is not None:
        pixels = resized_and_cut(image, size, side=side, channels=channels)
    else:
        pixels = fitted(image, size, fit=preprocessing.fit, channels=channels)
    return torch.from_numpy(pixels).permute(2, 0, 1)


def _image(source: Any, size: tuple[int, int]) -> Image.Image:
    if isinstance(source, (str, Path)):
        return imagefile.read(Path(source), for_size=size)
    if isinstance(source, (bytes, Image.Image)):
        return imagefile.read(source, for_size=size)
    if isinstance(source, Tensor):
        source = source.detach().cpu().numpy()
        source = np.moveaxis(source, 0, -1) if source.ndim == 3 else source
    return _from_array(np.asarray(source))


def _from_array(values: np.ndarray) -> Image.Image:
    if values.ndim == 3 and values.shape[2] == 1:
        values = values[:, :, 0]
    if values.dtype == np.uint16:
        values = imagefile.eight_bit(values)
    if values.dtype != np.uint8:
        raise BadData(f"the array has pixels of {values.dtype}; give uint8 from 0 to 255, or uint16")
    if values.size == 0 or values.ndim not in (2, 3) or (values.ndim == 3 and values.shape[2] not in (3, 4)):
        raise BadData(f"the array has shape {values.shape}; give height × width, or height × width × 1, 3 or 4")
    return imagefile.plain(Image.fromarray(np.ascontiguousarray(values)))


def _scaled(image: Image.Image, size: tuple[int, int], *, crop: bool) -> Image.Image:
    height, width = size
    box = (0.0, 0.0, float(image.width), float(image.height))
    if crop:
        scale = min(image.width / width, image.height / height)
        left = max(0.0, (image.width - scale * width) / 2)
        top = max(0.0, (image.height - scale * height) / 2)
        box = (left, top, image.width - left, image.height - top)
    return image.resize((width, height), Image.Resampling.BILINEAR, box=box)


def _padded(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    height, width = size
    scale = min(width / image.width, height / image.height)
    inner = (max(1, round(image.height * scale)), max(1, round(image.width * scale)))
    canvas = Image.new(image.mode, (width, height))
    canvas.paste(_scaled(image, inner, crop=False), ((width - inner[1]) // 2, (height - inner[0]) // 2))
    return canvas
