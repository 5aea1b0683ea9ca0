"""What a drawing says of a network, beside the network itself."""

from dataclasses import replace

import pytest
from torch import Tensor, nn

from residua.networks import catalogue, cost
from residua.networks.blocks import PlainBlock, ResidualBlock
from residua.networks.network import build
from residua.networks.shortcuts import SHORTCUTS, IdentityShortcut, PaddedShortcut
from residua.networks.spec import NetworkSpec, small_stem
from residua.report.anatomy import Anatomy, Box, Column, Fold
from residua.report.dissection import FOLDED_ABOVE, dissect


def of(spec: NetworkSpec | str, side: int | None = None) -> Anatomy:
    spec = catalogue.specification(spec) if isinstance(spec, str) else spec
    side = side or (224 if spec.for_photographs else 32)
    return dissect(spec, cost.inspect(spec, (spec.in_channels, side, side)), name="a network")


def boxes(column: Column) -> list[Box]:
    return [item for item in column.items if isinstance(item, Box)]


@pytest.mark.parametrize("name", ["resnet34", "resnet152", "plain34", "resnet1202", "wrn-28-10", "resnet50d"])
def test_every_block_is_drawn_or_folded(name):
    spec, shown = catalogue.specification(name), of(name)
    stages = shown.columns[1:-1]
    for column, blocks in zip(stages, spec.blocks, strict=True):
        folded = [item.blocks for item in column.items if isinstance(item, Fold)]
        assert len(boxes(column)) + sum(folded) == blocks
        assert (len(column.items) == 4 and folded == [blocks - 3]) == (blocks > FOLDED_ABOVE)
        assert column.notes[1].split()[0] == str(blocks)


@pytest.mark.parametrize("shortcut", [*SHORTCUTS, "none"])
@pytest.mark.parametrize("order", ["original", "full_preactivation"])
def test_a_line_is_solid_where_the_module_passes_its_input_on(shortcut, order):
    spec = NetworkSpec(
        stem=small_stem(8), blocks=(2, 3), widths=(8, 16), shortcut=shortcut, order=order, norm_on_projection=False
    )
    made, shown = build(spec), of(spec)
    for column, stage in zip(shown.columns[1:-1], made.stages, strict=True):
        for box, block in zip(boxes(column), stage.children(), strict=True):
            if isinstance(block, PlainBlock):
                expected = None
            else:
                assert isinstance(block, ResidualBlock)
                parts = list(block.shortcut.modules())
                kinds = (PaddedShortcut, nn.AvgPool2d, nn.MaxPool2d, *(() if "gating" in shortcut else (nn.Conv2d,)))
                expected = "changed" if any(isinstance(part, kinds) for part in parts) else "identity"
                assert expected == "changed" or any(isinstance(part, IdentityShortcut) for part in parts)
            assert box.shortcut == expected
    assert shown.weighed == (shortcut in ("scaled", "exclusive_gating", "shortcut_only_gating", "dropout"))


@pytest.mark.parametrize(
    ("name", "stage", "block", "rows"),
    [
        ("resnet34", 1, 0, ("3×3, 64", "3×3, 64")),
        ("resnet34", 2, 0, ("3×3, 128, /2", "3×3, 128")),
        ("resnet34", 2, 1, ("3×3, 128", "3×3, 128")),
        ("resnet50", 2, 0, ("1×1, 128", "3×3, 128, /2", "1×1, 512")),
        ("resnet164", 2, 0, ("1×1, 32, /2", "3×3, 32", "1×1, 128")),
        ("resnext50_32x4d", 2, 0, ("1×1, 256", "3×3, 256, C=32, /2", "1×1, 512")),
        ("se_resnet18", 1, 0, ("3×3, 64", "3×3, 64", "SE")),
    ],
)
def test_a_box_lists_its_convolutions_as_the_papers_do(name, stage, block, rows):
    assert boxes(of(name).columns[stage])[block].rows == rows


