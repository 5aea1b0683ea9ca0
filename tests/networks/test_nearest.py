"""Which named network one is nearest to."""

import json
from dataclasses import replace

import pytest

from residua.networks import catalogue
from residua.networks.nearest import FREE, nearest
from residua.networks.spec import NetworkSpec, small_stem


def fields(spec: NetworkSpec) -> dict[str, tuple]:
    return {difference.field: (difference.theirs, difference.ours) for difference in nearest(spec).differences}


@pytest.mark.parametrize("name", catalogue.names())
def test_a_named_network_is_nearest_to_itself_or_to_an_equal_one_before_it(name: str):
    spec = catalogue.specification(name)
    found = nearest(spec)
    assert found.differences == ()
    first = next(known for known in catalogue.names() if catalogue.specification(known) == spec)
    assert found.name == first


def test_a_changed_field_is_told_with_both_values():
    spec = replace(catalogue.specification("resnet50"), stride_on="first", blocks=(3, 4, 7, 3))
    assert nearest(spec).name == "resnet50"
    assert fields(spec) == {"blocks": ([3, 4, 6, 3], [3, 4, 7, 3]), "stride_on": ("3x3", "first")}


def test_fields_of_the_stem_count_each_for_itself():
    """resnet18-small-stem differs in classes and in one of the stem's fields here; resnet18 in four of them."""
    spec = catalogue.specification("resnet18-small-stem")
    wider = replace(spec, stem=small_stem(48), classes=1000)
    assert nearest(wider).name == "resnet18-small-stem"
    assert fields(wider) == {"stem.width": (64, 48), "classes": (10, 1000)}


def test_classes_and_channels_are_told_and_do_not_count():
    """resnet18-textbook differs in its blocks, its classes and its channels; resnet34-no-norm in norm and start."""
    spec = replace(catalogue.specification("resnet34-no-norm"), norm="batch", initialization="he_fan_out")
    assert nearest(spec).name == "resnet18-textbook"
    assert fields(spec) == {"blocks": ([2, 2, 2, 2], [3, 4, 6, 3]), "classes": (10, 200), "in_channels": (1, 3)}
    assert set(FREE) < set(fields(spec))


def test_it_can_be_written_as_json():
    spec = replace(catalogue.specification("resnet20"), shortcut="scaled")
    written = json.loads(json.dumps(nearest(spec).to_json()))
    assert written == {
        "name": "resnet20",
        "differences": [{"field": "shortcut", "theirs": "padded", "ours": "scaled"}],
    }


def test_among_equally_near_networks_the_nearest_depth_is_named() -> None:
    """22 layers in three stages of 3, 3 and 4 blocks are a resnet20 with one block more, not a resnet8 with seven."""
    spec = replace(catalogue.specification("resnet20"), blocks=(3, 3, 4))
    assert nearest(spec).name == "resnet20"
    assert fields(spec) == {"blocks": ([3, 3, 3], [3, 3, 4])}
