from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from residua.data.augment import AugmentSpec, Moment, augment, default_augment, has_orientation, seed_for
from residua.data.dataset import Dataset, Part, Preprocessing
from residua.errors import BadSetting

NOW = Moment(seed=0, epoch=1, step=0)


def windows(image: Tensor, border: int, mode: str) -> list[Tensor]:
    """Every crop of the padded image, by the plainest means."""
    padded = functional.pad(image.float()[None], (border,) * 4, mode=mode)[0].to(torch.uint8)
    _, h, w = image.shape
    places = range(2 * border + 1)
    return [padded[:, top : top + h, left : left + w] for top in places for left in places]


@pytest.mark.parametrize(("padding", "mode"), [("reflect", "reflect"), ("zero", "constant")])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_crop_is_one_of_the_windows_of_the_padded_image(
    numbered: Callable[..., Part], padding: str, mode: str, channels: int
):
    images = numbered(64, channels).images
    spec = AugmentSpec(crop_padding=2, padding="zero" if padding == "zero" else "reflect")
    cropped = augment(images, torch.arange(64), spec, at=NOW)
    chosen = []
    for before, after in zip(images, cropped, strict=True):
        equal = [torch.equal(after, window) for window in windows(before, 2, mode)]
        assert any(equal)
        chosen.append(equal.index(True))
    assert len(set(chosen)) > 15  # of 25 places, 64 images meet 23 on average


def test_every_place_is_equally_likely(numbered: Callable[..., Part]):
    """Offsets are uniform on 0 … 2p: each of 9 windows gets 1/9 of 9,000 images, ± 5 standard deviations."""
    image = numbered(1, 1).images
    many = image.expand(9000, -1, -1, -1)
    cropped = augment(many, torch.arange(9000), AugmentSpec(crop_padding=1), at=NOW)
    counts = [int((cropped == window).all((1, 2, 3)).sum()) for window in windows(image[0], 1, "reflect")]
    assert sum(counts) == 9000
    assert all(abs(count - 1000) < 5 * 30 for count in counts)


def test_an_alternating_flip_shows_each_image_both_ways_in_every_pair_of_epochs(numbered: Callable[..., Part]):
    """Jordan 2024 (arXiv:2404.00498), section 3.6."""
    part, spec = numbered(200), AugmentSpec(flip="alternating")
    shown = [augment(part.images, torch.arange(200), spec, at=replace(NOW, epoch=epoch)) for epoch in (1, 2, 3)]
    first = (shown[0] == part.images).all((1, 2, 3))
    second = (shown[1] == part.images).all((1, 2, 3))
    assert torch.equal(first, ~second)
    assert torch.equal(shown[1], shown[0].flip(3))
    assert torch.equal(shown[0], shown[2])
    assert 70 < int(first.sum()) < 130


def test_an_alternating_flip_depends_on_the_image_not_on_its_place_in_the_batch(numbered: Callable[..., Part]):
    part, spec = numbered(64), AugmentSpec(flip="alternating")
    order = torch.randperm(64, generator=torch.Generator().manual_seed(1))
    straight = augment(part.images, torch.arange(64), spec, at=NOW)
    assert torch.equal(augment(part.images[order], order, spec, at=NOW), straight[order])


def test_first_orientations_depend_on_the_seed(numbered: Callable[..., Part]):
    part, spec = numbered(64), AugmentSpec(flip="alternating")
    one = augment(part.images, torch.arange(64), spec, at=NOW)
    assert not torch.equal(one, augment(part.images, torch.arange(64), spec, at=replace(NOW, seed=1)))


def test_a_random_flip_mirrors_half_of_the_images_anew_at_each_step(numbered: Callable[..., Part]):
    part, spec = numbered(200), AugmentSpec(flip="random")
    mirrored = []
    for step in (0, 1):
        shown = augment(part.images, torch.arange(200), spec, at=replace(NOW, step=step))
        same = (shown == part.images).all((1, 2, 3))
        assert torch.equal(shown[~same], part.images[~same].flip(3))
        mirrored.append(~same)
    assert all(70 < int(flags.sum()) < 130 for flags in mirrored)
    assert not torch.equal(*mirrored)


@pytest.mark.parametrize("change", [{"seed": 1}, {"epoch": 2}, {"step": 1}])
def test_draws_depend_on_seed_epoch_and_step_alone(numbered: Callable[..., Part], change: dict[str, int]):
    part, spec = numbered(64), AugmentSpec(crop_padding=2, flip="random")
    everything = torch.arange(64)
    torch.manual_seed(5)
    first = augment(part.images, everything, spec, at=NOW)
    torch.manual_seed(6)
    assert torch.equal(first, augment(part.images, everything, spec, at=NOW))
    assert not torch.equal(first, augment(part.images, everything, spec, at=replace(NOW, **change)))


@pytest.mark.parametrize("images", [1, 7, 8])
@pytest.mark.parametrize("flip", ["random", "alternating"])
def test_ranks_together_see_what_one_process_would(numbered: Callable[..., Part], images: int, flip: str):
    part = numbered(images)
    spec = AugmentSpec(crop_padding=2, flip="random" if flip == "random" else "alternating")
    everything = torch.arange(images)
    alone = augment(part.images, everything, spec, at=NOW)
    for rank in range(3):
        own = everything[rank::3]
        shared = augment(part.images[own], own, spec, at=replace(NOW, rank=rank, ranks=3))
        assert torch.equal(shared, alone[own])


def test_without_crop_and_flip_the_images_are_unchanged(numbered: Callable[..., Part]):
    images = numbered(5).images
    assert torch.equal(augment(images, torch.arange(5), AugmentSpec(), at=NOW), images)


