from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from residua.data.dataset import Preprocessing
from residua.data.fitting import fitted, read_image
from residua.data.spec import Fit
from residua.errors import BadData

COLOUR = np.random.default_rng(1).integers(0, 256, (9, 13, 3), dtype=np.uint8)


def halves(width: int, height: int) -> Image.Image:
    """Black left, white right."""
    image = Image.new("L", (width, height))
    image.paste(255, (width // 2, 0, width, height))
    return image


@pytest.mark.parametrize("fit", ["crop", "pad", "squash"])
@pytest.mark.parametrize("shape", [(13, 9), (9, 13), (1, 300), (300, 1), (500, 376), (7, 7)])
@pytest.mark.parametrize("size", [(8, 8), (5, 11), (224, 224)])
def test_every_shape_is_fitted_to_the_size(fit: Fit, shape: tuple[int, int], size: tuple[int, int]):
    for channels in (1, 3):
        assert fitted(Image.new("RGB", shape), size, fit=fit, channels=channels).shape == (*size, channels)


@pytest.mark.parametrize("fit", ["crop", "pad", "squash"])
def test_an_image_of_the_right_size_is_not_touched(fit: Fit):
    assert np.array_equal(fitted(Image.fromarray(COLOUR), (9, 13), fit=fit, channels=3), COLOUR)


def test_crop_keeps_the_middle_and_the_proportions():
    """Of 12 × 4 pixels in thirds of black, white, black, the middle square is the white third."""
    image = Image.new("L", (12, 4))
    image.paste(255, (4, 0, 8, 4))
    assert fitted(image, (4, 4), fit="crop", channels=1).min() == 255
    assert fitted(image.rotate(90, expand=True), (4, 4), fit="crop", channels=1).min() == 255


def test_pad_shows_everything_in_the_middle_of_black():
    found = fitted(Image.new("L", (12, 4), 255), (12, 12), fit="pad", channels=1)[:, :, 0]
    assert found[4:8].min() == 255
    assert found[:4].max() == found[8:].max() == 0


def test_squash_changes_the_proportions_alone():
    found = fitted(halves(12, 4), (4, 4), fit="squash", channels=1)[:, :, 0]
    assert found[:, 0].max() == 0
    assert found[:, 3].min() == 255


def test_scaling_down_averages_over_the_area():
    """A checkerboard of single pixels becomes even grey, not black or white."""
    board = (np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8)
    found = fitted(Image.fromarray(board), (8, 8), fit="crop", channels=1)
    assert abs(found.astype(int) - 127.5).max() <= 2


def test_grey_repeats_for_a_colour_network():
    found = fitted(Image.fromarray(COLOUR[:, :, 0]), (9, 13), fit="crop", channels=3)
    assert np.array_equal(found, np.repeat(COLOUR[:, :, :1], 3, axis=2))


def test_colour_becomes_luminance_for_a_grey_network():
    """ITU-R 601: 0.299 R + 0.587 G + 0.114 B."""
    found = fitted(Image.fromarray(COLOUR), (9, 13), fit="crop", channels=1)[:, :, 0]
    assert np.abs(found - COLOUR @ (0.299, 0.587, 0.114)).max() <= 1


def test_one_image_reads_alike_from_every_kind_of_source(tmp_path: Path, plain: Callable[..., Preprocessing]):
    spec = replace(plain(side=6), fit="pad")
    image = Image.fromarray(COLOUR)
    image.save(tmp_path / "x.png")
    path = tmp_path / "x.png"
    tensor = torch.from_numpy(COLOUR).permute(2, 0, 1)
    sources = [path, str(path), path.read_bytes(), image, COLOUR, tensor, COLOUR.astype(np.uint16) * 257]
    found = [read_image(source, spec) for source in sources]
    assert found[0].shape == (3, 6, 6)
    assert all(torch.equal(found[0], other) for other in found[1:])


def test_arrays_with_one_and_four_channels_are_read(plain: Callable[..., Preprocessing]):
    opaque = np.dstack([COLOUR, np.full((9, 13), 255, np.uint8)])
    spec = plain(side=9)
    assert torch.equal(read_image(opaque, spec), read_image(COLOUR, spec))
    grey = COLOUR[:, :, :1]
    assert torch.equal(read_image(grey, spec), read_image(grey[:, :, 0], spec))


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.zeros((4, 4)), "pixels of float64; give uint8 from 0 to 255, or uint16"),
        (np.zeros((4, 4, 2), np.uint8), r"shape \(4, 4, 2\); give height × width"),
        (np.zeros((2, 4, 4, 3), np.uint8), r"shape \(2, 4, 4, 3\)"),
        (np.zeros((0, 4), np.uint8), r"shape \(0, 4\)"),
    ],
)
def test_arrays_that_are_no_images_are_refused(array: np.ndarray, said: str, plain: Callable[..., Preprocessing]):
    with pytest.raises(BadData, match=said):
        read_image(array, plain())


def test_a_damaged_image_opened_by_the_caller_is_said(tmp_path: Path, plain: Callable[..., Preprocessing]):
    Image.fromarray(np.tile(COLOUR, (9, 9, 1))).save(tmp_path / "x.png")
    content = (tmp_path / "x.png").read_bytes()
    (tmp_path / "x.png").write_bytes(content[: len(content) // 2])
    with Image.open(tmp_path / "x.png") as image, pytest.raises(BadData, match="the image is damaged"):
        read_image(image, plain())
