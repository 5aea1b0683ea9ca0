"""Sizes to the last digit: those of the papers and the peers, and closed formulas beside them."""

from dataclasses import replace
from typing import Any

import pytest

from residua.networks import catalogue, cost

PHOTOGRAPH, SMALL = (3, 224, 224), (3, 32, 32)
A, B, C = "padded", "projection", "projection_everywhere"


@pytest.mark.parametrize(
    ("name", "changes", "parameters"),
    [
        ("resnet18", {}, 11_689_512),
        ("resnet34", {}, 21_797_672),
        ("resnet34", {"shortcut": A}, 21_623_848),
        ("resnet34", {"shortcut": C}, 22_716_840),
        ("resnet50", {}, 25_557_032),
        ("resnet50", {"stride_on": "first"}, 25_557_032),
        ("resnet50", {"shortcut": C}, 40_128_552),
        ("resnet101", {}, 44_549_160),
        ("resnet152", {}, 60_192_808),
        ("resnet200", {}, 64_673_832),
        ("resnet20", {}, 269_722),
        ("resnet20", {"shortcut": B}, 272_474),
        ("resnet20", {"shortcut": C}, 283_962),
        ("resnet32", {}, 464_154),
        ("resnet32", {"shortcut": B}, 466_906),
        ("resnet32", {"shortcut": C}, 489_594),
        ("resnet44", {}, 658_586),
        ("resnet44", {"shortcut": B}, 661_338),
        ("resnet44", {"shortcut": C}, 695_226),
        ("resnet56", {}, 853_018),
        ("resnet56", {"shortcut": B}, 855_770),
        ("resnet56", {"shortcut": C}, 900_858),
        ("resnet110", {}, 1_727_962),
        ("resnet110", {"shortcut": B}, 1_730_714),
        ("resnet110", {"shortcut": C}, 1_826_202),
        ("resnet1202", {}, 19_421_274),
        ("resnet1202", {"shortcut": B}, 19_424_026),
        ("resnet1202", {"shortcut": C}, 20_538_714),
        ("resnet164", {}, 1_704_154),
        ("resnet164-preactivation", {}, 1_703_258),
        ("resnet1001", {}, 10_328_602),
        ("resnet1001-preactivation", {}, 10_327_706),
        ("resnet18-small-stem", {}, 11_173_962),
        ("resnet18-textbook", {}, 11_178_378),
        ("resnet34-no-norm", {}, 21_378_760),
        ("wide_resnet50_2", {}, 68_883_240),
        ("wide_resnet101_2", {}, 126_886_696),
        ("resnext50_32x4d", {}, 25_028_904),
        ("resnext101_32x8d", {}, 88_791_336),
        ("resnext101_64x4d", {}, 83_455_272),
        ("resnet50c", {}, 25_576_264),
        ("resnet50d", {}, 25_576_264),
        ("se_resnet18", {}, 11_778_592),
        ("se_resnet34", {}, 21_958_868),
        ("se_resnet50", {}, 28_088_024),
        ("se_resnet101", {}, 49_326_872),
        ("wrn-16-4", {}, 2_748_890),
        ("wrn-16-8", {}, 10_961_370),
        ("wrn-28-10", {}, 36_479_194),
        ("wrn-40-4", {}, 8_949_210),
    ],
)
def test_parameters_come_out_exactly(name: str, changes: dict[str, Any], parameters: int) -> None:
    """Wide networks and ResNeXt: ``num_params`` of torchvision's weights; SE, ResNet-D and WRN-28-10: pytorchcv's
    ``weight_count``; those that nobody publishes to the last digit follow from the closed formula below.
    """
    assert cost.parameters(replace(catalogue.specification(name), **changes)) == parameters


@pytest.mark.parametrize(
    ("name", "changes", "image", "multiply_adds"),
    [
        ("resnet18", {}, PHOTOGRAPH, 1_814_073_344),
        ("resnet34", {}, PHOTOGRAPH, 3_663_761_408),
        ("resnet50", {}, PHOTOGRAPH, 4_089_184_256),
        ("resnet50", {"stride_on": "first"}, PHOTOGRAPH, 3_857_973_248),
        ("resnet20", {}, SMALL, 40_551_040),
        ("resnet164", {}, SMALL, 244_500_992),
        ("resnet164-preactivation", {}, SMALL, 244_500_992),
        ("wide_resnet50_2", {}, PHOTOGRAPH, 11_398_021_120),
        ("wide_resnet101_2", {}, PHOTOGRAPH, 22_753_050_624),
        ("resnext50_32x4d", {}, PHOTOGRAPH, 4_230_479_872),
        ("resnext101_32x8d", {}, PHOTOGRAPH, 16_414_015_488),
        ("resnext101_64x4d", {}, PHOTOGRAPH, 15_460_270_080),
    ],
)
def test_multiply_adds_come_out_exactly(
    name: str, changes: dict[str, Any], image: cost.Shape, multiply_adds: int
) -> None:
    assert cost.multiply_adds(replace(catalogue.specification(name), **changes), image) == multiply_adds


