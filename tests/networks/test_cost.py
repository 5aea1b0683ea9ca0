"""What networks cost: the papers' and the peers' published sizes, and slow countings beside the fast one."""

import json
import time
from dataclasses import replace
from typing import Any, get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from residua.errors import BadNetwork
from residua.networks import catalogue, cost
from residua.networks.blocks import PlainBlock, ResidualBlock
from residua.networks.network import ResidualNetwork, build
from residua.networks.shortcuts import PADDING, SHORTCUTS
from residua.networks.spec import Initialization, NetworkSpec, Order, StemSpec, photograph_stem, small_stem

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


@pytest.mark.parametrize("name", catalogue.names())
def test_the_layers_that_count_are_as_many_as_the_depth(name: str) -> None:
    spec = catalogue.specification(name)
    assert cost.inspect(spec, (spec.in_channels, 40, 40)).depth == spec.depth


@pytest.mark.parametrize(
    "name",
    [
        *("resnet18", "resnet50", "resnet164-preactivation", "resnet34-pooled"),
        *("resnet50d", "resnext50_32x4d", "se_resnet18", "wrn-16-4"),
    ],
)
def test_a_plain_twin_costs_what_is_left_without_the_projections(name: str) -> None:
    spec = catalogue.specification(name)
    own, twin = cost.inspect(spec, (3, 32, 32)), cost.inspect(spec.plain_twin(), (3, 32, 32))
    beside = [row for row in own.layers if "shortcut" in row.name]
    assert beside
    assert twin.layers == tuple(row for row in own.layers if row not in beside)


STEMS = st.tuples(st.sampled_from([1, 3, 5, 7]), st.integers(1, 3), st.booleans(), st.booleans(), st.integers(1, 3))
STAGES = st.lists(st.tuples(st.integers(1, 2), st.sampled_from([2, 4, 6])), min_size=1, max_size=4)
STARTS: tuple[Initialization, ...] = ("he_fan_out", "identity", "skipinit", "fixup")


@st.composite
def odd_settings(draw: st.DrawFn) -> dict[str, Any]:
    """A network of any number of stages behind any stem, grey or colour, of every order, shortcut, norm and start."""
    kernel, stride, stem_bias, pool, convolutions = draw(STEMS)
    counts, widths = zip(*draw(STAGES), strict=True)
    shortcut, order = draw(st.sampled_from(["none", *SHORTCUTS])), draw(st.sampled_from(get_args(Order)))
    bottleneck = draw(st.booleans())
    start = draw(st.sampled_from(STARTS)) if order in ("original", "full_preactivation") else "skipinit"
    bare = ["none"] if order not in ("bn_after_addition", "relu_only_preactivation") else []
    norm = "none" if start == "fixup" else draw(st.sampled_from(["batch", "group", *bare]))
    stem = {"width": 2, "kernel": kernel, "stride": stride, "bias": stem_bias}
    return {
        "stem": stem | {"pool": pool, "convolutions": convolutions},
        "blocks": counts,
        "widths": tuple(sorted(widths)) if shortcut in PADDING else widths,
        "block": "bottleneck" if bottleneck else "basic",
        "groups": draw(st.integers(1, 2)) if bottleneck else 1,
        "squeeze_excitation": draw(st.sampled_from([None, 2])),
        "order": order,
        "shortcut": shortcut,
        "shortcut_scale": 0.25,
        "last_survival": 0.5 if shortcut != "none" and draw(st.booleans()) else 1.0,
        "norm": norm,
        "norm_groups": 1,
        "norm_on_projection": norm != "none" and order != "full_preactivation",
        "bias": draw(st.booleans()),
        "stride_on": "first" if bottleneck and stem_bias else "3x3",
        "initialization": start,
        "in_channels": 1 if draw(st.booleans()) else 3,
        "classes": 3,
    }


