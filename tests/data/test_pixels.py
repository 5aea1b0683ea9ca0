import numpy as np
import pytest
import torch

from residua.data.pixels import part_of, preprocessing_of, statistics
from residua.data.spec import DataSpec


def test_statistics_are_those_of_all_pixels():
    """mean = Σx/n and std = √(Σ(x − mean)²/n) over the pixels of a channel."""
    images = torch.randint(0, 256, (3000, 3, 4, 5), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    values = images.double() / 255
    mean, std = statistics(images.split(700))
    assert mean == pytest.approx(values.mean((0, 2, 3)).tolist(), abs=1e-12)
    assert std == pytest.approx(values.std((0, 2, 3), unbiased=False).tolist(), abs=1e-12)


def test_a_mean_a_pixel_is_in_the_order_channel_row_column():
    images = torch.randint(0, 256, (50, 3, 4, 5), dtype=torch.uint8)
    mean, std = statistics(images.split(20), per_pixel=True)
    assert mean == pytest.approx((images.double() / 255).mean(0).flatten().tolist(), abs=1e-12)
    assert std == statistics([images])[1]


def test_a_constant_channel_deviates_by_one_grey_level():
    assert statistics([torch.full((4, 1, 3, 3), 7, dtype=torch.uint8)]) == ((pytest.approx(7 / 255),), (1 / 255,))


def test_a_part_holds_the_pixels_themselves():
    pixels = np.random.default_rng(0).integers(0, 256, (2, 4, 5, 3), dtype=np.uint8)
    part = part_of("train", pixels, [1, 0], ["a.png", "b.png"])
    assert part.images[1, 2, 3, 4] == pixels[1, 3, 4, 2]
    assert part.images.data_ptr() == pixels.ctypes.data
    assert part.labels.tolist() == [1, 0]


def test_the_preprocessing_is_the_training_parts():
    pixels = np.random.default_rng(0).integers(0, 256, (6, 4, 5, 3), dtype=np.uint8)
    part = part_of("train", pixels, [0] * 6, ["x"] * 6)
    spec = preprocessing_of(part, DataSpec(fit="pad"))
    assert (spec.image_size, spec.channels, spec.fit) == ((4, 5), 3, "pad")
    assert (spec.mean, spec.std) == statistics([part.images])
    assert len(preprocessing_of(part, DataSpec(per_pixel_mean=True)).mean) == 60
