from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from residua.data import keeping
from residua.data.dataset import Preprocessing
from residua.data.foreign import foreign_part
from residua.errors import BadData

Tree = Callable[..., Path]
Plain = Callable[..., Preprocessing]


def test_all_images_are_taken_where_the_source_has_no_parts(tree: Tree, plain: Plain):
    root = tree("bee/1.png", "ant/2.png", "ant/3.png")
    part = foreign_part(str(root), plain(side=8), ("ant", "bee"))
    assert part.files == ("ant/2.png", "ant/3.png", "bee/1.png")
    assert part.images.shape == (3, 3, 8, 8)


@pytest.mark.parametrize(("parts", "expected"), [(("train", "val"), "validation"), (("train", "val", "test"), "test")])
def test_the_part_furthest_from_training_is_taken(tree: Tree, plain: Plain, parts: tuple[str, ...], expected: str):
    root = tree(*(f"{part}/{label}/1.png" for part in parts for label in ("ant", "bee")))
    assert foreign_part(str(root), plain(), ("ant", "bee")).name == expected


def test_labels_are_positions_among_the_networks_classes(tree: Tree, plain: Plain):
    root = tree("bee/1.png", "ant/2.png")
    part = foreign_part(str(root), plain(), ("wasp", "bee", "ant"))
    assert dict(zip(part.files, part.labels.tolist(), strict=True)) == {"ant/2.png": 2, "bee/1.png": 1}


def test_a_class_that_the_network_does_not_know_is_refused(tree: Tree, plain: Plain):
    root = tree("bees/1.png", "ant/2.png")
    with pytest.raises(BadData, match="'bees' is no class of this network; did you mean 'bee'"):
        foreign_part(str(root), plain(), ("ant", "bee"))


def test_colour_becomes_luminance_for_a_grey_network(tree: Tree, plain: Plain):
    """ITU-R 601, as Pillow has it, to one grey level."""
    root = tree("bee/1.png", "ant/2.png", side=(8, 8))
    part = foreign_part(str(root), plain(c=1), ("ant", "bee"))
    expected = np.asarray(Image.open(root / "ant" / "2.png").convert("L")).astype(int)
    assert np.abs(part.images[0, 0].numpy() - expected).max() <= 1


def test_grey_repeats_for_a_colour_network(plain: Plain):
    part = foreign_part("digits", plain(side=8), tuple("0123456789"))
    assert part.images.shape == (1797, 3, 8, 8)
    assert torch.equal(part.images, part.images[:, :1].expand(-1, 3, -1, -1))


@pytest.mark.parametrize("channels", [1, 3])
def test_stored_images_are_recoloured_as_those_in_memory_are(
    tmp_path: Path, plain: Plain, monkeypatch: pytest.MonkeyPatch, channels: int
):
    for i, name in enumerate("ab"):
        image = Image.fromarray(np.random.default_rng(i).integers(0, 256, (8, 8, 3), dtype=np.uint8))
        (tmp_path / name).mkdir()
        image.convert("L" if channels == 3 else "RGB").save(tmp_path / name / "1.png")
    memory = foreign_part(str(tmp_path), plain(c=channels), ("a", "b"))
    monkeypatch.setattr(keeping, "IN_MEMORY_BYTES", 0)
    stored = foreign_part(str(tmp_path), plain(c=channels), ("a", "b"))
    assert stored.stored is not None
    assert stored.images.shape == memory.images.shape == (2, channels, 8, 8)
    assert torch.equal(stored.take(slice(0, 2)), memory.images)


def test_images_of_another_shape_than_the_networks_are_refused(tree: Tree, plain: Plain):
    wide = replace(plain(), image_size=(8, 16))
    with pytest.raises(BadData, match="images of 10×12 pixels and the network takes 8×16; resize them first"):
        foreign_part(str(tree("bee/1.png", "ant/2.png")), wide, ("ant", "bee"))


def test_settings_say_where_decoded_images_are(tree: Tree, plain: Plain, tmp_path: Path):
    """A run that was told where its cache is uses it for other images, too."""
    where, root = tmp_path / "kept", tree("bee/1.png", "ant/2.png")
    part = foreign_part(str(root), plain(side=8), ("ant", "bee"), settings=("keep=cache", f"cache={where}"))
    assert part.stored is not None
    assert [path.suffix for path in where.iterdir() if not path.name.startswith(".")] == [".npy"]