@pytest.mark.parametrize(
    ("name", "changes", "image", "published", "digit"),
    [
        ("resnet34", {"shortcut": A}, PHOTOGRAPH, 3.644e9, 1e6),
        ("resnet34", {"shortcut": C}, PHOTOGRAPH, 3.831e9, 1e6),
        ("resnet101", {}, PHOTOGRAPH, 7.801e9, 1e6),
        ("resnet101", {"stride_on": "first"}, PHOTOGRAPH, 7.570e9, 1e6),
        ("resnet152", {}, PHOTOGRAPH, 11.514e9, 1e6),
        ("resnet152", {"stride_on": "first"}, PHOTOGRAPH, 11.282e9, 1e6),
        ("resnet200", {}, PHOTOGRAPH, 15.007e9, 1e6),
        ("resnet200", {"stride_on": "first"}, PHOTOGRAPH, 14.776e9, 1e6),
        ("resnet32", {}, SMALL, 68.9e6, 1e5),
        ("resnet44", {}, SMALL, 97.2e6, 1e5),
        ("resnet56", {}, SMALL, 125.5e6, 1e5),
        ("resnet110", {}, SMALL, 252.9e6, 1e5),
        ("resnet1202", {}, SMALL, 2829e6, 1e6),
        ("resnet164", {"stride_on": "3x3"}, SMALL, 247.6e6, 1e5),
        ("resnet1001", {}, SMALL, 1488e6, 1e6),
        ("resnet1001", {"stride_on": "3x3"}, SMALL, 1491e6, 1e6),
        ("resnet18-small-stem", {}, SMALL, 555.4e6, 1e5),
        ("wide_resnet50_2", {}, PHOTOGRAPH, 11.398e9, 1e6),
        ("wide_resnet101_2", {}, PHOTOGRAPH, 22.753e9, 1e6),
        ("resnext50_32x4d", {}, PHOTOGRAPH, 4.23e9, 1e7),
        ("resnext101_32x8d", {}, PHOTOGRAPH, 16.414e9, 1e6),
        ("resnext101_64x4d", {}, PHOTOGRAPH, 15.46e9, 1e7),
    ],
)
def test_multiply_adds_round_to_the_published_digits(
    name: str, changes: dict[str, Any], image: cost.Shape, published: float, digit: float
) -> None:
    """Among them ``_ops`` of torchvision's weights, in 10⁹."""
    spec = replace(catalogue.specification(name), **changes)
    assert abs(cost.multiply_adds(spec, image) - published) <= digit / 2


Size = tuple[int, int]
"""Parameters and multiply-adds."""


def total(*sizes: Size) -> Size:
    return sum(parameters for parameters, _ in sizes), sum(products for _, products in sizes)


def weights(number: int, side: int, beside: int = 0) -> Size:
    """So many weights, each used at side² positions, and parameters beside them that multiply nothing."""
    return number + beside, number * side**2


