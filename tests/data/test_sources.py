import json
import os
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from residua import configuration, machine
from residua.data import sources
from residua.data.augment import default_augment
from residua.data.dataset import Dataset
from residua.data.sources import DataSpec
from residua.errors import BadData, BadSetting

Tree = Callable[..., Path]
Picture = Callable[..., Path]

TEN = [f"{label}/{i}.png" for label in ("ant", "bee") for i in range(10)]


def loaded(root: Path, **settings: object) -> Dataset:
    return sources.load(DataSpec(source=str(root), **settings))  # type: ignore[arg-type]


def refusal(root: Path | str, **settings: object) -> str:
    """The one line that a source is refused with."""
    with pytest.raises((BadData, BadSetting)) as caught:
        sources.load(DataSpec(source=str(root), **settings))  # type: ignore[arg-type]
    text = str(caught.value)
    assert "\n" not in text
    assert text.endswith(text.rstrip(". "))
    return text


def counts(data: Dataset) -> dict[str, list[int]]:
    return {part.name: np.bincount(part.labels, minlength=len(data.classes)).tolist() for part in data.parts}


# digits


def test_digits_are_split_by_class_and_scaled_to_255():
    data = sources.load(DataSpec())
    assert data.classes == tuple("0123456789")
    assert sum(len(part) for part in data.parts) == 1797
    assert data.train.images.shape[1:] == (1, 8, 8)
    levels = np.rint(np.arange(17) * 255 / 16).astype(int).tolist()
    assert np.unique(data.train.images).tolist() == levels
    assert data.test is not None
    assert data.validation is not None
    for label in range(10):
        n = sum(int((part.labels == label).sum()) for part in data.parts)
        assert abs(int((data.test.labels == label).sum()) - 0.2 * n) <= 1
    assert default_augment(data).flip == "none"


def test_digits_are_the_same_everywhere():
    """Pins pixels, labels and split of the default source."""
    data = sources.load(DataSpec())
    assert data.train.digest == "sha256:pin"


def test_an_image_size_scales_a_published_set():
    data = sources.load(DataSpec(image_size=16, per_pixel_mean=True))
    assert data.preprocessing.image_size == (16, 16)
    assert data.train.images.shape[1:] == (1, 16, 16)
    assert len(data.preprocessing.mean) == 256


# folders and their parts


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