@settings(max_examples=80, deadline=None)
@given(odd=odd_settings(), more=st.tuples(st.integers(0, 9), st.integers(0, 9)))
def test_any_network_runs_and_costs_what_its_layers_do(odd: dict[str, Any], more: tuple[int, int]) -> None:
    """Counted slowly beside: every layer's output as it comes out, and its products from the definition."""
    spec = NetworkSpec(**{**odd, "stem": StemSpec(**odd["stem"])})
    image = (spec.in_channels, spec.smallest_side + more[0], spec.smallest_side + more[1])
    network = build(spec, seed=0).eval()
    shapes: dict[str, tuple[int, ...]] = {}
    products: dict[str, int] = {}

    def look(name: str) -> Any:
        def hook(module: nn.Module, _: Any, output: torch.Tensor) -> None:
            shapes[name] = tuple(output.shape[1:])
            if isinstance(module, nn.Conv2d):
                a_number = module.in_channels // module.groups * module.kernel_size[0] * module.kernel_size[1]
                products[name] = output.numel() * a_number
            elif isinstance(module, nn.Linear):
                products[name] = module.in_features * module.out_features

        return hook

    for name, module in network.named_modules():
        module.register_forward_hook(look(name))
    assert network(torch.zeros(1, *image)).shape == (1, 3)
    inspection = cost.inspect(network, image)
    for row in inspection.layers:
        if row.name == "pool":
            continue
        assert row.shape[: len(shapes[row.name])] == shapes[row.name], row.name
        inside = [number for name, number in products.items() if f"{name}.".startswith(f"{row.name}.")]
        assert row.multiply_adds == sum(inside), row.name
    assert inspection == cost.inspect(spec, image)
    assert inspection.depth == spec.depth
    assert inspection.parameters == sum(parameter.numel() for parameter in network.parameters())
    assert inspection.parameters == sum(stage.parameters for stage in inspection.stages)
    assert inspection.multiply_adds == sum(stage.multiply_adds for stage in inspection.stages)
    assert inspection.multiply_adds == sum(products.values())


