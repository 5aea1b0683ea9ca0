"""A network is data: the specification from which every network of the library is built.

Notation: a stage is a run of blocks of one width; ``width`` counts the channels of the 3×3 convolutions,
``out_channels`` those that leave the block (width × expansion, 4 for bottlenecks).
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from math import isfinite, prod
from typing import Any, Literal

from residua.configuration import check, check_choices
from residua.errors import BadNetwork, BadSetting, unknown
from residua.networks.layers import ActivationKind, NormKind
from residua.networks.shortcuts import PADDING, PROJECTING, SHORTCUTS

BlockKind = Literal["single", "basic", "bottleneck"]
Order = Literal[
    "original", "bn_after_addition", "relu_before_addition", "relu_only_preactivation", "full_preactivation"
]
StridePlace = Literal["first", "3x3"]
Transition = Literal["block", "convolution"]
HeadPool = Literal["average", "max"]
Initialization = Literal["he_fan_out", "he_fan_in", "zero_last", "identity", "fixup", "skipinit", "scaled_branches"]

CONVOLUTIONS: dict[BlockKind, int] = {"single": 1, "basic": 2, "bottleneck": 3}


@dataclass(frozen=True, kw_only=True)
class StemSpec:
    """Says how the first layers turn an image into the stream that the stages work on."""

    width: int
    """Channels after the stem."""
    kernel: int = 3
    """Side of the convolutions' kernels in pixels, odd; the padding is half of it. A whitening one may be even."""
    stride: int = 1
    """Stride of the first convolution in pixels."""
    bias: bool = False
    """Whether the convolutions have a bias."""
    pool: bool = False
    """Whether a 3×3 max pool with stride 2 and padding 1 comes last."""
    convolutions: int = 1
    """Above 1 for a deep stem (He et al. 2019, Bag of Tricks, Fig. 2b); those before the last have half the width."""
    whitening: bool = False
    """Whether the filters whiten the training images' patches and do not learn; they and their negatives are the
    width, 2 · channels · kernel². Without padding, norm or pool (Jordan 2024, §3.1)."""

    def __post_init__(self) -> None:
        _check_fields(self)
        odd = self.kernel % 2 == 1 or self.whitening
        check(odd, "kernel", self.kernel, "an odd whole number, such as 3 or 7")
        bare = self.bias and not self.pool and self.stride == self.convolutions == 1
        check(bare or not self.whitening, "whitening", True, "one convolution with a bias, stride 1 and no pool")
        halves = self.convolutions == 1 or self.width % 2 == 0
        check(halves, "width", self.width, "an even whole number in a stem of several convolutions")

    @property
    def strides(self) -> tuple[int, ...]:
        """The strides of the stem's layers, first layer first."""
        convolutions = (self.stride,) + (1,) * (self.convolutions - 1)
        return (*convolutions, 2) if self.pool else convolutions


def small_stem(width: int, *, bias: bool = False) -> StemSpec:
    """Returns the stem for small images: one 3×3 convolution that keeps their size (He et al. 2015, §4.2)."""
    return StemSpec(width=width, bias=bias)


def photograph_stem(width: int = 64, *, bias: bool = False) -> StemSpec:
    """Returns the stem for photographs: 7×7 with stride 2, then a max pool (He et al. 2015, Table 1)."""
    return StemSpec(width=width, kernel=7, stride=2, bias=bias, pool=True)


def whitening_stem(in_channels: int = 3, *, kernel: int = 2) -> StemSpec:
    """Returns the stem whose filters whiten patches of ``kernel`` × ``kernel`` pixels (Jordan 2024, §3.1)."""
    return StemSpec(width=2 * in_channels * kernel**2, kernel=kernel, bias=True, whitening=True)