def test_the_split_is_the_same_wherever_the_folder_lies(tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    root = tree(*TEN)
    before = loaded(root).split()
    root.rename(tmp_path / "moved")
    monkeypatch.chdir(tmp_path)
    assert loaded(Path("moved")).split() == before
    assert loaded(Path("moved/../moved/")).split() == before


def test_the_split_does_not_depend_on_size_and_fit(tree: Tree):
    root = tree(*TEN)
    assert loaded(root, image_size=4, fit="pad").split() == loaded(root).split()


def test_images_labels_and_names_stay_together(tree: Tree):
    root = tree(*TEN)
    data = loaded(root)
    for part in data.parts:
        for image, label, name in zip(part.images, part.labels, part.files, strict=True):
            assert name.startswith(data.classes[int(label)])
            assert np.array_equal(image.permute(1, 2, 0), np.asarray(Image.open(root / name)))


# what stays together


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
    assert "group 'patient' matches no file; a name looks like 'ant/0.png'" in refusal(tree(*TEN), group="patient")


def test_groups_torn_by_the_owners_parts_are_told(tree: Tree):
    data = loaded(tree("train/a/p1_1.png", "train/b/p2_1.png", "val/a/p1_2.png", "val/b/p3_1.png"), group=r"(p\d)_")
    assert "1 groups have images in several parts, as the source gives them" in data.notes


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
    assert "the same image is in more than one class 1 times: ant/0.png = bee/0.png" in loaded(root).notes


# sizes and colours


@pytest.mark.parametrize(
    ("side", "expected"),
    [
        ((28, 28), (28, 28)),
        ((96, 40), (96, 40)),
        ((97, 97), (64, 64)),
        ((100, 300), (64, 64)),
        ((150, 128), (224, 224)),
    ],
)
def test_the_size_follows_the_images(tree: Tree, side: tuple[int, int], expected: tuple[int, int]):
    data = loaded(tree(*TEN[:3], *TEN[-3:], side=side))
    assert data.preprocessing.image_size == expected
    assert data.sizes == ((*side, 6),)
    assert bool(data.notes) == (side != expected)


def test_small_images_of_two_sizes_are_scaled_to_64(tree: Tree):
    root = tree("a/1.png", "a/2.png", "a/3.png", side=(20, 30))
    tree("b/1.png", "b/2.png", "b/3.png", side=(40, 30))
    data = loaded(root)
    assert data.preprocessing.image_size == (64, 64)
    assert (
        "images of 30 × 20 to 30 × 40 pixels (2 sizes) are cropped to 64 × 64; --image-size and --fit change this"
        in data.notes
    )


def test_the_size_can_be_asked_for(tree: Tree):
    assert loaded(tree(*TEN), image_size=20).train.images.shape[2:] == (20, 20)


@pytest.mark.parametrize("mode", ["L", "LA", "1", "P", "RGB"])
def test_images_that_are_all_grey_have_one_channel_however_they_are_stored(tmp_path: Path, mode: str):
    for i, name in enumerate(TEN):
        values = np.random.default_rng(i).choice(np.array([0, 255], np.uint8), (6, 6))
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(values).convert("RGB" if mode == "P" else mode).convert(mode).save(tmp_path / name)
    data = loaded(tmp_path)
    assert data.preprocessing.channels == 1
    assert data.train.images.is_contiguous()


def test_one_coloured_image_makes_all_of_them_colour(tree: Tree, picture: Picture):
    for i, name in enumerate(TEN):
        picture(f"pics/{name}", seed=i, mode="L" if i else "RGB")
    data = loaded(tree())
    assert data.preprocessing.channels == 3
    grey = next(i for i, name in enumerate(data.train.files) if name != TEN[0])
    assert bool((data.train.images[grey] == data.train.images[grey][:1]).all())


def test_the_statistics_are_the_training_parts(tree: Tree):
    data = loaded(tree(*TEN))
    values = data.train.images.double() / 255
    assert data.preprocessing.mean == pytest.approx(values.mean((0, 2, 3)).tolist())
    assert data.preprocessing.std == pytest.approx(values.std((0, 2, 3), unbiased=False).tolist())


# notes


def test_files_left_out_are_told(tree: Tree):
    root = tree(*TEN)
    (root / "readme.txt").write_text("hello")
    data = loaded(root)
    assert data.left_out == ("readme.txt",)
    assert "1 file is left out, being no images or in no class folder: readme.txt" in data.notes


def test_digits_and_letters_are_told_not_to_be_mirrored(tree: Tree):
    data = loaded(tree(*(f"{label}/{i}.png" for label in "07" for i in range(5))))
    assert "images are not mirrored: the classes are digits or letters" in data.notes
    assert default_augment(data).flip == "none"


def test_the_card_is_ready_for_json(tree: Tree):
    root = tree(*TEN)
    os.rename(root / "ant" / "0.png", os.fsencode(root / "ant") + b"/\xff.png")  # noqa: PTH104
    card = json.loads(json.dumps(loaded(root).card(), ensure_ascii=False).encode())
    assert card["parts"]["train"]["by_class"] == {"ant": 7, "bee": 7}


def test_progress_is_told_every_image(tree: Tree):
    told: list[tuple[str, int, int | None]] = []
    sources.load(DataSpec(source=str(tree(*TEN))), progress=lambda *event: told.append(event))
    assert Counter(stage for stage, _, _ in told) == {
        "looking at the images": 20,
        "looking for duplicates": 20,
        "reading the images": 20,
    }
    assert told[-1] == ("reading the images", 20, 20)


# refusals: one line each, with the next step


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


def test_a_home_folder_is_found(tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    tree(*TEN)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert sources.load(DataSpec(source="~/pics")).source == "~/pics"


def test_a_folder_named_like_a_set_is_read_when_written_as_a_path(tree: Tree, monkeypatch: pytest.MonkeyPatch):
    root = tree(*TEN)
    root.rename(root.with_name("digits"))
    monkeypatch.chdir(root.parent)
    assert len(sources.load(DataSpec(source="digits")).classes) == 10
    assert sources.load(DataSpec(source="./digits")).classes == ("ant", "bee")


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
    assert refusal(root).endswith(f"is {root / 'val' / 'bees'} meant?")


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
    assert "use --image-size 22 or below" in refusal(root, image_size=23)
    assert loaded(root, image_size=22).train.images.shape[2:] == (22, 22)


def test_where_memory_is_unknown_nothing_is_refused(tree: Tree, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(machine, "memory_bytes", lambda: 0)
    assert len(loaded(tree(*TEN)).train) == 14


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"validation_fraction": 1.0}, "validation_fraction is 1.0; allowed: 0 or above, below 1"),
        ({"test_fraction": -0.1}, "test_fraction is -0.1"),
        ({"image_size": 0}, "image_size is 0; allowed: 1 pixel or above"),
        ({"group": "("}, "group is '(', no regular expression"),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings: dict[str, object], said: str):
    with pytest.raises(BadSetting, match=re.escape(said)):
        DataSpec(**settings)  # type: ignore[arg-type]


@pytest.mark.usefixtures("unchecked")
def test_a_fit_that_is_none_is_refused():
    with pytest.raises(BadSetting, match="did you mean 'crop'"):
        DataSpec(fit="cropp")  # type: ignore[arg-type]


def test_a_specification_survives_json():
    spec = DataSpec(source="pics", group="a(b)", image_size=32, fit="pad")
    assert configuration.from_json(DataSpec, json.loads(json.dumps(configuration.to_json(spec)))) == spec
    assert replace(spec, image_size=None).image_size is None
