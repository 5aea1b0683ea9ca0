"""Random crops and flips of a whole batch at a time, on the device that holds it.

Every draw is a function of (seed, epoch, step) alone: a resumed run sees what the uninterrupted one saw.
"""

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, final

import torch
from jaxtyping import Bool, Int64, UInt8
from torch import Tensor
from torch.nn import functional

from residua import configuration
from residua.data.dataset import Dataset

_FASHION_CROP_PIXELS = 2  # its 28-pixel images fill their frame: a shift by 3 cuts sleeves off


@final
@dataclass(frozen=True, kw_only=True)
class AugmentSpec:
    """Says how training images vary from epoch to epoch."""

    crop_padding: int = 0
    """Pixels added on every side before a random crop back to the size; 0 does not crop."""
    flip: Literal["none", "random", "alternating"] = "none"
    """``random`` mirrors each image left to right half of the time; ``alternating`` shows it mirrored in
    every other epoch (Jordan 2024, arXiv:2404.00498, section 3.6)."""
    padding: Literal["reflect", "zero"] = "reflect"
    """What the added pixels show: the image mirrored at its edge, or black."""
    crop_smallest_area: float | None = None
    """Smallest share of an image that a random crop keeps and enlarges to the old size (Szegedy et al. 2015); None
    shifts by ``crop_padding`` instead."""
    erase: float = 0.0
    """Share of the images in which a random rectangle is covered with noise (Zhong et al. 2020)."""

    def __post_init__(self) -> None:
        configuration.check_choices(self)
        configuration.check(self.crop_padding >= 0, "crop_padding", self.crop_padding, "0 pixels or above")
        area = self.crop_smallest_area
        configuration.check(area is None or 0 < area <= 1, "crop_smallest_area", area, "above 0 up to 1, or none")
        configuration.check(0 <= self.erase <= 1, "erase", self.erase, "0 to 1")


@final
@dataclass(frozen=True, kw_only=True)
class Moment:
    """The place in training that a random draw belongs to."""

    seed: int
    epoch: int
    step: int
    """Within the epoch."""
    rank: int = 0
    """The share of the batch that is augmented here: every ``ranks``-th image from this one on."""
    ranks: int = 1

    def draws(self, what: str, values: Callable[[int, torch.Generator], Tensor], images: int) -> Tensor:
        """Draws for the whole batch and returns this rank's rows, the same whatever the number of ranks.

        Args:
            what: Names the draw; each has a generator of its own.
            values: Returns so many rows from a generator.
            images: In this rank's share.
        """
        generator = generator_for(what, self.seed, self.epoch, self.step)
        return values(images * self.ranks, generator)[self.rank :: self.ranks]


def augment(
    images: UInt8[Tensor, "b c h w"], indices: Int64[Tensor, " b"], spec: AugmentSpec, *, at: Moment
) -> UInt8[Tensor, "b c h w"]:
    """Returns the batch cropped and flipped as the specification says, channels-last in memory.

    Args:
        images: The batch; left unchanged.
        indices: Each image's position in its part, which decides the alternating flip.
        spec: What is done.
        at: Seed, epoch and step of the draws.
    """
    pixels = images.permute(0, 2, 3, 1)
    if spec.crop_smallest_area is not None:
        pixels = _resized_crops(pixels, spec.crop_smallest_area, at)
    elif spec.crop_padding:
        pixels = _cropped(pixels, spec, at)
    mirrored = _mirrored(indices, spec, at)
    if mirrored is not None:
        chosen = mirrored.nonzero()[:, 0].to(pixels.device, non_blocking=True)
        pixels = pixels.index_copy(0, chosen, pixels.index_select(0, chosen).flip(2))
    if spec.erase:
        pixels = _erased(pixels, spec.erase, at)
    return pixels.permute(0, 3, 1, 2)


def default_augment(dataset: Dataset) -> AugmentSpec:
    """Returns the augmentation that suits a source where the user says nothing.

    Crops shift by an eighth of the shorter side (4 pixels of 32, as in He et al. 2015, section 4.2; 2 of
    Fashion-MNIST's 28). Flips alternate, except where `has_orientation` says that they change the meaning.
    """
    side = min(dataset.preprocessing.image_size)
    crop = _FASHION_CROP_PIXELS if dataset.source == "fashion-mnist" else side // 8
    return AugmentSpec(crop_padding=crop, flip="none" if has_orientation(dataset.classes) else "alternating")


def has_orientation(classes: tuple[str, ...]) -> bool:
    """Says whether the classes are numbers or single letters, whose mirror images are something else."""
    return all(name.isdecimal() or (len(name) == 1 and name.isalpha()) for name in classes)


def seed_for(*parts: object) -> int:
    """Returns a seed of 63 bits: the head of SHA-256 over the parts, written with ``/`` between."""
    return int.from_bytes(hashlib.sha256("/".join(map(str, parts)).encode()).digest()[:8]) >> 1


def generator_for(*parts: object) -> torch.Generator:
    """Returns a generator on the processor that depends on the parts alone."""
    return torch.Generator().manual_seed(seed_for(*parts))


def _cropped(pixels: UInt8[Tensor, "b h w c"], spec: AugmentSpec, at: Moment) -> UInt8[Tensor, "b h w c"]:
    """Pads every side and takes a window of the old size at a random place, one a image.

    The windows are a strided view with two more axes (top, left), so that one gather copies all of them.
    """
    b, h, w, c = pixels.shape
    places = 2 * spec.crop_padding + 1
    corners = at.draws("crop", lambda rows, generator: torch.randint(places, (rows, 2), generator=generator), b)
    top, left = corners.to(pixels.device, non_blocking=True).unbind(1)
    padded = _padded(pixels, spec).flatten(2)
    image, row, _ = padded.stride()
    windows = padded.as_strided((b, places, places, h, w * c), (image, row, c, row, 1))
    each = torch.arange(b, device=pixels.device)
    return windows[each, top, left].view(b, h, w, c)