def deep_stem(width: int = 64) -> StemSpec:
    """Returns the stem of ResNet-C and -D: three 3×3, the first with stride 2, then a max pool (He et al. 2019)."""
    return StemSpec(width=width, stride=2, pool=True, convolutions=3)


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
    """single: one 3×3 convolution; basic: two; bottleneck: 1×1, 3×3, and 1×1 to ``bottleneck_expansion`` times the
    width."""
    transition: Transition = "block"
    """What widens the stream and shrinks the maps where a stage begins: its first ``block``, by a stride from the
    second stage on; or, in every stage, a ``convolution`` of 3×3, a 2×2 max pool, norm and activation before both
    paths of that block, so that every shortcut is the identity (Page 2018; Jordan 2024)."""
    bottleneck_expansion: int = 4
    """Channels that leave a bottleneck over its width: 4; 2 in networks whose bottlenecks are twice as wide."""
    groups: int = 1
    """Groups of a bottleneck's 3×3 convolution: the cardinality of ResNeXt (Xie et al. 2017)."""
    squeeze_excitation: int | None = None
    """Reduction of a squeeze-excitation at the end of every residual function (Hu et al. 2018: 16); none: without."""
    order: Order = "original"
    """Where norm and activation stand around the convolutions and the addition (He et al. 2016, Fig. 4)."""
    shortcut: str = "projection"
    """none: a plain network; padded: option A; projection: option B, 1×1 where shapes differ;
    projection_everywhere: option C; average_pooled, max_pooled: option D, a pool and then a 1×1;
    scaled, exclusive_gating, shortcut_only_gating, dropout: He et al. 2016, Table 1, on option A."""
    shortcut_scale: float = 0.5
    """What ``scaled`` multiplies the shortcut by."""
    residual_scale: float = 0.5
    """What ``scaled`` multiplies the residual function by."""
    gate_bias: float = -6.0
    """Where a gate's bias starts: σ(−6) = 0.0025, an almost open shortcut (He et al. 2016, Table 1)."""
    shortcut_dropout: float = 0.5
    """Share of the shortcut's numbers that ``dropout`` drops."""
    last_survival: float = 1.0
    """Stochastic depth: the probability that the last block's residual function is kept in a training step, falling
    to it linearly from 1 at the image (Huang et al. 2016, Eq. 4; theirs 0.5); 1 keeps all."""
    norm: NormKind = "batch"
    """What normalises the layers' outputs."""
    norm_groups: int = 32
    """Groups of ``group`` norm at most (Wu and He 2018), and as many as leave each group two channels."""
    bias: bool = False
    """Whether the blocks' convolutions, projections included, have a bias."""
    norm_on_projection: bool = True
    """Whether a norm follows the 1×1 convolution of a shortcut; moot where nothing projects."""
    stride_on: StridePlace = "3x3"
    """The bottleneck convolution that shrinks the maps: the first 1×1 (the papers) or the 3×3
    (torchvision). The parameters are the same in both, so weights load into the wrong one unnoticed."""
    activation: ActivationKind = "relu"
    initialization: Initialization = "he_fan_out"
    """Where the weights start, and the scalars that go with it; see `residua.networks.initialization`."""
    in_channels: int = 3
    """Channels of the images: 3 for colour, 1 for grey."""
    classes: int = 1000
    """Logits that the head gives."""
    head_pool: HeadPool = "average"
    """What the head reads of every channel's last map: its mean, or its largest number."""

    def __post_init__(self) -> None:
        _check_fields(self)
        check_choices(self)
        if self.shortcut not in ("none", *SHORTCUTS):
            raise BadSetting(unknown("shortcut", str(self.shortcut), ("none", *SHORTCUTS)))
        for scale in ("shortcut_scale", "residual_scale"):
            check(getattr(self, scale) != 0, scale, getattr(self, scale), "any number but 0, which cuts the path off")
        check(0 <= self.shortcut_dropout < 1, "shortcut_dropout", self.shortcut_dropout, "0 up to but not 1")
        check(0 < self.last_survival <= 1, "last_survival", self.last_survival, "above 0, up to 1")
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
        return self.bottleneck_expansion if self.block == "bottleneck" else 1

    @property
    def out_channels(self) -> tuple[int, ...]:
        """Channels that leave every stage."""
        return tuple(width * self.expansion for width in self.widths)

    @property
    def strides(self) -> tuple[int, ...]:
        """What every stage divides a side by: 1, then 2 in each further stage; 2 in all that begin with a pool."""
        return (2 if self.has_transitions else 1,) + (2,) * (len(self.blocks) - 1)

    @property
    def has_transitions(self) -> bool:
        """Whether every stage begins with a convolution and a pool of its own."""
        return self.transition == "convolution"

    @property
    def depth(self) -> int:
        """Weighted layers as the papers count them: stem, convolutions outside the shortcuts, head."""
        transitions = len(self.blocks) if self.has_transitions else 0
        return self.stem.convolutions + transitions + CONVOLUTIONS[self.block] * sum(self.blocks) + 1

    @property
    def shrinks_by(self) -> int:
        """Side of the image over the side of the last feature maps."""
        return prod(self.stem.strides) * prod(self.strides)

    @property
    def smallest_side(self) -> int:
        """Side in pixels below which a strided layer would meet a map of one pixel, or a transition's pool none."""
        if self.has_transitions:
            return self.shrinks_by + (self.stem.kernel - 1) * self.stem.whitening
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

    @property
    def has_shifts(self) -> bool:
        """Whether scalar biases stand before convolutions and activations (Fixup)."""
        return self.initialization == "fixup"

    @property
    def survivals(self) -> tuple[float, ...]:
        """The probability that each block's residual function is kept, first block first: 1 − l/L · (1 − p_L)."""
        count = sum(self.blocks)
        return tuple(1 - block / count * (1 - self.last_survival) for block in range(1, count + 1))

    def seeing(self, in_channels: int) -> "NetworkSpec":
        """Returns the network for images of so many channels; a whitening stem's width goes with them."""
        stem = self.stem
        if stem.whitening:
            stem = replace(stem, width=2 * in_channels * stem.kernel**2)
        return replace(self, in_channels=in_channels, stem=stem)

    def plain_twin(self) -> "NetworkSpec":
        """Returns the network of the same layers without shortcuts.

        Without a shortcut a branch that starts near zero, or is dropped, passes nothing on: ``zero_last`` and
        ``scaled_branches`` become ``he_fan_out``, and all blocks survive.
        """
        near_zero = self.initialization in ("zero_last", "scaled_branches")
        start = "he_fan_out" if near_zero else self.initialization
        return replace(self, shortcut="none", initialization=start, last_survival=1.0)

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
    if spec.has_transitions:
        return False
    channels = (spec.stem.width, *spec.out_channels)
    return any(after < before for before, after in pairwise(channels))