def test_augmenting_leaves_the_batch_as_it_was(numbered: Callable[..., Part]):
    images = numbered(16).images
    before = images.clone()
    augment(images, torch.arange(16), AugmentSpec(crop_padding=2, flip="random"), at=NOW)
    assert torch.equal(images, before)


def test_a_border_wider_than_the_image_reflects_again():
    image = torch.tensor([[[[10, 20]]]], dtype=torch.uint8)
    shown = augment(image.expand(50, 1, 1, 2), torch.arange(50), AugmentSpec(crop_padding=5), at=NOW)
    assert {tuple(row) for row in shown.flatten(1).tolist()} == {(10, 20), (20, 10)}


def test_a_seed_is_known():
    """The head of SHA-256 of 'order/0/1', halved; a change would change every run."""
    assert seed_for("order", 0, 1) == 8783113041400999520


@pytest.mark.parametrize(
    ("source", "side", "classes", "expected"),
    [
        ("digits", 8, tuple("0123456789"), AugmentSpec(crop_padding=1, flip="none")),
        ("fashion-mnist", 28, ("Coat", "Bag"), AugmentSpec(crop_padding=2, flip="alternating")),
        ("cifar10", 32, ("cat", "dog"), AugmentSpec(crop_padding=4, flip="alternating")),
        ("pets", 224, ("cat", "dog"), AugmentSpec(crop_padding=28, flip="alternating")),
        ("letters", 32, ("a", "B", "ß"), AugmentSpec(crop_padding=4, flip="none")),
    ],
)
def test_the_default_suits_the_source(
    numbered: Callable[..., Part],
    plain: Callable[..., Preprocessing],
    source: str,
    side: int,
    classes: tuple[str, ...],
    expected: AugmentSpec,
):
    data = Dataset(source=source, classes=classes, parts=(numbered(3),), preprocessing=plain(side=side))
    assert default_augment(data) == expected


@pytest.mark.parametrize(
    ("classes", "expected"), [(("0", "10"), True), (("a", "b"), True), (("a", "cat"), False), (("?", "!"), False)]
)
def test_digits_and_letters_have_an_orientation(classes: tuple[str, ...], expected: bool):
    assert has_orientation(classes) is expected


@pytest.mark.usefixtures("unchecked")
def test_settings_that_mean_nothing_are_refused():
    with pytest.raises(BadSetting, match="did you mean 'alternating'"):
        AugmentSpec(flip="alternate")  # type: ignore[arg-type]
    with pytest.raises(BadSetting, match="crop_padding is -1"):
        AugmentSpec(crop_padding=-1)


def test_a_resized_crop_is_a_window_of_the_image_enlarged(numbered: Callable[..., Part]):
    """Beside Pillow-free slow sampling: output pixel (i, j) reads the window at ((i + ½)/h, (j + ½)/w), bilinearly."""
    ramp = torch.arange(32).view(1, 1, 1, 32).expand(1, 3, 32, 32) * 8
    images = ramp.to(torch.uint8).repeat(200, 1, 1, 1)
    cropped = augment(images, torch.arange(200), AugmentSpec(crop_smallest_area=0.25), at=NOW).float()
    row = cropped[:, 0, 16]
    steps = row.diff(dim=1)[:, 2:-2]
    scale = steps.mean(1) / 8  # of a straight ramp: the window's width over the image's
    assert (steps - steps.mean(1, keepdim=True)).abs().max() <= 1.0  # straight, but for rounding
    assert float(scale.min()) >= 0.43  # √(0.25 · 3/4)
    assert float(scale.max()) <= 1.0
    assert float(scale.std()) > 0.1
    assert torch.equal(cropped[:, 0], cropped[:, 2])


def test_the_whole_area_leaves_an_image_as_it_is():
    """A window of all of the area that fits has one shape, the image's."""
    images = torch.randint(256, (4, 3, 16, 16), dtype=torch.uint8)
    assert torch.equal(augment(images, torch.arange(4), AugmentSpec(crop_smallest_area=1.0), at=NOW), images)


def test_erasing_covers_one_rectangle_of_a_share_of_the_images():
    """Half of 2,000 images ± 5 standard deviations; each rectangle has 2 to 40 % of the area, up to rounding."""
    images = torch.zeros(2000, 1, 20, 20, dtype=torch.uint8)
    erased = augment(images, torch.arange(2000), AugmentSpec(erase=0.5), at=NOW)[:, 0] > 0
    touched = erased.flatten(1).any(1)
    assert abs(int(touched.sum()) - 1000) < 5 * 22.4
    for mask in erased[touched][:200]:
        rows, columns = mask.any(1).nonzero(), mask.any(0).nonzero()
        box = int(rows.max() - rows.min() + 1) * int(columns.max() - columns.min() + 1)
        assert 1 <= box <= 0.46 * 400
        assert int(mask.sum()) >= 0.9 * box - 3  # one noise value in 256 is black


@pytest.mark.parametrize("spec", [AugmentSpec(crop_smallest_area=0.3), AugmentSpec(erase=1.0)])
def test_ranks_see_together_what_one_process_sees(spec: AugmentSpec, numbered: Callable[..., Part]):
    images, indices = numbered(6, 3).images, torch.arange(6)
    whole = augment(images, indices, spec, at=NOW)
    for rank in range(2):
        at = Moment(seed=0, epoch=1, step=0, rank=rank, ranks=2)
        assert torch.equal(augment(images[rank::2], indices[rank::2], spec, at=at), whole[rank::2])


@pytest.mark.parametrize("wrong", [{"crop_smallest_area": 0.0}, {"crop_smallest_area": 1.5}, {"erase": 1.1}])
def test_shares_outside_their_range_are_refused(wrong: dict):
    with pytest.raises(BadSetting, match=next(iter(wrong))):
        AugmentSpec(**wrong)