def _resized_crops(pixels: UInt8[Tensor, "b h w c"], smallest_area: float, at: Moment) -> UInt8[Tensor, "b h w c"]:
    """Cuts a window of random area and shape out of every image, and enlarges it bilinearly to the old size.

    The area is uniform between the smallest share and all, the ratio of the sides uniform in its logarithm between
    3:4 and 4:3, of those windows that fit into the image (Szegedy et al. 2015, §6).
    """
    b = len(pixels)
    area, shape, top, left = at.draws("window", lambda rows, g: torch.rand(rows, 4, generator=g), b).unbind(1)
    area = smallest_area + (1 - smallest_area) * area
    widest = (-area.log()).clamp(max=math.log(4 / 3))  # of a window of this area that fits
    ratio = torch.exp((2 * shape - 1) * widest)
    tall, wide = (area / ratio).sqrt(), (area * ratio).sqrt()
    # affine_grid maps the output's square [-1, 1]² to the window: its size, and its middle in the same units.
    transform = torch.zeros(b, 2, 3)
    transform[:, 0, 0], transform[:, 1, 1] = wide, tall
    transform[:, 0, 2], transform[:, 1, 2] = (1 - wide) * (2 * left - 1), (1 - tall) * (2 * top - 1)
    images = pixels.permute(0, 3, 1, 2).float()
    grid = functional.affine_grid(transform.to(pixels.device), list(images.shape), align_corners=False)
    windows = functional.grid_sample(images, grid, padding_mode="border", align_corners=False)
    return windows.round_().to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def _erased(pixels: UInt8[Tensor, "b h w c"], share: float, at: Moment) -> UInt8[Tensor, "b h w c"]:
    """Covers a rectangle of a share of the images with noise: 2 to 40 % of the area, sides 3:10 to 10:3.

    Zhong et al. 2020, Algorithm 1 with random values; a rectangle that does not fit is cut to the image.
    """
    b, h, w, c = pixels.shape
    chosen, area, shape, top, left = at.draws("erase", lambda rows, g: torch.rand(rows, 5, generator=g), b).unbind(1)
    area, ratio = 0.02 + 0.38 * area, torch.exp((2 * shape - 1) * math.log(10 / 3))
    tall, wide = (area / ratio).sqrt().clamp(max=1), (area * ratio).sqrt().clamp(max=1)
    rows = _between(h, (top * (1 - tall), tall))
    columns = _between(w, (left * (1 - wide), wide))
    inside = (chosen < share)[:, None, None] & rows[:, :, None] & columns[:, None, :]
    noise = at.draws("noise", lambda n, g: torch.randint(256, (n, h, w, c), generator=g, dtype=torch.uint8), b)
    return torch.where(inside[..., None].to(pixels.device), noise.to(pixels.device), pixels)


def _between(side: int, span: tuple[Tensor, Tensor]) -> Bool[Tensor, "b s"]:
    """Says which of ``side`` positions lie in each image's stretch, given as start and length in shares of the side."""
    start, length = ((part * side).round()[:, None] for part in span)
    positions = torch.arange(side)
    return (positions >= start) & (positions < start + length)


def _padded(pixels: UInt8[Tensor, "b h w c"], spec: AugmentSpec) -> UInt8[Tensor, "b h2 w2 c"]:
    border = spec.crop_padding
    if spec.padding == "zero":
        return functional.pad(pixels, (0, 0, border, border, border, border))
    b, h, w, c = pixels.shape
    whole = pixels.new_empty((b, h + 2 * border, w + 2 * border, c))
    middle = whole[:, border : border + h]
    middle[:, :, border : border + w] = pixels  # in one piece: gathering every pixel takes twenty times as long
    for side in (slice(None, border), slice(-border, None)):
        middle[:, :, side] = pixels.index_select(2, _reflected(w, border)[side].to(pixels.device))
    for side in (slice(None, border), slice(-border, None)):
        whole[:, side] = middle.index_select(1, _reflected(h, border)[side].to(pixels.device))
    return whole


def _reflected(side: int, border: int) -> Int64[Tensor, " s"]:
    """Returns 0 … side − 1 with a border on either end that runs back from the edge without repeating it."""
    if side == 1:
        return torch.zeros(1 + 2 * border, dtype=torch.int64)
    period = 2 * (side - 1)
    distance = torch.arange(-border, side + border) % period
    return torch.minimum(distance, period - distance)


def _mirrored(indices: Int64[Tensor, " b"], spec: AugmentSpec, at: Moment) -> Bool[Tensor, " b"] | None:
    """Says which images are shown mirrored; None for none of them."""
    if spec.flip == "none":
        return None
    if spec.flip == "random":
        return at.draws("flip", lambda rows, generator: torch.rand(rows, generator=generator), len(indices)) < 0.5
    first = _hashed(indices, seed_for("flip", at.seed) & 0x7FFFFFFF)
    return (first + at.epoch) % 2 == 1


def _hashed(values: Int64[Tensor, " b"], key: int) -> Int64[Tensor, " b"]:
    """Mixes each number with the key into 32 even bits; products stay below 2⁶³, so nothing overflows."""
    mixed = (values ^ key) & 0xFFFFFFFF
    for _ in range(2):
        mixed = ((mixed ^ (mixed >> 16)) * 0x45D9F3B) & 0xFFFFFFFF
    return mixed ^ (mixed >> 16)
