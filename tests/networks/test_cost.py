"""What networks cost: slow countings beside the fast one; published sizes are in ``test_sizes``."""

import json
import time
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
STAGES = st.lists(st.tuples(st.integers(1, 2), st.sampled_from([4, 6, 8])), min_size=1, max_size=4)
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
    stem = {"width": 4, "kernel": kernel, "stride": stride, "bias": stem_bias}
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
