"""What a user may say about the images: the `DataSpec`."""

import re
from dataclasses import dataclass
from typing import Literal, final

from residua import configuration
from residua.errors import BadSetting

Fit = Literal["crop", "pad", "squash"]
Keep = Literal["auto", "memory", "cache", "stream"]


@final
@dataclass(frozen=True, kw_only=True)
class DataSpec:
    """Says where the images come from, how they are made equal in size, and how they are split."""

    source: str = "digits"
    """Name of a set, or path of a folder of class folders; the name wins (``./digits`` is the folder)."""
    data_root: str | None = None
    """Folder of the published sets; None takes ``RESIDUA_DATA``, else the user's data folder."""
    image_size: int | None = None
    """Side of the square that the network sees, in pixels; None follows the images."""
    fit: Fit = "crop"
    """``crop`` cuts the middle, ``pad`` adds black borders, ``squash`` changes the proportions."""
    group: str | None = None
    """Regular expression searched in each file's path; equal matches stay in one part."""
    split_seed: int = 0
    """Of the split alone, so that runs with other seeds see the same images."""
    validation_fraction: float = 0.1
    """Share of the images not in the test part, at most 2,500 of them; 0 holds none out."""
    test_fraction: float = 0.2
    """Share of all images, where a source has no parts of its own; 0 holds none out."""
    per_pixel_mean: bool = False
    """Whether each pixel has a mean of its own (He et al. 2015, section 4.2) instead of one a channel."""
    keep: Keep = "auto"
    """Where a folder's decoded images are: in ``memory``, in a ``cache`` on the disk, or nowhere (``stream`` decodes
    them anew in every epoch); ``auto`` follows their number and the room there is (`residua.data.keeping`)."""
    cache: str | None = None
    """Folder of the cache; None takes ``RESIDUA_CACHE``, else the user's cache folder."""
    cache_gb: float = 20.0
    """Most that the cache may hold, in 10⁹ bytes; the sets used longest ago make way."""

    def __post_init__(self) -> None:
        configuration.check_choices(self)
        for name in ("validation_fraction", "test_fraction"):
            configuration.check(0 <= getattr(self, name) < 1, name, getattr(self, name), "0 or above, below 1")
        configuration.check(bool(self.source.strip()), "source", self.source, "the name of a set, or a folder")
        sized = self.image_size is None or self.image_size >= 1
        configuration.check(sized, "image_size", self.image_size, "1 pixel or above")
        configuration.check(self.cache_gb > 0, "cache_gb", self.cache_gb, "above 0")
        if self.group is not None:
            try:
                re.compile(self.group)
            except re.error as error:
                raise BadSetting(
                    f"group is {self.group!r}, no regular expression ({error}); for example '^patient\\d+'"
                ) from None
