"""A network is data: the specification from which every network of the library is built.

Notation: a stage is a run of blocks of one width; ``width`` counts the channels of the 3×3 convolutions,
``out_channels`` those that leave the block (width × expansion, 4 for bottlenecks).
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from math import prod
from typing import Any, Literal

from residua.configuration import check, check_choices
from residua.errors import BadNetwork

BlockKind = Literal["basic", "bottleneck"]
Order = Literal["original", "full_preactivation"]
ShortcutKind = Literal["none", "padded", "projection", "projection_everywhere", "average_pooled", "max_pooled"]
NormKind = Literal["batch", "none"]
StridePlace = Literal["first", "3x3"]
ActivationKind = Literal["relu", "leaky_relu", "prelu", "sigmoid", "tanh"]
Initialization = Literal["he_fan_out", "he_fan_in", "zero_last"]

EXPANSION: dict[BlockKind, int] = {"basic": 1, "bottleneck": 4}
CONVOLUTIONS: dict[BlockKind, int] = {"basic": 2, "bottleneck": 3}


@dataclass(frozen=True, kw_only=True)
class StemSpec:
    """Says how the first layers turn an image into the stream that the stages work on."""

    width: int
    """Channels after the stem."""
    kernel: int = 3
    """Side of the convolution's kernel in pixels, odd; the padding is half of it."""
    stride: int = 1
    """Stride of the convolution in pixels."""
    bias: bool = False
    """Whether the convolution has a bias."""
    pool: bool = False
    """Whether a 3×3 max pool with stride 2 and padding 1 comes last."""

    def __post_init__(self) -> None:
        _check_fields(self)
        check(self.kernel % 2 == 1, "kernel", self.kernel, "an odd whole number, such as 3 or 7")

    @property
    def strides(self) -> tuple[int, ...]:
        """The strides of the stem's layers, first layer first."""
        return (self.stride, 2) if self.pool else (self.stride,)


def small_stem(width: int, *, bias: bool = False) -> StemSpec:
    """Returns the stem for small images: one 3×3 convolution that keeps their size (He et al. 2015, §4.2)."""
    return StemSpec(width=width, bias=bias)


def photograph_stem(width: int = 64, *, bias: bool = False) -> StemSpec:
    """Returns the stem for photographs: 7×7 with stride 2, then a max pool (He et al. 2015, Table 1)."""
    return StemSpec(width=width, kernel=7, stride=2, bias=bias, pool=True)


