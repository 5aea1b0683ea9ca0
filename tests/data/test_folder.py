import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from residua.data.folder import image_files, listing
from residua.errors import BadData

Tree = Callable[..., Path]


def names(root: Path) -> list[str]:
    return [found.name for found in listing(root).images]


def test_a_folder_of_classes_is_listed_by_name(tree: Tree):
    found = listing(tree("b/2.png", "b/1.png", "a/3.PNG", "a/deep/er/4.png"))
    assert [(image.name, image.label, image.part) for image in found.images] == [
        ("a/3.PNG", "a", None),
        ("a/deep/er/4.png", "a", None),
        ("b/1.png", "b", None),
        ("b/2.png", "b", None),
    ]


@pytest.mark.parametrize("validation", ["val", "valid", "validation", "Val"])
def test_parts_are_found_under_each_of_their_names(tree: Tree, validation: str):
    found = listing(tree("train/a/1.png", f"{validation}/a/2.png", "test/a/3.png"))
    assert {image.name: image.part for image in found.images} == {
        "train/a/1.png": "train",
        f"{validation}/a/2.png": "validation",
        "test/a/3.png": "test",
    }
    assert list(found.part_folders) == ["train", "validation", "test"]


def test_classes_may_be_named_like_parts(tree: Tree):
    """Where train/ holds images itself and stands among other classes, it is a class."""
    found = listing(tree("train/1.png", "bus/2.png", "test/3.png"))
    assert {image.label for image in found.images} == {"train", "bus", "test"}


def test_test_alone_among_classes_is_a_class(tree: Tree):
    assert {image.label for image in listing(tree("test/1.png", "other/2.png")).images} == {"test", "other"}


def test_other_folders_beside_the_parts_are_left_out(tree: Tree):
    found = listing(tree("train/a/1.png", "test/a/2.png", "annotations/x.png", "extra.png"))
    assert [image.name for image in found.images] == ["test/a/2.png", "train/a/1.png"]
    assert found.left_out == ("annotations/x.png", "extra.png")


def test_files_that_are_no_images_are_left_out_and_listed(tree: Tree):
    root = tree("a/1.png", "b/2.png")
    (root / "README.md").write_text("hello")
    (root / "a" / "labels.csv").write_text("1,2")
    (root / "b" / "photo").write_bytes((root / "b" / "2.png").read_bytes())
    found = listing(root)
    assert found.left_out == ("README.md", "a/labels.csv")
    assert [image.name for image in found.images] == ["a/1.png", "b/2.png", "b/photo"]


@pytest.mark.parametrize(
    "litter", ["a/.DS_Store", "a/Thumbs.db", "__MACOSX/a/x.png", ".git/x.png", "a/._1.png", "a/.cache/x.png"]
)
def test_hidden_files_and_litter_are_passed_over_in_silence(tree: Tree, litter: str):
    root = tree("a/1.png", "b/2.png", litter + ("" if litter.endswith(".png") else ".png"))
    if not litter.endswith(".png"):
        (root / f"{litter}.png").rename(root / litter)
    found = listing(root)
    assert [image.name for image in found.images] == ["a/1.png", "b/2.png"]
    assert found.left_out == ()
    assert {label for _, label in found.class_folders} == {"a", "b"}


def test_loops_of_links_end(tree: Tree):
    root = tree("a/1.png", "b/2.png")
    (root / "a" / "again").symlink_to(root, target_is_directory=True)
    (root / "b" / "self").symlink_to(root / "b", target_is_directory=True)
    assert names(root) == ["a/1.png", "b/2.png"]


def test_a_linked_class_folder_is_read(tree: Tree, tmp_path: Path):
    root = tree("a/1.png")
    tree("../elsewhere/2.png")
    (root / "b").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    assert names(root) == ["a/1.png", "b/2.png"]


def test_a_pipe_named_like_an_image_is_not_waited_for(tree: Tree):
    root = tree("a/1.png", "b/2.png")
    os.mkfifo(root / "a" / "pipe.jpg")
    assert listing(root).left_out == ("a/pipe.jpg",)


def test_a_broken_link_named_like_an_image_is_meant_as_one(tree: Tree):
    root = tree("a/1.png", "b/2.png")
    (root / "a" / "gone.jpg").symlink_to(root / "nowhere.jpg")
    assert "a/gone.jpg" in names(root)


def test_images_share_the_first_sub_folder_below_what_all_of_a_class_share(tree: Tree):
    root = tree(
        "a/1.png", "a/p1/x/2.png", "a/p1/y/3.png", "a/p2/4.png", "b/all/q1/5.png", "b/all/q2/6.png", "c/in/7.png"
    )
    assert {image.name: image.sub_folder for image in listing(root).images} == {
        "a/1.png": None,
        "a/p1/x/2.png": "a/p1",
        "a/p1/y/3.png": "a/p1",
        "a/p2/4.png": "a/p2",
        "b/all/q1/5.png": "b/q1",
        "b/all/q2/6.png": "b/q2",
        "c/in/7.png": None,
    }


def test_names_are_in_composed_unicode(tree: Tree):
    """The same letters on a Mac (decomposed) and elsewhere, so that the split is the same."""
    assert names(tree("cafe\u0301/1.png", "b/2.png")) == ["b/2.png", "caf\u00e9/1.png"]


def test_two_files_of_one_name_are_refused(tree: Tree):
    with pytest.raises(BadData, match="pics has two files that are both shown as caf\u00e9/1.png; rename one of them"):
        listing(tree("cafe\u0301/1.png", "caf\u00e9/1.png", "b/2.png"))


def test_names_that_are_no_unicode_can_be_written(tree: Tree):
    root = tree("a/1.png", "b/2.png")
    os.rename(root / "a" / "1.png", os.fsencode(root / "a") + b"/\xff.png")  # noqa: PTH104
    assert names(root) == ["a/\ufffd.png", "b/2.png"]


def test_two_names_of_one_part_are_refused(tree: Tree):
    with pytest.raises(BadData, match=r"pics has both val/ and valid/; keep one of them"):
        listing(tree("train/a/1.png", "val/a/2.png", "valid/a/3.png"))


def test_parts_without_train_are_refused(tree: Tree):
    with pytest.raises(BadData, match=r"pics has test/ but no train/; add it"):
        listing(tree("val/a/1.png", "test/a/2.png"))


def test_a_folder_that_may_not_be_read_is_said(tree: Tree, monkeypatch: pytest.MonkeyPatch):
    root = tree("a/1.png", "b/2.png")
    listed = Path.iterdir

    def refused(folder: Path) -> Iterator[Path]:
        if folder.name == "a":
            raise PermissionError(13, "Permission denied")
        return listed(folder)

    monkeypatch.setattr(Path, "iterdir", refused)
    with pytest.raises(BadData, match=r"a cannot be read \(Permission denied\); allow it or take it out"):
        listing(root)


def test_images_of_a_folder_are_found_at_any_depth(tree: Tree):
    root = tree("2.png", "a/b/1.png", ".hidden/3.png", "a/0.PNG")
    (root / "notes.txt").write_text("hello")
    assert [path.relative_to(root).as_posix() for path in image_files(root)] == ["2.png", "a/0.PNG", "a/b/1.png"]
