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
from residua.networks.network import build
from residua.networks.spec import NetworkSpec, ShortcutKind, StemSpec, photograph_stem, small_stem

PHOTOGRAPH, SMALL = (3, 224, 224), (3, 32, 32)
A: ShortcutKind = "padded"
B: ShortcutKind = "projection"
C: ShortcutKind = "projection_everywhere"


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
    ],
)
def test_parameters_come_out_exactly(name: str, changes: dict[str, Any], parameters: int) -> None:
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
    ],
)
def test_multiply_adds_round_to_the_published_digits(
    name: str, changes: dict[str, Any], image: cost.Shape, published: float, digit: float
) -> None:
    spec = replace(catalogue.specification(name), **changes)
    assert abs(cost.multiply_adds(spec, image) - published) <= digit / 2


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
        ("resnet152", {"stride_on": "first"}, 1507),
        ("resnet20", {}, 81),
        ("resnet56", {}, 249),
        ("resnet110", {}, 501),
        ("plain110", {}, 501),
    ],
)
def test_receptive_fields_come_out_exactly(name: str, changes: dict[str, Any], side: int) -> None:
    assert cost.receptive_field(replace(catalogue.specification(name), **changes)) == side


@pytest.mark.parametrize("name", catalogue.names())
def test_the_layers_that_count_are_as_many_as_the_depth(name: str) -> None:
    spec = catalogue.specification(name)
    assert cost.inspect(spec, (spec.in_channels, 40, 40)).depth == spec.depth


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "resnet20", "resnet164-preactivation", "resnet34-pooled"])
def test_a_plain_twin_costs_what_is_left_without_the_projections(name: str) -> None:
    spec = catalogue.specification(name)
    own, twin = cost.inspect(spec, (3, 32, 32)), cost.inspect(spec.plain_twin(), (3, 32, 32))
    beside = [row for row in own.layers if "shortcut" in row.name]
    assert beside
    assert twin.layers == tuple(row for row in own.layers if row not in beside)


STEMS = st.tuples(st.sampled_from([1, 3, 5, 7]), st.integers(1, 3), st.booleans(), st.booleans())
STAGES = st.lists(st.tuples(st.integers(1, 2), st.integers(2, 4)), min_size=1, max_size=4)
SHORTCUTS = st.sampled_from(get_args(ShortcutKind))
SWITCHES = st.tuples(st.booleans(), st.booleans(), st.booleans(), st.booleans(), st.booleans())


def odd_spec(
    stem: tuple[int, int, bool, bool],
    stages: list[tuple[int, int]],
    shortcut: ShortcutKind,
    switches: tuple[bool, bool, bool, bool, bool],
) -> NetworkSpec:
    """A network of any number of stages behind any stem, grey or colour."""
    kernel, stride, stem_bias, pool = stem
    bottleneck, preactivation, norm, bias, grey = switches
    widths = [width for _, width in stages]
    return NetworkSpec(
        stem=StemSpec(width=2, kernel=kernel, stride=stride, bias=stem_bias, pool=pool),
        blocks=tuple(count for count, _ in stages),
        widths=tuple(sorted(widths) if shortcut == "padded" else widths),
        block="bottleneck" if bottleneck else "basic",
        order="full_preactivation" if preactivation else "original",
        shortcut=shortcut,
        norm="batch" if norm else "none",
        norm_on_projection=norm and not preactivation,
        bias=bias,
        stride_on="first" if bottleneck and stem_bias else "3x3",
        in_channels=1 if grey else 3,
        classes=3,
    )


@settings(max_examples=60, deadline=None)
@given(
    stem=STEMS,
    stages=STAGES,
    shortcut=SHORTCUTS,
    switches=SWITCHES,
    more=st.tuples(st.integers(0, 9), st.integers(0, 9)),
)
def test_any_network_runs_and_costs_what_its_layers_do(
    stem: tuple[int, int, bool, bool],
    stages: list[tuple[int, int]],
    shortcut: ShortcutKind,
    switches: tuple[bool, bool, bool, bool, bool],
    more: tuple[int, int],
) -> None:
    """Counted slowly beside: every layer's output as it comes out, and its products from the definition."""
    spec = odd_spec(stem, stages, shortcut, switches)
    image = (spec.in_channels, spec.smallest_side + more[0], spec.smallest_side + more[1])
    network = build(spec, seed=0).eval()
    seen: dict[str, tuple[tuple[int, ...], int]] = {}

    def look(name: str) -> Any:
        def hook(module: nn.Module, _: Any, output: torch.Tensor) -> None:
            products = 0
            if isinstance(module, nn.Conv2d):
                a_number = module.in_channels * module.kernel_size[0] * module.kernel_size[1]
                products = output.numel() * a_number
            elif isinstance(module, nn.Linear):
                products = module.in_features * module.out_features
            seen[name] = tuple(output.shape[1:]), products

        return hook

    for name, module in network.named_modules():
        module.register_forward_hook(look(name))
    assert network(torch.zeros(1, *image)).shape == (1, 3)
    inspection = cost.inspect(network, image)
    for row in inspection.layers:
        if row.name == "pool":
            continue
        shape, products = seen[row.name]
        assert row.shape[: len(shape)] == shape, row.name
        assert row.multiply_adds == products, row.name
    assert inspection == cost.inspect(spec, image)
    assert inspection.parameters == sum(parameter.numel() for parameter in network.parameters())
    assert inspection.parameters == sum(stage.parameters for stage in inspection.stages)
    assert inspection.multiply_adds == sum(stage.multiply_adds for stage in inspection.stages)
    assert inspection.multiply_adds == sum(products for _, products in seen.values())


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
    ],
    ids=["basic", "option D", "bottleneck", "first 1×1"],
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


def test_a_layer_of_unknown_cost_is_refused_by_its_place() -> None:
    network = build(catalogue.specification("resnet8"), seed=0)
    network.stages[0] = nn.Sequential(network.stages[0], nn.Flatten())
    with pytest.raises(BadNetwork, match=r"stages\.0\.1 is a Flatten"):
        cost.inspect(network, SMALL)


def test_1202_layers_are_inspected_within_seconds() -> None:
    began = time.process_time()
    cost.inspect(catalogue.specification("resnet1202"), SMALL)
    assert time.process_time() - began < 5
