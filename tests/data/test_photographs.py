"""Sizes, colours, statistics and notes of a folder of images."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from residua.data import sources
from residua.data.augment import default_augment
from residua.data.dataset import Dataset
from residua.data.sources import DataSpec

Tree = Callable[..., Path]
Picture = Callable[..., Path]

TEN = [f"{label}/{i}.png" for label in ("ant", "bee") for i in range(10)]


def loaded(root: Path, **settings: object) -> Dataset:
    return sources.load(DataSpec(source=str(root), **settings))  # type: ignore[arg-type]


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
        "images of 30 × 20 to 30 × 40 pixels (2 sizes) are scaled and cropped to 64 × 64; "
        "--image-size and --fit change this" in data.notes
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