def depends_on(spec: NetworkSpec, size: int) -> int:
    """Finds by gradients how many pixels in a row the middle position before the pool depends on.

    Every weight is positive and nothing is negative, so that no dependence can cancel or be cut by a ReLU.
    """
    network = build(spec, seed=0).double().eval()
    for name, parameter in network.named_parameters():
        torch.nn.init.constant_(parameter, 0.5 if "bias" in name else 0.1)
    for block in network.modules():
        if isinstance(block, ResidualBlock | PlainBlock):
            block.register_forward_hook(lambda _module, _inputs, output: output / output.detach().amax())
    images = torch.ones(1, spec.in_channels, size, size, dtype=torch.float64, requires_grad=True)
    maps = network.feature_maps(images)
    (gradient,) = torch.autograd.grad(maps[0, :, maps.shape[2] // 2, maps.shape[3] // 2].sum(), images)
    return int((gradient.abs().sum((0, 1, 2)) > 0).sum())


@pytest.mark.parametrize(
    "spec",
    [
        NetworkSpec(stem=small_stem(2), blocks=(2, 1, 1), widths=(2, 2, 2), shortcut="padded"),
        NetworkSpec(
            stem=StemSpec(width=2, kernel=5, stride=2),
            blocks=(1, 2),
            widths=(2, 2),
            shortcut="average_pooled",
        ),
        NetworkSpec(stem=StemSpec(width=2, kernel=7), blocks=(1, 2), widths=(2, 2), block="bottleneck"),
        NetworkSpec(
            stem=small_stem(2),
            blocks=(1, 2),
            widths=(2, 2),
            block="bottleneck",
            stride_on="first",
            shortcut="none",
        ),
        NetworkSpec(
            stem=StemSpec(width=2, stride=2, convolutions=3),
            blocks=(1, 2),
            widths=(2, 2),
            order="relu_before_addition",
            shortcut="padded",
        ),
    ],
    ids=["basic", "option D", "bottleneck", "first 1×1", "deep stem, ReLU before the addition"],
)
def test_the_receptive_field_is_what_the_output_depends_on(spec: NetworkSpec) -> None:
    assert depends_on(spec, 96) == cost.receptive_field(spec)


def test_a_stage_says_where_it_ends() -> None:
    inspection = cost.inspect(catalogue.specification("resnet50"), PHOTOGRAPH)
    shapes = {row.name: row.shape for row in inspection.stages}
    assert shapes == {
        "stem": (64, 56, 56),
        "stage 1": (256, 56, 56),
        "stage 2": (512, 28, 28),
        "stage 3": (1024, 14, 14),
        "stage 4": (2048, 7, 7),
        "head": (1000, 1, 1),
    }
    assert inspection.stages[3].kind == "6 bottleneck blocks"
    assert inspection.stages[-2].receptive_field == inspection.receptive_field == 427


def test_a_preactivation_network_has_a_tail() -> None:
    inspection = cost.inspect(catalogue.specification("resnet164-preactivation"), SMALL)
    assert [row.name for row in inspection.stages][-2:] == ["tail", "head"]
    assert inspection.stages[-2].parameters == 2 * 256


def test_the_global_pool_sees_all_positions() -> None:
    """Receptive field r, n positions a side at a distance of j pixels: r + (n − 1)·j."""
    pool = cost.inspect(catalogue.specification("resnet20"), SMALL).layers[-2]
    assert (pool.name, pool.shape, pool.receptive_field) == ("pool", (64, 1, 1), 81 + 7 * 4)


def test_an_inspection_is_json() -> None:
    inspection = cost.inspect(catalogue.specification("resnet8"), SMALL)
    read = json.loads(json.dumps(inspection.to_json()))
    assert read["parameters"] == inspection.parameters
    assert read["layers"][0]["name"] == "stem.convolution"
    assert read["layers"][0]["shape"] == [16, 32, 32]
    assert len(read["stages"]) == 5


def test_unfit_images_are_refused() -> None:
    spec = NetworkSpec(stem=photograph_stem(2), blocks=(1, 1, 1, 1), widths=(2, 2, 2, 2))
    with pytest.raises(BadNetwork, match="shrink to nothing"):
        cost.inspect(spec, (3, 16, 16))
    with pytest.raises(BadNetwork, match="channels"):
        cost.inspect(spec, (1, 64, 64))


class TwiceFolded(nn.Module):
    """A module that the library does not know: two 3×3 convolutions, the second of every second position."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, 2 * channels, 3, padding=1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(self.first(x)[:, :, ::2, ::2])


def with_end_of_first_stage(module: nn.Module) -> ResidualNetwork:
    network = build(catalogue.specification("resnet8"), seed=0)
    network.stages[0] = nn.Sequential(network.stages[0], module)
    return network


def test_a_layer_that_is_not_known_is_asked_for_its_cost() -> None:
    """Nothing is computed on its weights, and it is left where it is."""
    module = TwiceFolded(16)
    network = with_end_of_first_stage(module)
    network.stages[1] = nn.Identity()
    (row,) = [row for row in cost.inspect(network, SMALL).layers if row.name == "stages.0.1"]
    assert (row.kind, row.shape, row.parameters) == ("TwiceFolded", (32, 16, 16), 16 * 16 * 9 + 16 + 16 * 32 * 9)
    assert row.multiply_adds == 16 * 16 * 9 * 32 * 32 + 16 * 32 * 9 * 16 * 16
    assert next(module.parameters()).device.type == "cpu"


@pytest.mark.parametrize(
    ("module", "words"),
    [
        (nn.Flatten(), r"stages\.0\.1 \(Flatten\) gives \(1, 16384\), not \[b, c, h, w\]"),
        (TwiceFolded(8), r"stages\.0\.1 \(TwiceFolded\) cannot take \(16, 32, 32\)"),
        (nn.Bilinear(2, 2, 2), r"stages\.0\.1 \(Bilinear\) cannot take"),
    ],
)
def test_a_layer_of_unknown_cost_is_refused_by_its_place(module: nn.Module, words: str) -> None:
    with pytest.raises(BadNetwork, match=words):
        cost.inspect(with_end_of_first_stage(module), SMALL)


def test_1202_layers_are_inspected_within_seconds() -> None:
    began = time.process_time()
    cost.inspect(catalogue.specification("resnet1202"), SMALL)
    assert time.process_time() - began < 5
