"""The sentences of a result."""

import copy
from typing import Any

import pytest

from residua.report import statements

RESULT: dict[str, Any] = {
    "headline": {
        "part": "test",
        "accuracy": 0.98333,
        "interval": [0.9641, 0.9923],
        "images": 360,
        "optimistic": False,
        "beats_baselines": True,
    },
    "parts": {
        "test": {
            "per_class": [{"class": "ants"}, {"class": "bees"}],
            "confusion": [[176, 4], [2, 178]],
            "evaluations": 1,
            "accuracy": 0.9,
            "images": 100,
            "reliability": [
                {"confidence": 0.9, "images": 50, "accuracy": 0.8},
                {"confidence": 1.0, "images": 50, "accuracy": 1.0},
            ],
        }
    },
    "baselines": {
        "majority": {"class": "bees", "accuracy": 0.5},
        "logistic_regression": {"accuracy": 0.9, "description": "logistic regression on 16×16 pixels"},
    },
}


@pytest.fixture
def result() -> dict[str, Any]:
    return copy.deepcopy(RESULT)


def test_the_interval_says_what_it_is_from_and_what_is_not_in_it(result):
    spread = "95 % interval 96.4–99.2, from the number of images; other seeds not included"
    assert statements.spread(result) == spread


def test_a_good_run_needs_no_caution(result):
    assert statements.cautions(result) == ()


def test_a_baseline_that_is_as_good_is_named_with_its_score(result):
    result["headline"] |= {"beats_baselines": False, "accuracy": 0.4, "interval": [0.35, 0.45]}
    (caution,) = statements.cautions(result)
    assert caution.startswith(
        "This network is no better than logistic regression on 16×16 pixels (90.0\u202f%) and always"
    )
    assert "“bees” (50.0\u202f%)" in caution


def test_a_baseline_within_the_interval_is_not_clearly_beaten(result):
    result["headline"] |= {"beats_baselines": False, "accuracy": 0.91, "interval": [0.88, 0.94]}
    (caution,) = statements.cautions(result)
    assert caution.startswith("This network is not clearly better than logistic regression")
    assert "bees" not in caution


def test_a_network_that_knows_one_class_is_found_out(result):
    result["parts"]["test"]["confusion"] = [[0, 180], [0, 180]]
    (caution,) = statements.cautions(result)
    assert caution.startswith("It gives every image the class “bees”")


def test_an_optimistic_accuracy_is_called_so(result):
    result["headline"]["optimistic"] = True
    (caution,) = statements.cautions(result)
    assert "also used to choose the epoch: it is optimistic" in caution


def test_more_than_one_look_at_the_test_part_is_told(result):
    result["parts"]["test"]["evaluations"] = 3
    assert statements.cautions(result) == (
        "The test part was evaluated 3 times: whoever chooses by its accuracy makes it optimistic.",
    )


def test_the_gravest_caution_comes_first(result):
    result["headline"] |= {"beats_baselines": False, "accuracy": 0.5, "optimistic": True}
    assert ["better" in caution for caution in statements.cautions(result)] == [True, False]


def test_without_held_out_images_the_caution_is_that_nobody_knows():
    nothing = {"headline": None, "parts": {}}
    (caution,) = statements.cautions(nothing)
    assert caution.startswith("No image was held out")


def test_the_gap_of_the_probabilities_has_a_direction(result):
    """Mean confidence 0.95 against an accuracy of 0.9."""
    numbers = result["parts"]["test"]
    assert statements.calibration(numbers) == "On average its probability is 5.0 points too high."
    assert statements.calibration(numbers | {"accuracy": 0.98}).endswith("3.0 points too low.")


@pytest.mark.parametrize(
    ("source", "title"),
    [
        ("digits", "resnet8 on digits"),
        ("/home/me/photos/pets/", "resnet8 on pets"),
        ("C:\\photos\\pets", "resnet8 on pets"),
        ("/", "resnet8 on /"),
    ],
)
def test_a_folder_is_called_by_its_own_name(source, title):
    assert statements.title({"network": "resnet8", "source": source}) == title


def test_a_network_without_a_name_is_told_its_nearest_and_what_differs():
    differences = [
        {"field": "blocks", "theirs": [2, 2], "ours": [2, 3]},
        {"field": "squeeze_excitation", "theirs": None, "ours": 16},
        {"field": "bias", "theirs": False, "ours": True},
    ]
    assert statements.likeness({"name": "resnet18", "differences": differences}) == (
        "nearest named network: resnet18; here blocks 2,3, not 2,2; squeeze_excitation 16, not none; "
        "bias true, not false"
    )


def test_a_named_network_needs_no_nearest():
    assert statements.likeness({"name": "resnet18", "differences": []}) == statements.likeness(None) == ""


def test_several_views_are_told_apart_from_one():
    views = {"kind": "six", "accuracy": 0.9389, "interval": [0.934, 0.9434]}
    told = statements.views({"images": 10_000, "accuracy": 0.932, "views": views})
    assert told == "93.89\u202f% (93.40–94.34) averaged over six views: shifted by a pixel, and mirrored."
    assert statements.views({"images": 10_000, "accuracy": 0.932}) == ""