@pytest.mark.parametrize("side", [225, 231, 255])
def test_strides_are_seen_on_sides_that_two_does_not_divide(side):
    for stage, strides in ((1, 0), (2, 1), (3, 1), (4, 1)):
        rows = [row for box in boxes(of("resnet18", side).columns[stage]) for row in box.rows]
        assert sum(row.endswith("/2") for row in rows) == strides


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("resnet18", [("image", "3×224×224"), ("7×7, 64, /2",), ("max pool, /2",)]),
        ("resnet50c", [("image", "3×224×224"), ("3×3, 32, /2", "3×3, 32", "3×3, 64"), ("max pool, /2",)]),
        ("resnet20", [("image", "3×32×32"), ("3×3, 16",)]),
    ],
)
def test_the_stem_is_drawn_with_the_image(name, stem):
    assert [box.rows for box in boxes(of(name).columns[0])] == stem


def test_the_head_shows_the_tail_where_there_is_one():
    rows = [box.rows for box in boxes(of("resnet164-preactivation").columns[-1])]
    assert rows == [("batch norm, relu",), ("average pool",), ("linear, 10",)]
    assert [box.rows for box in boxes(of("resnet20").columns[-1])] == rows[1:]


def test_sizes_and_totals_are_the_inspections():
    shown = of("resnet34")
    assert [column.size for column in shown.columns] == [
        "64×56×56",
        "64×56×56",
        "128×28×28",
        "256×14×14",
        "512×7×7",
        "1000 logits",
    ]
    assert shown.totals == (
        ("34", "weighted layers"),
        ("21.8 M", "parameters"),
        ("3.66 G", "multiply-adds"),
        ("899 px", "receptive field"),
    )


def test_the_inside_is_a_block_that_keeps_its_shape():
    inside = of("wrn-28-10").inside
    assert inside.title == "Inside block 2 of stage 1"
    assert (inside.entry, inside.closing, inside.merge, inside.line) == ((), (), "+", "identity")
    assert inside.residual == ("batch norm", "relu", "3×3, 160", "batch norm", "relu", "3×3, 160")
    assert inside.shortcut == ()


def test_the_inside_shows_what_weighs_the_paths():
    spec = replace(catalogue.specification("resnet20"), shortcut="scaled", shortcut_scale=0.25)
    scaled = of(spec).inside
    assert (scaled.residual[-1], scaled.shortcut) == ("× 0.5", ("× 0.25",))
    gated = of(replace(spec, shortcut="exclusive_gating")).inside
    assert (gated.merge, gated.shortcut) == ("g", ("gate 1×1, 16", "× (1 − g)"))
    deep = of(replace(spec, shortcut="padded", initialization="scaled_branches")).inside
    assert deep.residual[-1] == "× 0.333"


def test_a_plain_network_has_no_way_round():
    inside = of("plain34").inside
    assert (inside.line, inside.shortcut, inside.merge) == (None, (), "")
    assert [sign for sign, _ in of("plain34").legend] == ["/2"]


def test_the_legend_explains_what_is_there_and_nothing_else():
    assert [sign for sign, _ in of("resnet34").legend] == ["identity", "changed", "/2"]
    assert [sign for sign, _ in of("se_resnet50").legend] == ["identity", "changed", "/2", "SE"]
    everywhere = of(replace(catalogue.specification("resnet20"), shortcut="projection_everywhere"))
    assert [sign for sign, _ in everywhere.legend] == ["changed", "/2"]
    one = of(NetworkSpec(stem=small_stem(8), blocks=(1,), widths=(8,)))
    assert one.legend == (("identity", "identity"),)


def test_a_shortcut_that_somebody_added_is_called_by_its_name(monkeypatch):
    class Swapped(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.flip(1)

    monkeypatch.setitem(SHORTCUTS, "swapped_channels", lambda style, shape: Swapped())
    shown = of(NetworkSpec(stem=small_stem(8), blocks=(2,), widths=(8,), shortcut="swapped_channels"))
    assert shown.legend == (("changed", "swapped channels"),)
    assert shown.inside.shortcut == ("Swapped",)
