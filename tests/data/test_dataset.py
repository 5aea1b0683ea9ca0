import json
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from residua import configuration
from residua.data import dataset
from residua.data.dataset import Dataset, Part, Preprocessing
from residua.errors import BadSetting


def textbook(images: torch.Tensor, spec: Preprocessing) -> torch.Tensor:
    """(x/255 − mean) / std in float64, written plainly."""
    mean = torch.tensor(spec.mean, dtype=torch.float64)
    one_a_channel = len(spec.mean) == spec.channels
    mean = mean.view(-1, 1, 1) if one_a_channel else mean.view(spec.channels, *spec.image_size)
    return (images.double() / 255 - mean) / torch.tensor(spec.std, dtype=torch.float64).view(-1, 1, 1)


@pytest.mark.parametrize("channels", [1, 3])
def test_normalise_subtracts_the_mean_and_divides_by_the_deviation(channels: int):
    """x' = (x/255 − mean) / std, a channel at a time."""
    spec = Preprocessing(
        image_size=(5, 7), channels=channels, mean=(0.4, 0.5, 0.6)[:channels], std=(0.2, 0.25, 0.3)[:channels]
    )
    images = torch.randint(0, 256, (4, channels, 5, 7), dtype=torch.uint8)
    torch.testing.assert_close(spec.normalise(images).double(), textbook(images, spec), atol=1e-5, rtol=1e-5)


def test_a_mean_of_every_pixel_is_subtracted_at_its_pixel():
    mean = tuple((torch.arange(3 * 5 * 7) / 200).tolist())
    spec = Preprocessing(image_size=(5, 7), channels=3, mean=mean, std=(0.2, 0.25, 0.3))
    images = torch.randint(0, 256, (4, 3, 5, 7), dtype=torch.uint8)
    torch.testing.assert_close(spec.normalise(images).double(), textbook(images, spec), atol=1e-5, rtol=1e-5)


def test_normalised_images_are_channels_last_whatever_they_came_as():
    spec = Preprocessing(image_size=(6, 6), channels=3, mean=(0.5,) * 3, std=(0.2,) * 3)
    planes = torch.randint(0, 256, (4, 3, 6, 6), dtype=torch.uint8)
    pixels = planes.contiguous(memory_format=torch.channels_last)
    for images in (planes, pixels):
        assert spec.normalise(images).is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(spec.normalise(planes), spec.normalise(pixels))


def test_preprocessing_survives_json():
    spec = Preprocessing(image_size=(5, 7), channels=3, fit="pad", mean=(0.1, 0.2, 0.3), std=(1 / 3, 0.2, 0.3))
    text = json.dumps(configuration.to_json(spec))
    assert configuration.from_json(Preprocessing, json.loads(text)) == spec


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"channels": 2}, "channels is 2"),
        ({"mean": (0.1, 0.2)}, "mean is '2 values'"),
        ({"std": (0.1,)}, "std is '1 values'"),
        ({"std": (0.1, 0.0, 0.1)}, "values above 0"),
    ],
)
def test_a_preprocessing_that_contradicts_itself_is_refused(change: dict[str, object], said: str):
    spec = Preprocessing(image_size=(5, 7), channels=3, mean=(0.1, 0.2, 0.3), std=(0.1, 0.2, 0.3))
    with pytest.raises(BadSetting, match=said):
        replace(spec, **change)


def test_a_digest_is_known_and_the_same_for_every_memory_layout(numbered: Callable[..., Part]):
    part = numbered(5)
    known = "sha256:833a2c5086fd0b4df6937f7f508c9ab7057f6d37095ee22f09515ee3800f5826"
    pixels = replace(part, images=part.images.contiguous(memory_format=torch.channels_last))
    assert part.digest == pixels.digest == known


def test_a_digest_changes_with_a_pixel_a_label_a_name_and_the_order(numbered: Callable[..., Part]):
    part = numbered(5)
    pixel = part.images.clone()
    pixel[3, 1, 2, 2] += 1
    others = [
        replace(part, images=pixel),
        replace(part, labels=part.labels.flip(0)),
        replace(part, files=("other.png", *part.files[1:])),
        replace(part, images=part.images.flip(0)),
    ]
    assert len({part.digest, *(other.digest for other in others)}) == 5


def test_a_part_is_itself_on_the_device_it_is_on(numbered: Callable[..., Part]):
    part = numbered(3)
    assert part.to(torch.device("cpu")) is part


def test_the_card_says_what_is_in_each_part(numbered: Callable[..., Part], plain: Callable[..., Preprocessing]):
    train = numbered(7)
    test = replace(numbered(3), name="test")
    data = Dataset(
        source="pics",
        classes=("a", "b", "c"),
        parts=(train, test),
        preprocessing=plain(),
        notes=("look",),
        left_out=("notes.txt",),
        sizes=((8, 8, 10),),
    )
    card = json.loads(json.dumps(data.card()))
    assert card["parts"]["train"] == {"images": 7, "by_class": {"a": 3, "b": 2, "c": 2}, "digest": train.digest}
    assert card["parts"]["test"]["images"] == 3
    assert card["sizes"] == [{"height": 8, "width": 8, "images": 10}]
    assert (card["notes"], card["left_out"]) == (["look"], ["notes.txt"])
    assert data.split() == {"train": list(train.files), "test": list(test.files)}
    assert (data.train, data.validation, data.test) == (train, None, test)


Stored = Callable[[Part], tuple[Part, list[int]]]


def test_a_stored_parts_images_digest_and_chosen_ones_are_those_of_its_twin_in_memory(
    numbered: Callable[..., Part], stored: Stored
):
    part = numbered(20)
    twin, _ = stored(part)
    places = torch.tensor([7, 0, 19])
    assert twin.images.is_meta
    assert (len(twin), twin.images.shape) == (20, part.images.shape)
    assert torch.equal(twin.take(places), part.images[places])
    assert torch.equal(twin.take(slice(3, 6)), part.images[3:6])
    assert twin.digest == part.digest
    some, others = twin.only(places), part.only(places)
    assert torch.equal(some.take(slice(1, 3)), others.images[1:3])
    assert (some.files, some.labels.tolist(), some.digest) == (others.files, others.labels.tolist(), others.digest)


def test_a_walk_over_all_images_takes_few_at_a_time_and_settles_the_digest(
    numbered: Callable[..., Part], stored: Stored, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(dataset, "_CHUNK_BYTES", 3 * 3 * 8 * 8)
    part = numbered(20)
    twin, read_at_once = stored(part)
    assert torch.equal(torch.cat(list(twin.chunks())), part.images)
    assert read_at_once == [3, 3, 3, 3, 3, 3, 2]
    assert twin.digest == part.digest
    assert len(read_at_once) == 7


def test_a_walk_broken_off_settles_nothing(numbered: Callable[..., Part]):
    part, expected = numbered(20), numbered(20).digest
    next(part.chunks())
    assert part.digest == expected


def test_stored_images_stay_where_they_are_unless_a_gpu_has_room(
    numbered: Callable[..., Part], stored: Stored, monkeypatch: pytest.MonkeyPatch
):
    part = numbered(20)
    twin, _ = stored(part)
    assert twin.to(torch.device("cpu")).stored is twin.stored
    monkeypatch.setattr(Part, "_fits", lambda *_: True)
    held = twin.to(torch.device("cpu"))
    assert held.stored is None
    assert torch.equal(held.images, part.images)
    assert held.images.is_contiguous(memory_format=torch.channels_last)
