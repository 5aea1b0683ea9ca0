"""Rows made ready for a page."""

import pytest

from residua.report import tables


def test_each_cell_knows_its_share_of_its_row():
    cells = tables.confusion_cells([[3, 1], [0, 0]])
    assert [[cell.share for cell in row] for row in cells] == [[0.75, 0.25], [0, 0]]


def test_shades_grow_with_the_share_and_leave_out_the_middle_where_no_text_can_be_read():
    shades = [tables.Cell(images=n, share=n / 100).shade for n in range(101)]
    assert shades == sorted(shades)
    assert (shades[0], shades[1], shades[50], shades[100]) == (0, 6, 75, 100)
    assert not [shade for shade in shades if 40 < shade < 75]


def test_the_most_confused_pairs_come_first():
    pairs = tables.most_confused([[5, 2, 0], [3, 7, 0], [0, 2, 2]], ("a", "b", "c"))
    assert [(pair.label, pair.predicted, pair.images) for pair in pairs] == [
        ("b", "a", 3),
        ("c", "b", 2),
        ("a", "b", 2),
    ]
    assert pairs[1].share == 0.5


def test_the_weakest_classes_are_picked_only_where_there_are_many():
    def row(name: int, f1: float | None, images: int = 5) -> dict:
        return {"class": name, "f1": f1, "images": images}

    many = [row(number, number / 40) for number in range(1, 30)] + [row(90, None), row(91, None, 0)]
    assert [row["class"] for row in tables.weakest(many)][:3] == [90, 1, 2]
    assert len(tables.weakest(many)) == 10
    assert tables.weakest(many[:25]) == []


def test_the_most_confident_mistakes_come_first_and_right_answers_never():
    rows = [
        {"file": "a", "label": "x", "predicted": "y", "probabilities": [0.6, 0.4]},
        {"file": "b", "label": "x", "predicted": "x", "probabilities": [0.99, 0.01]},
        {"file": "c", "label": "x", "predicted": "y", "probabilities": [0.9, 0.1]},
    ]
    assert [(row["file"], row["probability"]) for row in tables.confident_mistakes(rows)] == [("c", 0.9), ("a", 0.6)]
    assert len(tables.confident_mistakes(rows, most=1)) == 1


def test_settings_have_the_names_that_set_takes():
    settings = {"epochs": 3, "optimizer": {"kind": "sgd", "nesterov": True}, "clip": None, "empty": {}}
    assert dict(tables.flat(settings)) == {
        "epochs": "3",
        "optimizer.kind": "sgd",
        "optimizer.nesterov": "yes",
        "clip": "none",
        "empty": "none",
    }


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ([], "none"),
        ([0.5, 0.75], "0.5, 0.75"),
        (list(range(3072)), "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 3,060 more"),
        ([{"height": 8, "width": 9}, {"height": 1}], "height 8, width 9; height 1"),
        (0.1307123456, "0.130712"),
        ("text", "text"),
    ],
)
def test_any_value_is_written_for_a_reader(value, text):
    assert tables.as_text(value) == text


def test_keys_are_left_out_by_name():
    assert tables.without({"a": 1, "b": 2, "c": 3}, "a", "c") == {"b": 2}