def bottlenecks(
    blocks: tuple[int, ...], *, width: int = 64, groups: int = 1, excited: bool = False, deep: bool = False
) -> Size:
    """He et al. 2015, Table 1, from n blocks a stage: 224×224, 1000 classes, the stride on the 3×3.

    Stage s has w = 2ˢ·width and C = 2ˢ·256 channels on maps of S = 56/2ˢ a side and reads I channels; with groups
    the 3×3 has 9w²/g weights, and an excitation has C·C/16 weights twice, at one position.
    """
    stem = (27 * 32 + 9 * 32 * 32 + 9 * 32 * 64, 2 * (32 + 32 + 64)) if deep else (3 * 49 * 64, 2 * 64)
    parts = [weights(stem[0], 112, stem[1]), weights(2048 * 1000, 1, 1000)]
    for stage, count in enumerate(blocks):
        w, c, side = width * 2**stage, 256 * 2**stage, 56 // 2**stage
        into, larger = (64, 56) if stage == 0 else (c // 2, 2 * side)
        square = 9 * w * w // groups
        parts += [weights(into * w, larger, 2 * w), weights(square + w * c + into * c, side, 2 * (w + c + c))]
        parts += (count - 1) * [weights(c * w + square + w * c, side, 2 * (w + w + c))]
        parts += count * [weights(2 * c * (c // 16), 1, c // 16 + c)] * excited
    return total(*parts)


def excited_basic_blocks(blocks: tuple[int, ...]) -> Size:
    """Hu et al. 2018 on He et al. 2015, Table 1, 18 and 34 layers: w = 64·2ˢ channels; 224×224, 1000 classes."""
    parts = [weights(3 * 49 * 64, 112, 2 * 64), weights(512 * 1000, 1, 1000)]
    for stage, count in enumerate(blocks):
        w, side = 64 * 2**stage, 56 // 2**stage
        changes = stage > 0
        into = w // 2 if changes else w
        parts += [weights(9 * into * w + 9 * w * w + changes * into * w, side, (4 + 2 * changes) * w)]
        parts += (count - 1) * [weights(2 * 9 * w * w, side, 4 * w)]
        parts += count * [weights(2 * w * (w // 16), 1, w // 16 + w)]
    return total(*parts)


def wide(depth: int, factor: int) -> Size:
    """Zagoruyko and Komodakis 2016, Table 1: 32×32, 10 classes, w = 16k·2ˢ; the norm before the first convolution
    counts the channels that come in, and one more norm stands before the pool.
    """
    last = 64 * factor
    parts = [weights(27 * 16, 32), weights(10 * last, 1, 10 + 2 * last)]
    for stage in range(3):
        w, side = 16 * factor * 2**stage, 32 // 2**stage
        into = 16 if stage == 0 else w // 2
        parts += [weights(9 * into * w + 9 * w * w + into * w, side, 2 * into + 2 * w)]
        parts += ((depth - 4) // 6 - 1) * [weights(2 * 9 * w * w, side, 4 * w)]
    return total(*parts)


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("resnet50", bottlenecks((3, 4, 6, 3))),
        ("wide_resnet50_2", bottlenecks((3, 4, 6, 3), width=128)),
        ("wide_resnet101_2", bottlenecks((3, 4, 23, 3), width=128)),
        ("resnext50_32x4d", bottlenecks((3, 4, 6, 3), width=128, groups=32)),
        ("resnext101_32x8d", bottlenecks((3, 4, 23, 3), width=256, groups=32)),
        ("resnext101_64x4d", bottlenecks((3, 4, 23, 3), width=256, groups=64)),
        ("resnet50c", bottlenecks((3, 4, 6, 3), deep=True)),
        ("resnet50d", bottlenecks((3, 4, 6, 3), deep=True)),
        ("se_resnet18", excited_basic_blocks((2, 2, 2, 2))),
        ("se_resnet34", excited_basic_blocks((3, 4, 6, 3))),
        ("se_resnet50", bottlenecks((3, 4, 6, 3), excited=True)),
        ("se_resnet101", bottlenecks((3, 4, 23, 3), excited=True)),
        ("wrn-16-4", wide(16, 4)),
        ("wrn-16-8", wide(16, 8)),
        ("wrn-28-10", wide(28, 10)),
        ("wrn-40-4", wide(40, 4)),
    ],
)
def test_sizes_follow_from_the_tables_of_the_papers(name: str, size: Size) -> None:
    spec = catalogue.specification(name)
    inspection = cost.inspect(spec, PHOTOGRAPH if spec.for_photographs else SMALL)
    assert (inspection.parameters, inspection.multiply_adds) == size


@pytest.mark.parametrize(
    ("name", "changes", "side"),
    [
        ("resnet18", {}, 435),
        ("resnet34", {}, 899),
        ("resnet50", {}, 427),
        ("resnet50", {"stride_on": "first"}, 483),
        ("resnet101", {}, 971),
        ("resnet101", {"stride_on": "first"}, 1027),
        ("resnet152", {}, 1451),
        ("resnet50c", {}, 431),
        ("resnet50d", {}, 431),
        ("wide_resnet50_2", {}, 427),
        ("se_resnet50", {}, 427),
        ("resnet152", {"stride_on": "first"}, 1507),
        ("resnet20", {}, 81),
        ("resnet56", {}, 249),
        ("resnet110", {}, 501),
        ("plain110", {}, 501),
    ],
)
def test_receptive_fields_come_out_exactly(name: str, changes: dict[str, Any], side: int) -> None:
    """A deep stem sees 3 + 2·(2 + 2) = 11 pixels, four more than a 7×7; an excitation's view of all is not counted."""
    assert cost.receptive_field(replace(catalogue.specification(name), **changes)) == side
