"""Sources as a whole: the digits, folders by their path, progress and the card."""

import json
import os
from collections import Counter
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

TEN = [f"{label}/{i}.png" for label in ("ant", "bee") for i in range(10)]


def loaded(root: Path, **settings: object) -> Dataset:
    return sources.load(DataSpec(source=str(root), **settings))  # type: ignore[arg-type]


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
    assert data.train.digest == "sha256:b3d559c36cacee7943ddcf7c5941fa756c9883f31fd9ba8afb40ea51a288f498"


def test_an_image_size_scales_a_published_set():
    data = sources.load(DataSpec(image_size=16, per_pixel_mean=True))
    assert data.preprocessing.image_size == (16, 16)
    assert data.train.images.shape[1:] == (1, 16, 16)
    assert len(data.preprocessing.mean) == 256


def test_the_split_is_the_same_wherever_the_folder_lies(tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    root = tree(*TEN)
    before = loaded(root).split()
    root.rename(tmp_path / "moved")
    monkeypatch.chdir(tmp_path)
    assert loaded(Path("moved")).split() == before
    assert loaded(Path("moved/../moved/")).split() == before


def test_images_labels_and_names_stay_together(tree: Tree):
    root = tree(*TEN)
    data = loaded(root)
    for part in data.parts:
        for image, label, name in zip(part.images, part.labels, part.files, strict=True):
            assert name.startswith(data.classes[int(label)])
            assert np.array_equal(image.permute(1, 2, 0), np.asarray(Image.open(root / name)))


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
