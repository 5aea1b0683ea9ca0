"""Labelled images, in memory or stored elsewhere, and what turns them into a network's input.

Notation: n images, c channels, h × w pixels. Pixels stay ``uint8`` until a batch is normalised. Images are
laid out channels-last in memory (a pixel's channels side by side) whatever the order of their axes.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, Protocol, final, runtime_checkable

import torch
from jaxtyping import Float, Float32, Int64, UInt8
from torch import Tensor

from residua import configuration
from residua.data.spec import Fit
from residua.data.threads import in_order

PartName = Literal["train", "validation", "test"]
Places = Int64[Tensor, " _b"] | slice
"""Positions in a part, in any order, or a run of them."""

_CHUNK_BYTES = 4 << 20  # pixels that a walk over a part holds at a time; their float copies are four times that
_DRAWN_BYTES = 1 << 28  # of normalised images that are drawn at a time
_AHEAD = 2  # batches that are read from a store before they are asked for
_DEVICE_SHARE = 0.25  # of a GPU's free memory, that stored images may take; training needs the rest


@runtime_checkable
class Stored(Protocol):
    """Images that are not in memory: each is read when it is asked for."""

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Returns n, c, h and w."""
        ...

    def read(self, places: Places) -> UInt8[Tensor, "b c h w"]:
        """Returns images by position, in memory and channels-last; may be called in several threads."""
        ...


