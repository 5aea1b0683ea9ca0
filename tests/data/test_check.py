"""What is refused before training, each in one line with the next step."""

from collections.abc import Callable
from pathlib import Path

import pytest

from residua import machine
from residua.data import sources
from residua.data.dataset import Dataset
from residua.data.sources import DataSpec
from residua.errors import BadData, BadSetting

Tree = Callable[..., Path]

TEN = [f"{label}/{i}.png" for label in ("ant", "bee") for i in range(10)]


def loaded(root: Path, **settings: object) -> Dataset:
    return sources.load(DataSpec(source=str(root), **settings))  # type: ignore[arg-type]


def refusal(root: Path | str, **settings: object) -> str:
    """The one line that a source is refused with."""
    with pytest.raises((BadData, BadSetting)) as caught:
        sources.load(DataSpec(source=str(root), **settings))  # type: ignore[arg-type]
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_a_name_one_letter_off_is_corrected():
    assert refusal("fashon-mnist") == (
        "'fashon-mnist' is no source; did you mean 'fashion-mnist'? (and no folder of that name is here)"
    )


def test_a_folder_one_letter_off_is_corrected(tree: Tree):
    root = tree(*TEN)
    assert refusal(root.with_name("pisc")).endswith(f"pisc does not exist; did you mean {str(root)!r}?")


def test_a_source_that_does_not_exist_is_said(tmp_path: Path):
    expected = "does not exist; give a folder of class folders, or one of digits, fashion-mnist, cifar10"
    assert expected in refusal(tmp_path / "nothing" / "like" / "this")
    assert expected in refusal("zzz")


def test_a_file_is_no_source(tmp_path: Path):
    (tmp_path / "pics.zip").write_bytes(b"PK")
    assert "pics.zip is a file; give a folder of class folders (unpack an archive first)" in refusal(
        tmp_path / "pics.zip"
    )


def test_an_empty_class_is_said(tree: Tree):
    root = tree(*TEN)
    (root / "wasp").mkdir()
    (root / "wasp" / "notes.txt").write_text("none yet")
    assert f"class 'wasp' has no image: {root / 'wasp'} is empty; fill it or remove it" in refusal(root)


def test_one_class_is_too_few(tree: Tree):
    assert "pics has one class only, 'ant'; two are needed to tell apart; add a folder" in refusal(tree(*TEN[:10]))


def test_the_folder_below_is_offered_where_it_may_be_meant(tree: Tree):
    root = tree(*(f"inner/{name}" for name in TEN))
    assert refusal(root).endswith(f"did you mean {str(root / 'inner')!r}?")


def test_images_without_class_folders_are_said(tree: Tree):
    assert "pics has no class folders; sort its images into a folder a class" in refusal(tree("1.png", "2.png"))


def test_an_empty_folder_is_said(tmp_path: Path):
    assert "has no class folders" in refusal(tmp_path)


def test_a_test_part_without_classes_is_said(tree: Tree):
    text = refusal(tree(*(f"train/{name}" for name in TEN), "test/1.png"))
    assert "test has no class folders; sort its images into a folder a class, or move test/ elsewhere" in text
    assert "residua predict" in text


@pytest.mark.parametrize("part", ["val", "test"])
def test_a_class_missing_from_a_part_is_said(tree: Tree, part: str):
    root = tree(*(f"train/{name}" for name in TEN), f"{part}/ant/x.png")
    expected = f"class 'bee' is in {root / 'train'} but not in {root / part}; add {root / part / 'bee'}, or remove"
    assert expected in refusal(root)


def test_a_class_missing_from_train_is_said(tree: Tree):
    root = tree("train/ant/1.png", "train/bee/2.png", "val/ant/3.png", "val/bee/4.png", "val/wasp/5.png")
    assert f"class 'wasp' is in {root / 'val'} but not in {root / 'train'}" in refusal(root)


def test_classes_are_matched_by_name_and_a_letter_off_is_seen(tree: Tree):
    root = tree("train/ant/1.png", "train/bee/2.png", "val/ant/3.png", "val/bees/4.png")
    assert refusal(root).endswith(f"is {root / 'train' / 'bee'} meant?")


def test_too_few_images_for_the_parts_are_said(tree: Tree):
    text = refusal(tree(*TEN[:12]))
    assert "class 'bee' has 2 images, too few for the parts test, validation, train" in text
    assert "--set data.test_fraction=0 and --set data.validation_fraction=0" in text


def test_a_class_that_is_all_copies_of_held_out_images_is_said(tree: Tree):
    root = tree("train/a/1.png", "train/b/2.png", "val/a/3.png", "val/b/4.png")
    (root / "train/a/1.png").write_bytes((root / "val/a/3.png").read_bytes())
    assert "every image of class 'a' in train is an exact copy of one held out; add others" in refusal(root)


def test_damaged_images_are_all_named_before_training(tree: Tree):
    root = tree(*TEN)
    (root / "ant" / "3.png").write_bytes(b"")
    text = refusal(root)
    assert text == f"{root / 'ant' / '3.png'} is damaged (it has 0 bytes); restore it or take it out"
    (root / "bee" / "4.png").write_text("hello")
    assert f"(the same for {root / 'bee' / '4.png'}: 2 images in all)" in refusal(root)


def test_an_image_damaged_behind_its_head_is_named(tree: Tree):
    root = tree(*TEN, side=(60, 60))
    content = (root / "ant" / "3.png").read_bytes()
    (root / "ant" / "3.png").write_bytes(content[: len(content) // 2])
    assert f"{root / 'ant' / '3.png'} is damaged (image file is truncated)" in refusal(root)


def test_images_beyond_the_memory_are_refused_with_the_size_that_fits(tree: Tree, monkeypatch: pytest.MonkeyPatch):
    """20 images × 3 × s² bytes ≤ half of what is free: s = ⌊√(30,000 / 60)⌋ = 22."""
    root = tree(*TEN)
    monkeypatch.setattr(machine, "memory_bytes", lambda: 60_000)
    assert "use --image-size 22 or below" in refusal(root, image_size=23, keep="memory")
    assert loaded(root, image_size=22, keep="memory").train.images.shape[2:] == (22, 22)


def test_where_memory_is_unknown_nothing_is_refused(tree: Tree, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(machine, "memory_bytes", lambda: 0)
    assert len(loaded(tree(*TEN)).train) == 14