@dataclass(frozen=True, kw_only=True)
class NetworkSpec:
    """Says everything about a network but its weights.

    Raises:
        BadSetting: If a value is none that its field takes.
        BadNetwork: If the values contradict each other.
    """

    stem: StemSpec
    blocks: tuple[int, ...]
    """Blocks in every stage, first stage first; any number of stages."""
    widths: tuple[int, ...]
    """Channels of the 3×3 convolutions in every stage."""
    block: BlockKind = "basic"
    """basic: two 3×3 convolutions; bottleneck: 1×1, 3×3, and 1×1 to four times the width."""
    order: Order = "original"
    """Where norm and activation stand around the convolutions and the addition (He et al. 2016, Fig. 4)."""
    shortcut: ShortcutKind = "projection"
    """none: a plain network; padded: option A; projection: option B, 1×1 where shapes differ;
    projection_everywhere: option C; average_pooled, max_pooled: option D, a pool and then a 1×1."""
    norm: NormKind = "batch"
    """What normalises the layers' outputs."""
    bias: bool = False
    """Whether the blocks' convolutions, projections included, have a bias."""
    norm_on_projection: bool = True
    """Whether a norm follows the 1×1 convolution of a shortcut; moot where nothing projects."""
    stride_on: StridePlace = "3x3"
    """The bottleneck convolution that shrinks the maps: the first 1×1 (the papers) or the 3×3
    (torchvision). The parameters are the same in both, so weights load into the wrong one unnoticed."""
    activation: ActivationKind = "relu"
    initialization: Initialization = "he_fan_out"
    """he_fan_out, he_fan_in: normal with variance gain²/fan (He et al. 2015, Delving Deep, Eqs. 10 and 14);
    zero_last: he_fan_out, then zero in the last layer of every residual function, so that a block starts as
    its shortcut: the identity where shapes agree (with a last activation, as in the original order: relu)."""
    in_channels: int = 3
    """Channels of the images: 3 for colour, 1 for grey."""
    classes: int = 1000
    """Logits that the head gives."""

    def __post_init__(self) -> None:
        _check_fields(self)
        check_choices(self)
        if len(self.blocks) != len(self.widths):
            raise BadNetwork(
                f"blocks has {len(self.blocks)} stages and widths {len(self.widths)}; give both one number a stage"
            )
        for contradicts, message in CONTRADICTIONS:
            if contradicts(self):
                raise BadNetwork(message)

    @property
    def expansion(self) -> int:
        """Channels that leave a block over its width."""
        return EXPANSION[self.block]

    @property
    def out_channels(self) -> tuple[int, ...]:
        """Channels that leave every stage."""
        return tuple(width * self.expansion for width in self.widths)

    @property
    def strides(self) -> tuple[int, ...]:
        """Stride of every stage's first block: 1, then 2 in each further stage."""
        return (1,) + (2,) * (len(self.blocks) - 1)

    @property
    def depth(self) -> int:
        """Weighted layers as the papers count them: stem, convolutions outside the shortcuts, head."""
        return CONVOLUTIONS[self.block] * sum(self.blocks) + 2

    @property
    def shrinks_by(self) -> int:
        """Side of the image over the side of the last feature maps."""
        return prod(self.stem.strides) * prod(self.strides)

    @property
    def smallest_side(self) -> int:
        """Side in pixels below which a strided layer would meet a map of one pixel."""
        last = next((stride for stride in (*self.strides[::-1], *self.stem.strides[::-1]) if stride > 1), 1)
        return self.shrinks_by // last + 1 if last > 1 else 1

    @property
    def for_photographs(self) -> bool:
        """Whether the stem shrinks an image by four or more, as networks for 224×224 do."""
        return prod(self.stem.strides) >= 4

    @property
    def is_plain(self) -> bool:
        """Whether the network has no shortcuts."""
        return self.shortcut == "none"

    def plain_twin(self) -> "NetworkSpec":
        """Returns the network of the same layers without shortcuts.

        ``zero_last`` becomes ``he_fan_out``: without a shortcut a zeroed branch passes nothing on.
        """
        start = "he_fan_out" if self.initialization == "zero_last" else self.initialization
        return replace(self, shortcut="none", initialization=start)

    def require_fit(self, shape: tuple[int, int, int]) -> None:
        """Checks that images of ``shape`` (channels, height, width) suit the network.

        Raises:
            BadNetwork: If the channels differ, or the stem and the stages shrink the image to nothing.
        """
        channels, height, width = shape
        if channels != self.in_channels:
            raise BadNetwork(
                f"the images have {channels} channels and the network takes {self.in_channels}; "
                f"set in_channels={channels}"
            )
        if min(height, width) < self.smallest_side:
            raise BadNetwork(
                f"images of {height}×{width} pixels shrink to nothing in this network, which divides a side "
                f"by {self.shrinks_by}; give {self.smallest_side} pixels or more a side, or a network with a "
                "smaller stem or fewer stages"
            )


def _narrows(spec: NetworkSpec) -> bool:
    channels = (spec.stem.width, *spec.out_channels)
    return any(after < before for before, after in pairwise(channels))


def _projects(spec: NetworkSpec) -> bool:
    return spec.shortcut not in ("none", "padded")


CONTRADICTIONS: tuple[tuple[Callable[[NetworkSpec], bool], str], ...] = (
    (
        lambda spec: spec.norm == "none" and spec.norm_on_projection and _projects(spec),
        "norm_on_projection is true and norm is none; set norm_on_projection=false, or norm=batch",
    ),
    (
        lambda spec: spec.order == "full_preactivation" and spec.norm_on_projection and _projects(spec),
        "norm_on_projection is true and order is full_preactivation, where the stream stays free of norms "
        "(He et al. 2016); set norm_on_projection=false, or order=original",
    ),
    (
        lambda spec: spec.block == "basic" and spec.stride_on == "first",
        "stride_on is first and block is basic, whose first convolution is its first 3×3; "
        "set stride_on=3x3, or block=bottleneck",
    ),
    (
        lambda spec: spec.shortcut == "padded" and _narrows(spec),
        "shortcut is padded and a stage has fewer channels than the one before it, where zeros cannot be "
        "appended; set shortcut=projection, or widths that never fall",
    ),
    (
        lambda spec: spec.is_plain and spec.initialization == "zero_last",
        "shortcut is none and initialization is zero_last, which leaves every plain block at zero "
        "with no way round it; set initialization=he_fan_out",
    ),
)
"""Pairs of settings that describe no network, each with the reason and the way out."""


def _check_fields(spec: StemSpec | NetworkSpec) -> None:
    """Checks numbers and switches that were set in Python; ``Literal`` fields are left to `check_choices`."""
    for field in fields(spec):
        value, kind = getattr(spec, field.name), str(field.type)
        if field.type is int:
            check(_is_count(value), field.name, value, "a whole number from 1")
        elif field.type is bool:
            check(isinstance(value, bool), field.name, value, "true or false")
        elif field.type is StemSpec:
            check(isinstance(value, StemSpec), field.name, value, "a StemSpec")
        elif kind.startswith("tuple"):
            fine = isinstance(value, tuple) and len(value) > 0 and all(map(_is_count, value))
            check(fine, field.name, value, "a tuple of whole numbers from 1, such as (2, 2, 2, 2)")


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1