@final
@dataclass(frozen=True, eq=False)
class Chosen:
    """Some of the images that are stored, in an order of their own."""

    stored: Stored
    places: Int64[Tensor, " n"]

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Returns n, c, h and w."""
        return (len(self.places), *self.stored.shape[1:])

    def read(self, places: Places) -> UInt8[Tensor, "b c h w"]:
        """Returns images by their position among the chosen."""
        return self.stored.read(self.places[places])


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Part:
    """The images of one part of a data set, with their labels and names."""

    name: PartName
    images: UInt8[Tensor, "n c h w"]
    """Where they are ``stored``, a meta tensor: their shape without their pixels. `take`, `walk` and `chunks` read
    the pixels wherever they are."""
    labels: Int64[Tensor, " n"]
    """Positions in the data set's classes."""
    files: tuple[str, ...]
    """Paths below the source, with ``/``; a published set's images are named by part and position."""
    stored: Stored | None = None
    """What reads the images; None where they are in memory."""

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, places: Places) -> UInt8[Tensor, "b c h w"]:
        """Returns images by position, each gathered as one run of bytes where they lie channels-last."""
        if self.stored is not None:
            return self.stored.read(places)
        if isinstance(places, slice):
            return self.images[places]
        pixels = self.images.permute(0, 2, 3, 1)
        places = places.to(pixels.device)
        if not pixels.is_contiguous():
            return self.images.index_select(0, places)
        rows = pixels.view(len(self), -1).index_select(0, places)
        return rows.view(-1, *pixels.shape[1:]).permute(0, 3, 1, 2)

    def walk(self, wanted: Iterable[Places]) -> Iterator[UInt8[Tensor, "_b c h w"]]:
        """Yields the images of each of ``wanted`` in turn; stored ones are read while the last are worked on."""
        if self.stored is None:
            return map(self.take, wanted)
        return in_order(self.stored.read, wanted, threads=1, ahead=_AHEAD)

    def chunks(self) -> Iterator[UInt8[Tensor, "_b c h w"]]:
        """Yields all images in order, 4 MiB of them at a time.

        A walk to the end settles the `digest` on its way, so that images are decoded once for both.
        """
        digest = hashlib.sha256(repr(tuple(self.images.shape)).encode())
        step = max(1, _CHUNK_BYTES // max(1, self.images.shape[1:].numel()))
        for images in self.walk(slice(first, first + step) for first in range(0, len(self), step)):
            digest.update(images.cpu().contiguous().view(-1).numpy().data)
            yield images
        digest.update(self.labels.cpu().numpy().astype("<i8").tobytes())
        digest.update("\0".join(self.files).encode())
        self.__dict__.setdefault("digest", f"sha256:{digest.hexdigest()}")

    @cached_property
    def digest(self) -> str:
        """Returns ``sha256:…`` over the images, the labels and the file names, in their order."""
        for _ in self.chunks():
            pass
        return self.__dict__["digest"]

    def only(self, places: Int64[Tensor, " b"]) -> "Part":
        """Returns the part with some of its images, in the order of their positions given."""
        files = tuple(self.files[i] for i in places.tolist())
        labels = self.labels[places.to(self.labels.device)]
        if self.stored is None:
            return replace(self, images=self.take(places), labels=labels, files=files)
        return stored_part(self.name, Chosen(self.stored, places), labels, files)

    def to(self, device: torch.device) -> "Part":
        """Returns the part with images and labels on the device; itself where they are there already.

        Stored images stay where they are, unless the device is a GPU and they take at most a quarter of its free
        memory.
        """
        if self.stored is not None:
            return self._loaded(device) if self._fits(device) else replace(self, labels=self.labels.to(device))
        if self.images.device == device:
            return self
        return replace(self, images=self.images.to(device), labels=self.labels.to(device))

    def _fits(self, device: torch.device) -> bool:
        return device.type == "cuda" and self.images.numel() < torch.cuda.mem_get_info(device)[0] * _DEVICE_SHARE

    def _loaded(self, device: torch.device) -> "Part":
        images = torch.empty(self.images.shape, dtype=torch.uint8, device=device, memory_format=torch.channels_last)
        first = 0
        for chunk in self.chunks():
            images[first : first + len(chunk)] = chunk.to(device)
            first += len(chunk)
        return replace(self, images=images, labels=self.labels.to(device), stored=None)


def stored_part(name: PartName, stored: Stored, labels: Int64[Tensor, " n"], files: Iterable[str]) -> Part:
    """Returns a part whose images are stored."""
    shape = torch.empty(stored.shape, dtype=torch.uint8, device="meta")
    return Part(name=name, images=shape, labels=labels, files=tuple(files), stored=stored)


@final
@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """Says what an image becomes before the network sees it."""

    image_size: tuple[int, int]
    """Height and width in pixels."""
    channels: int
    """1 for grey, 3 for red, green and blue."""
    fit: Fit = "crop"
    """How an image of another shape is made to fit."""
    resize_side: int | None = None
    """The shorter side that an image is scaled to before the middle is cut, in pixels, as published networks were
    trained; None cuts as much of the middle as there is."""
    mean: tuple[float, ...]
    """Of pixels/255 over the training part: one a channel, or c · h · w of them, one a pixel."""
    std: tuple[float, ...]
    """Standard deviation of pixels/255 over the training part, one a channel."""

    def __post_init__(self) -> None:
        pixels = self.channels * self.image_size[0] * self.image_size[1]
        configuration.check(self.channels in (1, 3), "channels", self.channels, "1 or 3")
        configuration.check(
            len(self.mean) in (self.channels, pixels),
            "mean",
            f"{len(self.mean)} values",
            f"{self.channels} or {pixels}",
        )
        configuration.check(len(self.std) == self.channels, "std", f"{len(self.std)} values", f"{self.channels}")
        side = self.resize_side
        cuttable = side is None or (self.fit == "crop" and side >= max(self.image_size))
        configuration.check(cuttable, "resize_side", side, "none, or with fit=crop the image's side and above")
        configuration.check(min(self.std) > 0, "std", self.std, "values above 0")

    def normalise(self, images: UInt8[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Returns (pixels/255 − mean) / std as float32, channels-last in memory.

        Computed in one pass as shift + pixels · scale, with scale = 1/(255 std) and shift = −mean/std.
        """
        b, c, h, w = images.shape
        shift, scale = self._affine_on(images.device)
        rows = images.permute(0, 2, 3, 1).reshape(b, h, w * c)
        return torch.addcmul(shift, rows.float(), scale).view(b, h, w, c).permute(0, 3, 1, 2)

    def _affine_on(self, device: torch.device) -> tuple[Tensor, Tensor]:
        if device not in self._affine:
            shift, scale = self._affine[torch.device("cpu")]
            self._affine[device] = (shift.to(device), scale.to(device))
        return self._affine[device]

    @cached_property
    def _affine(self) -> dict[torch.device, tuple[Float32[Tensor, "r wc"], Float32[Tensor, "1 wc"]]]:
        """Shift and scale of a row of pixels, channels side by side; r is h for a mean a pixel, else 1."""
        height, width = self.image_size
        mean, std = torch.tensor(self.mean, dtype=torch.float64), torch.tensor(self.std, dtype=torch.float64)
        if len(self.mean) == self.channels:
            means = mean.repeat(1, width)
        else:
            means = mean.view(self.channels, height, width).permute(1, 2, 0).reshape(height, -1)
        stds = std.repeat(1, width)
        return {torch.device("cpu"): ((-means / stds).float(), (1 / (255 * stds)).float())}


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Dataset:
    """A source of labelled images, split into parts, with what its images become."""

    source: str
    """Name or folder as it was asked for."""
    classes: tuple[str, ...]
    parts: tuple[Part, ...]
    """The training part first."""
    preprocessing: Preprocessing
    notes: tuple[str, ...] = ()
    """Lines that the user should read before training."""
    split_rule: str = "given"
    """Who made each part, and by which rule."""
    left_out: tuple[str, ...] = ()
    """Files of the source that are in no part."""
    sizes: tuple[tuple[int, int, int], ...] = ()
    """Height, width and number of the images as found, the most frequent sizes first."""

    @property
    def train(self) -> Part:
        """Returns the training part."""
        return self.parts[0]

    @property
    def validation(self) -> Part | None:
        """Returns the validation part, or None where nothing is held out for it."""
        return self._part("validation")

    @property
    def test(self) -> Part | None:
        """Returns the test part, or None where the source has none."""
        return self._part("test")

    def to(self, device: torch.device) -> "Dataset":
        """Returns the data set with every part on the device."""
        return replace(self, parts=tuple(part.to(device) for part in self.parts))

    def drawn(self, part: Part, most: int, *, seed: int) -> tuple[Tensor, Tensor]:
        """Returns normalised images [n, c, h, w] of a part with their labels, drawn without replacement.

        As many as `drawable` says. The first ones would not do: a folder is sorted by class.
        """
        order = torch.randperm(len(part), generator=torch.Generator().manual_seed(seed))
        places = order[: self.drawable(part, most)]
        pixels = part.take(places)
        return self.preprocessing.normalise(pixels), part.labels[places.to(part.labels.device)].to(pixels.device)

    def drawable(self, part: Part, most: int) -> int:
        """Returns how many of a part's images are drawn: two at least, and no more than fit into 256 MiB."""
        room = _DRAWN_BYTES // (4 * part.images.shape[1:].numel())
        return min(max(2, min(most, room)), len(part))

    def split(self) -> dict[str, list[str]]:
        """Returns the file names by part."""
        return {part.name: list(part.files) for part in self.parts}

    def card(self) -> dict[str, Any]:
        """Describes the data for JSON: classes, counts, sizes, digests, split rule, notes, files left out."""
        return {
            "source": self.source,
            "classes": list(self.classes),
            "parts": {part.name: self._part_card(part) for part in self.parts},
            "split_rule": self.split_rule,
            "sizes": [{"height": h, "width": w, "images": n} for h, w, n in self.sizes],
            "preprocessing": configuration.to_json(self.preprocessing),
            "notes": list(self.notes),
            "left_out": list(self.left_out),
        }

    def _part_card(self, part: Part) -> dict[str, Any]:
        counts = torch.bincount(part.labels, minlength=len(self.classes)).tolist()
        by_class = dict(zip(self.classes, counts, strict=True))
        return {"images": len(part), "by_class": by_class, "digest": part.digest}

    def _part(self, name: str) -> Part | None:
        return next((part for part in self.parts if part.name == name), None)