def _projects(spec: NetworkSpec) -> bool:
    return spec.shortcut in PROJECTING and (not spec.has_transitions or spec.shortcut == "projection_everywhere")


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
        lambda spec: spec.order == "bn_after_addition" and spec.norm == "none",
        "order is bn_after_addition and norm is none, which leaves the original order; "
        "set order=original, or norm=batch",
    ),
    (
        lambda spec: spec.order == "relu_only_preactivation" and spec.norm == "none",
        "order is relu_only_preactivation and norm is none, which leaves full_preactivation; "
        "set order=full_preactivation, or norm=batch",
    ),
    (
        lambda spec: spec.order == "relu_before_addition" and spec.initialization in ("zero_last", "fixup"),
        "order is relu_before_addition, where the activation behind a zeroed layer passes no gradient; "
        "set initialization=skipinit, whose zero stands behind the activation",
    ),
    (
        lambda spec: spec.initialization == "fixup" and spec.norm != "none",
        "initialization is fixup, whose scalars stand in for norms; set norm=none, or initialization=he_fan_out",
    ),
    (
        lambda spec: spec.block != "bottleneck" and spec.stride_on == "first",
        "stride_on is first and block is no bottleneck: its first convolution is its first 3×3; "
        "set stride_on=3x3, or block=bottleneck",
    ),
    (
        lambda spec: spec.block != "bottleneck" and spec.groups > 1,
        "groups is above 1 and block is no bottleneck: grouped 3×3 alone are only a wider dense layer made sparse "
        "(Xie et al. 2017, §3.3); set groups=1, or block=bottleneck",
    ),
    (
        lambda spec: spec.initialization == "fixup" and (spec.block == "single" or spec.has_transitions),
        "initialization is fixup, whose scale L^(−1/(2m−2)) is for blocks of m > 1 convolutions and nothing between "
        "them; set block=basic and transition=block, or initialization=skipinit",
    ),
    (
        lambda spec: spec.has_transitions and "preactivation" in spec.order,
        "transition is convolution, which ends with norm and activation, and order is a pre-activation; "
        "set order=original or relu_before_addition, or transition=block",
    ),
    (
        lambda spec: spec.stem.whitening and spec.stem.width != 2 * spec.in_channels * spec.stem.kernel**2,
        "the stem whitens and its width is not 2 · in_channels · kernel²; use residua.networks.spec.whitening_stem",
    ),
    (
        lambda spec: spec.stem.whitening and "preactivation" in spec.order,
        "the stem whitens, which leaves no norm to the first block, and order is a pre-activation; set order=original",
    ),
    (
        lambda spec: any(width % spec.groups for width in spec.widths),
        "groups does not divide every one of the widths; set groups to a common divisor of them",
    ),
    (
        lambda spec: spec.shortcut in PADDING and _narrows(spec),
        "the shortcut pads and a stage has fewer channels than the one before it, where zeros cannot be "
        "appended; set shortcut=projection, or widths that never fall",
    ),
    (
        lambda spec: (
            spec.order == "bn_after_addition"
            and spec.shortcut == "scaled"
            and spec.shortcut_scale == spec.residual_scale
        ),
        "shortcut is scaled by the number that also scales the residual function, and order is bn_after_addition, "
        "whose norm divides it out again; set shortcut=padded, or a shortcut_scale unlike residual_scale",
    ),
    (
        lambda spec: spec.is_plain and spec.initialization in ("zero_last", "scaled_branches"),
        "shortcut is none and initialization zero_last or scaled_branches, which leaves every plain block at zero, "
        "or near it, with no way round it; set initialization=he_fan_out",
    ),
    (
        lambda spec: spec.is_plain and spec.last_survival < 1,
        "shortcut is none and last_survival below 1, and a plain block that is dropped leaves nothing; "
        "set last_survival=1, or a shortcut",
    ),
)
"""Settings that describe no network, or one that another name has, each with the reason and the way out.

Without shortcuts all orders are one network; they stay allowed, since twins exchange weights by name.
"""


def _check_fields(spec: StemSpec | NetworkSpec) -> None:
    """Checks numbers and switches that were set in Python; ``Literal`` fields are left to `check_choices`."""
    for field in fields(spec):
        value, kind = getattr(spec, field.name), str(field.type)
        if field.type is int:
            check(_is_count(value), field.name, value, "a whole number from 1")
        elif field.type is float:
            number = isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
            check(number, field.name, value, "a finite number")
        elif field.type == int | None:
            check(value is None or _is_count(value), field.name, value, "a whole number from 1, or none")
        elif field.type is bool:
            check(isinstance(value, bool), field.name, value, "true or false")
        elif field.type is StemSpec:
            check(isinstance(value, StemSpec), field.name, value, "a StemSpec")
        elif kind.startswith("tuple"):
            fine = isinstance(value, tuple) and len(value) > 0 and all(map(_is_count, value))
            check(fine, field.name, value, "a tuple of whole numbers from 1, such as (2, 2, 2, 2)")


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1
