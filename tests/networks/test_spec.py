"""What a specification says of its network, and what it refuses."""

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from residua.configuration import from_json, setting_names, to_json, with_settings
from residua.errors import BadNetwork, BadSetting
from residua.networks import catalogue
from residua.networks.spec import (
    CONTRADICTIONS,
    Initialization,
    NetworkSpec,
    StemSpec,
    deep_stem,
    photograph_stem,
    small_stem,
    whitening_stem,
)

SPEC = NetworkSpec(stem=small_stem(8), blocks=(1, 2), widths=(8, 16))


@pytest.mark.parametrize("name", catalogue.names())
def test_a_specification_survives_json(name: str) -> None:
    spec = catalogue.specification(name)
    assert from_json(NetworkSpec, to_json(spec)) == spec


def test_settings_change_single_fields_of_network_and_stem() -> None:
    changed = with_settings(SPEC, ["blocks=3,3", "stem.bias=true", "activation=prelu"])
    assert (changed.blocks, changed.stem.bias, changed.activation) == ((3, 3), True, "prelu")
    assert "stem.kernel" in setting_names(SPEC)


@pytest.mark.parametrize(
    ("field", "value", "allowed"),
    [
        ("blocks", [1, 2], "a tuple"),
        ("blocks", (), "a tuple"),
        ("blocks", (1, 0), "a tuple"),
        ("widths", (8, 1.5), "a tuple"),
        ("classes", 0, "whole number from 1"),
        ("classes", True, "whole number from 1"),
        ("in_channels", "3", "whole number from 1"),
        ("bias", 1, "true or false"),
        ("stem", "small", "StemSpec"),
        ("block", "botleneck", "did you mean 'bottleneck'"),
        ("order", "preactivation", "full_preactivation"),
        ("shortcut", "identity", "projection_everywhere"),
        ("activation", "gellu", "gelu"),
        ("initialization", "he", "he_fan_out"),
        ("initialization", "fix_up", "did you mean 'fixup'"),
        ("order", "bn_after_adition", "did you mean 'bn_after_addition'"),
        ("norm", "layer", "group"),
        ("shortcut", "shortcut_only_gate", "did you mean 'shortcut_only_gating'"),
        ("shortcut", 3, "projection"),
        ("groups", 0, "whole number from 1"),
        ("bottleneck_expansion", 1.5, "whole number from 1"),
        ("norm_groups", 0, "whole number from 1"),
        ("squeeze_excitation", 0, "whole number from 1, or none"),
        ("squeeze_excitation", True, "whole number from 1, or none"),
        ("shortcut_scale", "half", "finite number"),
        ("shortcut_scale", 0, "any number but 0"),
        ("residual_scale", 0.0, "any number but 0"),
        ("residual_scale", math.inf, "finite number"),
        ("gate_bias", math.nan, "finite number"),
        ("shortcut_dropout", 1.0, "0 up to but not 1"),
        ("shortcut_dropout", -0.1, "0 up to but not 1"),
        ("last_survival", 0.0, "above 0, up to 1"),
        ("last_survival", 1.5, "above 0, up to 1"),
        ("last_survival", True, "finite number"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_a_value_that_no_field_takes_is_refused(field: str, value: Any, allowed: str) -> None:
    changes: dict[str, Any] = {field: value}
    with pytest.raises(BadSetting, match=allowed) as refusal:
        replace(SPEC, **changes)
    assert field in str(refusal.value)


@pytest.mark.parametrize(
    ("field", "value"), [("kernel", 4), ("kernel", 0), ("stride", 0), ("width", -1), ("convolutions", 0)]
)
def test_a_stem_that_is_none_is_refused(field: str, value: int) -> None:
    with pytest.raises(BadSetting, match=f"{field} is {value}"):
        replace(SPEC.stem, **{field: value})


def test_a_deep_stem_halves_an_even_width() -> None:
    """He et al. 2019, Fig. 2b: 32, 32, 64 channels."""
    with pytest.raises(BadSetting, match="width is 7; allowed: an even whole number"):
        StemSpec(width=7, convolutions=3)
    assert deep_stem(6).strides == (2, 1, 1, 2)


BARE = {"norm": "none", "norm_on_projection": False}

REFUSED: tuple[tuple[dict[str, Any], str], ...] = (
    ({"norm": "none"}, "set norm_on_projection=false, or norm=batch"),
    ({"order": "full_preactivation"}, "set norm_on_projection=false, or order=original"),
    ({"order": "bn_after_addition", **BARE}, "set order=original, or norm=batch"),
    ({"order": "relu_only_preactivation", **BARE}, "set order=full_preactivation, or norm=batch"),
    ({"order": "relu_before_addition", "initialization": "zero_last"}, "set initialization=skipinit"),
    ({"initialization": "fixup"}, "set norm=none, or initialization=he_fan_out"),
    ({"stride_on": "first"}, "set stride_on=3x3, or block=bottleneck"),
    ({"groups": 2}, "set groups=1, or block=bottleneck"),
    (
        {"initialization": "fixup", "block": "single", **BARE},
        "set block=basic and transition=block, or initialization=skipinit",
    ),
    (
        {"transition": "convolution", "order": "full_preactivation", "norm_on_projection": False},
        "set order=original or relu_before_addition, or transition=block",
    ),
    ({"stem": whitening_stem(1)}, "use residua.networks.spec.whitening_stem"),
    (
        {"stem": whitening_stem(3), "order": "full_preactivation", "norm_on_projection": False},
        "which leaves no norm to the first block, and order is a pre-activation; set order=original",
    ),
    ({"groups": 3, "block": "bottleneck"}, "set groups to a common divisor of them"),
    ({"shortcut": "padded", "widths": (16, 8)}, "set shortcut=projection, or widths that never fall"),
    ({"shortcut": "scaled", "order": "bn_after_addition"}, "set shortcut=padded, or a shortcut_scale unlike"),
    ({"shortcut": "none", "initialization": "zero_last"}, "set initialization=he_fan_out"),
    ({"shortcut": "none", "last_survival": 0.5}, "set last_survival=1, or a shortcut"),
)


@pytest.mark.parametrize(("changes", "way_out"), REFUSED)
def test_settings_that_contradict_each_other_are_refused_with_the_way_out(
    changes: dict[str, Any], way_out: str
) -> None:
    with pytest.raises(BadNetwork, match=way_out):
        replace(SPEC, **changes)


def test_every_contradiction_of_the_table_is_met_once() -> None:
    """Each refusal above comes from another line of the table."""
    assert len(REFUSED) == len(CONTRADICTIONS)
    for (changes, way_out), (_, message) in zip(REFUSED, CONTRADICTIONS, strict=True):
        assert way_out in message, changes


@pytest.mark.parametrize(
    "changes",
    [
        BARE,
        {"norm": "none", "shortcut": "padded"},
        {"norm": "none", "shortcut": "none"},
        {"norm": "group"},
        {"order": "full_preactivation", "shortcut": "padded"},
        {"order": "full_preactivation", "norm_on_projection": False},
        {"order": "relu_before_addition", **BARE},
        {"order": "relu_before_addition", "initialization": "skipinit"},
        {"order": "relu_only_preactivation", "initialization": "zero_last"},
        {"initialization": "fixup", **BARE},
        {"block": "bottleneck", "stride_on": "first"},
        {"block": "bottleneck", "groups": 8},
        {"shortcut": "padded", "widths": (8, 8)},
        {"shortcut": "projection", "widths": (16, 8)},
        {"shortcut": "scaled", "order": "bn_after_addition", "shortcut_scale": 1.0},
        {"shortcut": "none", "order": "bn_after_addition"},
        {"initialization": "zero_last"},
        {"shortcut": "none", "initialization": "skipinit"},
        {"shortcut": "none", "initialization": "identity"},
        {"last_survival": 0.5},
    ],
    ids=str,
)
def test_what_contradicts_nothing_is_let_through(changes: dict[str, Any]) -> None:
    """Neighbours of the refusals: the same values where they make sense, and the ways out."""
    assert replace(SPEC, **changes) != SPEC


@pytest.mark.parametrize("shortcut", ["padded", "scaled", "exclusive_gating", "shortcut_only_gating", "dropout"])
def test_zeros_cannot_be_appended_after_a_wider_stem(shortcut: str) -> None:
    with pytest.raises(BadNetwork, match="the shortcut pads and a stage has fewer channels"):
        replace(SPEC, shortcut=shortcut, stem=small_stem(16))


def test_stages_must_agree_in_number() -> None:
    with pytest.raises(BadNetwork, match="blocks has 3 stages and widths 2"):
        replace(SPEC, blocks=(1, 1, 1))


def test_derived_values_follow_from_the_fields() -> None:
    spec = NetworkSpec(stem=photograph_stem(), blocks=(3, 4, 6, 3), widths=(64, 128, 256, 512), block="bottleneck")
    assert spec.depth == 50
    assert spec.expansion == 4
    assert spec.out_channels == (256, 512, 1024, 2048)
    assert spec.strides == (1, 2, 2, 2)
    assert spec.shrinks_by == 32
    assert spec.smallest_side == 17
    assert replace(spec, stem=deep_stem()).depth == 52
    assert replace(spec, stem=deep_stem()).smallest_side == 17
    assert replace(spec, widths=(128, 256, 512, 1024), bottleneck_expansion=2).out_channels == spec.out_channels
    assert replace(spec, block="basic", bottleneck_expansion=2).out_channels == spec.widths


def test_the_survival_falls_in_a_line_from_one_at_the_image() -> None:
    """Huang et al. 2016, Eq. 4: p_l = 1 − l/L · (1 − p_L), with l = 1 … L over all stages and p_0 = 1."""
    spec = replace(SPEC, blocks=(1, 4), last_survival=0.5)
    assert spec.survivals == pytest.approx((0.9, 0.8, 0.7, 0.6, 0.5))
    assert SPEC.survivals == (1.0, 1.0, 1.0)


@pytest.mark.parametrize(
    ("stem", "photographs"),
    [
        (small_stem(8), False),
        (photograph_stem(8), True),
        (StemSpec(width=8, kernel=7, stride=2), False),
        (StemSpec(width=8, kernel=5, stride=4), True),
    ],
)
def test_a_network_is_for_photographs_where_its_stem_shrinks_by_four(stem: StemSpec, photographs: bool) -> None:
    assert replace(SPEC, stem=stem).for_photographs is photographs


def test_a_plain_twin_differs_in_the_shortcut_alone() -> None:
    spec = replace(SPEC, bias=True, activation="tanh")
    assert spec.plain_twin() == replace(spec, shortcut="none")
    assert spec.plain_twin().is_plain
    assert not spec.is_plain


@pytest.mark.parametrize(
    ("initialization", "of_the_twin"),
    [
        ("zero_last", "he_fan_out"),
        ("scaled_branches", "he_fan_out"),
        ("he_fan_in", "he_fan_in"),
        ("identity", "identity"),
        ("skipinit", "skipinit"),
        ("fixup", "fixup"),
    ],
)
def test_a_plain_twin_does_not_start_from_zero(initialization: Initialization, of_the_twin: Initialization) -> None:
    """The scalars of SkipInit and Fixup stay, for a twin has its network's tensors."""
    twin = replace(SPEC, initialization=initialization, last_survival=0.5, **BARE).plain_twin()
    assert (twin.initialization, twin.last_survival) == (of_the_twin, 1.0)


@given(
    stem=st.sampled_from([small_stem(4), photograph_stem(4), deep_stem(4), StemSpec(width=4, kernel=5, stride=3)]),
    stages=st.integers(1, 4),
)
def test_the_smallest_side_is_where_no_strided_layer_meets_one_pixel(stem: StemSpec, stages: int) -> None:
    """Followed layer by layer, as a padded convolution of stride s takes ⌈side / s⌉ positions."""
    spec = NetworkSpec(stem=stem, blocks=(1,) * stages, widths=(4,) * stages)

    def fits(side: int) -> bool:
        for stride in (*stem.strides, *spec.strides):
            if side == 1 and stride > 1:
                return False
            side = -(-side // stride)
        return True

    assert spec.smallest_side == next(side for side in range(1, 200) if fits(side))


def test_images_that_suit_the_network_are_let_through() -> None:
    photographs = replace(SPEC, stem=photograph_stem(8), blocks=(1, 1, 1, 1), widths=(8, 8, 8, 8))
    photographs.require_fit((3, 17, 300))
    SPEC.require_fit((3, 2, 2))


def test_images_that_do_not_suit_the_network_are_refused_with_the_size_that_would() -> None:
    photographs = replace(SPEC, stem=photograph_stem(8), blocks=(1, 1, 1, 1), widths=(8, 8, 8, 8))
    with pytest.raises(BadNetwork, match=r"16×300 pixels shrink to nothing.*17 pixels or more"):
        photographs.require_fit((3, 16, 300))
    with pytest.raises(BadNetwork, match=r"have 1 channels.*takes 3; set in_channels=1"):
        photographs.require_fit((1, 64, 64))
