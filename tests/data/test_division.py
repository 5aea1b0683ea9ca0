"""Which images of a folder go into which part."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from residua.data import sources
from residua.data.dataset import Dataset
from residua.data.sources import DataSpec
from residua.errors import BadSetting

Tree = Callable[..., Path]

TEN = [f"{label}/{i}.png" for label in ("ant", "bee") for i in range(10)]


def loaded(root: Path, **settings: object) -> Dataset:
    return sources.load(DataSpec(source=str(root), **settings))  # type: ignore[arg-type]


def counts(data: Dataset) -> dict[str, list[int]]:
    return {part.name: np.bincount(part.labels, minlength=len(data.classes)).tolist() for part in data.parts}


def test_a_folder_without_parts_gets_all_three(tree: Tree):
    data = loaded(tree(*TEN))
    assert data.classes == ("ant", "bee")
    assert counts(data) == {"train": [7, 7], "validation": [1, 1], "test": [2, 2]}
    assert data.split_rule.startswith("test (20%) and validation (10%) carved")


def test_train_and_val_stay_as_they_are_and_no_test_is_carved(tree: Tree):
    data = loaded(tree(*(f"train/{name}" for name in TEN), "val/ant/x.png", "val/bee/y.png"))
    assert counts(data) == {"train": [10, 10], "validation": [1, 1]}
    assert data.split()["validation"] == ["val/ant/x.png", "val/bee/y.png"]
    assert data.test is None
    assert data.split_rule == "train, validation as given"


def test_train_and_test_get_a_validation_part_from_train(tree: Tree):
    data = loaded(tree(*(f"train/{name}" for name in TEN), "test/ant/x.png", "test/bee/y.png"))
    assert counts(data) == {"train": [9, 9], "validation": [1, 1], "test": [1, 1]}
    assert all(name.startswith("train/") for name in data.split()["validation"])
    assert data.split_rule.startswith("test as given; validation (10%) carved")


def test_train_alone_gets_both(tree: Tree):
    assert set(counts(loaded(tree(*(f"train/{name}" for name in TEN))))) == {"train", "validation", "test"}


@pytest.mark.parametrize(
    ("settings", "parts"),
    [
        ({"validation_fraction": 0.0}, {"train", "test"}),
        ({"test_fraction": 0.0}, {"train", "validation"}),
        ({"test_fraction": 0.0, "validation_fraction": 0.0}, {"train"}),
    ],
)
def test_a_share_of_nothing_holds_nothing_out(tree: Tree, settings: dict[str, float], parts: set[str]):
    assert set(counts(loaded(tree(*TEN), **settings))) == parts


def test_the_split_does_not_depend_on_size_and_fit(tree: Tree):
    root = tree(*TEN)
    assert loaded(root, image_size=4, fit="pad").split() == loaded(root).split()


def test_exact_duplicates_are_in_one_part(tree: Tree):
    root = tree(*TEN)
    for i in range(10):
        (root / "ant" / f"copy{i}.png").write_bytes((root / "ant" / f"{i}.png").read_bytes())
    for seed in range(5):
        part_of = {name: part for part, names in loaded(root, split_seed=seed).split().items() for name in names}
        assert all(part_of[f"ant/{i}.png"] == part_of[f"ant/copy{i}.png"] for i in range(10))


def test_sub_folders_stay_together(tree: Tree):
    root = tree(*(f"ant/visit{i // 3}/{i}.png" for i in range(15)), *(f"bee/{i}.png" for i in range(10)))
    for seed in range(5):
        split = loaded(root, split_seed=seed).split()
        visits = [{name.split("/")[1] for name in names if name.startswith("ant")} for names in split.values()]
        assert all(visits)
        assert sum(map(len, visits)) == 5


def test_a_group_by_name_stays_together_across_classes(tree: Tree):
    root = tree(
        *(f"{label}/patient{i:02d}_{side}.png" for label in ("ill", "well") for i in range(12) for side in "lr")
    )
    for seed in range(5):
        split = loaded(root, split_seed=seed, group=r"patient(\d+)").split()
        patients = [set(re.findall(r"patient(\d+)", " ".join(names))) for names in split.values()]
        assert sum(map(len, patients)) == len(set.union(*patients)) == 12


def test_a_group_that_matches_some_names_says_how_many(tree: Tree):
    data = loaded(tree(*TEN), group=r"ant/(\d)")
    assert "group 'ant/(\\\\d)' matches 10 of 20 names; the others stand alone" in data.notes


def test_a_group_that_matches_nothing_is_refused(tree: Tree):
    with pytest.raises(BadSetting, match=r"group 'patient' matches no file; a name looks like 'ant/0.png'"):
        loaded(tree(*TEN), group="patient")


def test_groups_torn_by_the_owners_parts_are_told(tree: Tree):
    data = loaded(tree("train/a/p1_1.png", "train/b/p2_1.png", "val/a/p1_2.png", "val/b/p3_1.png"), group=r"(p\d)_")
    assert "1 group has images in several parts, as the source gives them" in data.notes


def test_copies_of_held_out_images_are_left_out_of_train(tree: Tree):
    root = tree(
        *(f"train/{name}" for name in TEN), "val/ant/x.png", "val/bee/y.png", "test/ant/z.png", "test/bee/w.png"
    )
    for here, there in (("train/ant/3.png", "val/ant/x.png"), ("val/bee/y.png", "test/bee/w.png")):
        (root / here).write_bytes((root / there).read_bytes())
    root = tree("val/bee/other.png")
    data = loaded(root)
    assert "train/ant/3.png" not in data.train.files
    assert data.validation is not None
    assert data.validation.files == ("val/ant/x.png", "val/bee/other.png")
    assert "2 images of validation and train left out: exact copies are in a part that is held out" in data.notes
    assert set(data.left_out) == {"train/ant/3.png", "val/bee/y.png"}


def test_copies_within_train_are_kept(tree: Tree):
    root = tree("train/a/1.png", "train/b/2.png", "val/a/3.png", "val/b/4.png")
    (root / "train/a/5.png").write_bytes((root / "train/a/1.png").read_bytes())
    assert len(loaded(root).train) == 3


def test_the_same_image_in_two_classes_is_told(tree: Tree):
    root = tree(*TEN)
    (root / "bee" / "0.png").write_bytes((root / "ant" / "0.png").read_bytes())
    assert "1 image is in more than one class: ant/0.png = bee/0.png" in loaded(root).notes
