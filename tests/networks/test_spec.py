"""What a specification says of its network, and what it refuses."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from residua.configuration import from_json, setting_names, to_json, with_settings
from residua.errors import BadNetwork, BadSetting
from residua.networks import catalogue
from residua.networks.spec import CONTRADICTIONS, NetworkSpec, StemSpec, photograph_stem, small_stem

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
        ("activation", "gelu", "relu"),
        ("initialization", "he", "he_fan_out"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_a_value_that_no_field_takes_is_refused(field: str, value: Any, allowed: str) -> None:
    changes: dict[str, Any] = {field: value}
    with pytest.raises(BadSetting, match=allowed) as refusal:
        replace(SPEC, **changes)
    assert field in str(refusal.value)


@pytest.mark.parametrize(("field", "value"), [("kernel", 4), ("kernel", 0), ("stride", 0), ("width", -1)])
def test_a_stem_that_is_none_is_refused(field: str, value: int) -> None:
    with pytest.raises(BadSetting, match=f"{field} is {value}"):
        replace(SPEC.stem, **{field: value})


REFUSED: tuple[tuple[dict[str, Any], str], ...] = (
    ({"norm": "none"}, "norm_on_projection=false"),
    ({"order": "full_preactivation"}, "norm_on_projection=false"),
    ({"stride_on": "first"}, "stride_on=3x3"),
    ({"shortcut": "padded", "widths": (16, 8)}, "widths that never fall"),
    ({"shortcut": "none", "initialization": "zero_last"}, "initialization=he_fan_out"),
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


def test_what_contradicts_nothing_is_let_through() -> None:
    """Neighbours of the refusals: the same values where they make sense."""
    replace(SPEC, norm="none", norm_on_projection=False)
    replace(SPEC, norm="none", shortcut="padded")
    replace(SPEC, order="full_preactivation", shortcut="padded")
    replace(SPEC, block="bottleneck", stride_on="first")
    replace(SPEC, shortcut="padded", widths=(8, 8))
    replace(SPEC, initialization="zero_last")


def test_zeros_cannot_be_appended_after_a_wider_stem() -> None:
    with pytest.raises(BadNetwork, match="padded"):
        replace(SPEC, shortcut="padded", stem=small_stem(16))


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


def test_a_plain_twin_does_not_start_from_zero() -> None:
    assert replace(SPEC, initialization="zero_last").plain_twin().initialization == "he_fan_out"
    assert replace(SPEC, initialization="he_fan_in").plain_twin().initialization == "he_fan_in"


@given(
    stem=st.sampled_from([small_stem(4), photograph_stem(4), StemSpec(width=4, kernel=5, stride=3)]),
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
