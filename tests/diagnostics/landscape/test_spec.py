"""What is asked of a surface: coordinates in closed form, and one line for what cannot be drawn."""

import pytest
import torch

from residua import configuration
from residua.diagnostics.landscape.directions import Direction
from residua.diagnostics.landscape.spec import SurfaceSpec, share_of, span_of, steps_of
from residua.errors import BadSetting

X, Y = (Direction(kind="random", says=name, vector=torch.ones(2)) for name in "xy")


def values(spec: SurfaceSpec, *ranges: tuple[float, float]) -> tuple[tuple[float, ...], ...]:
    return tuple(axis.values for axis in spec.grid((X, Y)[: spec.count], ranges).axes)


def test_a_plane_is_25_by_25_from_minus_one_to_one_with_the_centre_on_it():
    x, y = values(SurfaceSpec())
    assert (x[0], x[-1], x[12], len(x)) == (-1.0, 1.0, 0.0, 25)
    assert x == y == pytest.approx([-1 + place / 12 for place in range(25)])


def test_a_line_between_two_networks_holds_both():
    spec = SurfaceSpec(axes="between")
    (x,) = values(spec)
    assert spec.count == 1
    assert (x[0], x[-1], len(x)) == (-0.5, 1.5, 51)


def test_a_plane_through_two_networks_is_random_across():
    x, y = values(SurfaceSpec(axes="between", dimensions=2, steps=(5,)))
    assert (x[0], x[-1], y[0], y[-1]) == (-0.5, 1.5, -1.0, 1.0)


def test_axes_may_differ_in_span_and_in_points():
    x, y = values(SurfaceSpec(span=span_of("1,0:2"), steps=steps_of("3x5")))
    assert x == (-1.0, 0.0, 1.0)
    assert y == (0.0, 0.5, 1.0, 1.5, 2.0)


def test_the_paths_own_range_is_taken_unless_another_is_asked_for():
    assert values(SurfaceSpec(axes="path", steps=(2,)), (-3.0, 1.0), (0.0, 2.0)) == ((-3.0, 1.0), (0.0, 2.0))
    asked = SurfaceSpec(axes="path", steps=(2,), span=((-9.0, 9.0),))
    assert values(asked, (-3.0, 1.0), (0.0, 2.0)) == ((-9.0, 9.0), (-9.0, 9.0))


@pytest.mark.parametrize(
    ("given", "span"),
    [
        (None, None),
        (2, ((-2.0, 2.0),)),
        ("0.5", ((-0.5, 0.5),)),
        ((-1, 2), ((-1.0, 2.0),)),
        ("-1:2", ((-1.0, 2.0),)),
        (((-1, 1), (0, 3)), ((-1.0, 1.0), (0.0, 3.0))),
        ("-1:1,0:3", ((-1.0, 1.0), (0.0, 3.0))),
    ],
)
def test_a_span_is_read_from_numbers_and_from_words(given, span):
    assert span_of(given) == span


def test_points_and_parts_are_read_from_numbers_and_from_words():
    assert [steps_of(one) for one in (None, 51, "51", (51, 31), "51x31", "51×31")] == [
        None,
        (51,),
        (51,),
        (51, 31),
        (51, 31),
        (51, 31),
    ]
    assert share_of("2/3") == share_of((2, 3)) == (2, 3)


def test_what_makes_another_surface_makes_another_name():
    asked = [
        SurfaceSpec(),
        SurfaceSpec(seed=1),
        SurfaceSpec(policy="batch"),
        SurfaceSpec(normalisation="layer"),
        SurfaceSpec(axes="path"),
        SurfaceSpec(axes="path", seed=1),
        SurfaceSpec(steps=(9,)),
        SurfaceSpec(steps=(9, 7)),
        SurfaceSpec(span=((-2.0, 2.0),)),
        SurfaceSpec(images=64),
        SurfaceSpec(precision="float32"),
        SurfaceSpec(share=(1, 3)),
        SurfaceSpec(dimensions=1),
    ]
    assert len({spec.says for spec in asked}) == len(asked)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"dimensions": 3}, "dimensions is 3; allowed: 1"),
        ({"images": 1}, "images is 1; allowed: 2 or above"),
        ({"seed": -1}, "seed is -1"),
        ({"span": ((0.0, 0.0),)}, "span is '0:0'; allowed: two finite numbers, the lower first"),
        ({"span": ((1.0, -1.0),)}, "span is '1:-1'"),
        ({"span": ((0.0, float("inf")),)}, "span is '0:inf'"),
        ({"span": ((0.0, float("nan")),)}, "span is '0:nan'"),
        ({"span": ((0.0, 1.0), (0.0, 1.0)), "dimensions": 1}, "one for all axes"),
        ({"steps": (1,)}, "steps is 1; allowed: 2 points or above"),
        ({"steps": (9, 9, 9)}, "one for all axes, or one for each"),
        ({"share": (4, 3)}, "part is '4/3'; allowed: 1/N up to N/N"),
        ({"share": (0, 3)}, "part is '0/3'"),
    ],
)
def test_what_cannot_be_drawn_is_one_line(given, message):
    with pytest.raises(BadSetting) as refused:
        SurfaceSpec(**given)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("given", "near"),
    [
        ({"policy": "frosen"}, "frozen"),
        ({"axes": "hesian"}, "hessian"),
        ({"normalisation": "filters"}, "filter"),
        ({"precision": "float16"}, "bfloat16"),
    ],
)
def test_a_word_that_is_not_known_gets_the_nearest_one(given, near):
    with pytest.raises(BadSetting, match=f"did you mean '{near}'"):
        configuration.from_json(SurfaceSpec, given)


@pytest.mark.parametrize(
    ("read", "given"),
    [
        (span_of, "one"),
        (span_of, "1:2:3"),
        (span_of, ""),
        (span_of, ("a", "b")),
        (span_of, (1, 2, 3)),
        (steps_of, "many"),
        (steps_of, 2.5j),
        (share_of, "3"),
        (share_of, "1/2/3"),
        (share_of, "a/b"),
        (share_of, 2),
    ],
)
def test_words_that_are_no_numbers_are_one_line(read, given):
    with pytest.raises(BadSetting, match="; give "):
        read(given)


def test_planes_that_are_drawn_otherwise_are_kept_in_files_of_their_own():
    """Between two networks the second axis is drawn, as both of random ones are; a line there has none."""
    names = {SurfaceSpec(axes="between", dimensions=2, normalisation=one).says for one in ("filter", "layer")}
    assert len(names) == 2
    assert len({SurfaceSpec(axes="between", normalisation=one).says for one in ("filter", "layer")}) == 1
