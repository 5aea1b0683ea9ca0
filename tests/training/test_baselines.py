from collections.abc import Callable
from dataclasses import replace

import torch

from residua.data.dataset import Dataset, Part
from residua.training.baselines import baselines


def many(dataset: Dataset, images: int) -> Part:
    """As many random images as asked for, told apart by their first pixel."""
    pixels = torch.randint(0, 200, (images, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(images) % 2
    pixels[:, 0, 0, 0] = (255 * labels).to(torch.uint8)
    return replace(dataset.train, images=pixels, labels=labels, files=("",) * images)


def test_stored_images_give_the_same_baselines_and_are_read_few_at_a_time(
    stripes: Dataset, stored: Callable[[Part], tuple[Part, list[int]]]
):
    part = many(stripes, 300)
    twin, read_at_once = stored(part)
    expected = baselines(replace(stripes, parts=(part,)), part)
    assert expected["logistic_regression"]["accuracy"] > 0.9
    assert baselines(replace(stripes, parts=(twin,)), twin) == expected
    assert max(read_at_once) == 128


def test_a_sample_of_one_class_answers_with_that_class(stripes: Dataset):
    """Of many images with a few of another class, the 10,000 that the linear model sees may have none of these."""
    train = many(stripes, 30)
    train = replace(train, labels=torch.zeros(30, dtype=torch.int64))
    found = baselines(replace(stripes, parts=(train,)), many(stripes, 4))
    assert found["logistic_regression"]["accuracy"] == 0.5
