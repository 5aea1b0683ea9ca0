"""Mixup and cutmix: two images become one, and the labels' shares say how much of each."""

import pytest
import torch

from residua.data.mixing import MixSpec, mix
from residua.errors import BadSetting

IMAGES = torch.rand(6, 3, 8, 10, generator=torch.Generator().manual_seed(0)).to(memory_format=torch.channels_last)
LABELS = torch.arange(6)


def test_mixup_is_a_weighted_sum_of_an_image_and_its_partner():
    """x̃ = λ·x_i + (1 − λ)·x_j (Zhang et al. 2018, §2), j the image before i."""
    mixed = mix(IMAGES, LABELS, MixSpec(mixup=1.0), seed=0, epoch=1, step=0)
    assert mixed is not None
    for i in range(6):
        expected = mixed.share * IMAGES[i] + (1 - mixed.share) * IMAGES[i - 1]
        torch.testing.assert_close(mixed.images[i], expected)
        assert mixed.partners[i] == LABELS[i - 1]


def test_cutmix_covers_a_rectangle_and_its_share_is_what_is_left():
    for step in range(20):
        mixed = mix(IMAGES, LABELS, MixSpec(cutmix=1.0), seed=0, epoch=1, step=step)
        assert mixed is not None
        own = (mixed.images == IMAGES).all(1)
        others = (mixed.images == IMAGES.roll(1, 0)).all(1)
        assert (own | others).all()
        assert own.float().mean(dim=(1, 2)).tolist() == pytest.approx([mixed.share] * 6)
        rows, columns = others[0].any(1), others[0].any(0)
        assert int(others[0].sum()) == int(rows.sum()) * int(columns.sum())


def test_shares_follow_the_beta_distribution():
    """Beta(α, α) has mean 1/2 and variance 1/(4(2α + 1)); 2,000 steps, ± 5 standard errors."""
    found = [mix(IMAGES, LABELS, MixSpec(mixup=0.5), seed=0, epoch=1, step=s) for s in range(2000)]
    shares = torch.tensor([mixed.share for mixed in found if mixed])
    assert abs(shares.mean() - 0.5) < 5 * (0.125 / 2000) ** 0.5
    assert float(shares.var()) == pytest.approx(0.125, rel=0.1)


def test_both_take_turns_at_random_and_a_step_is_always_the_same():
    spec = MixSpec(mixup=1.0, cutmix=1.0)
    pairs = [[mix(IMAGES, LABELS, spec, seed=1, epoch=2, step=s) for s in range(30)] for _ in range(2)]
    cut = [bool((one.images == IMAGES).all(1).any()) for one in pairs[0] if one]
    assert 5 < sum(cut) < 25
    assert all(torch.equal(a.images, b.images) for a, b in zip(*pairs, strict=True) if a and b)


def test_nothing_is_mixed_unless_asked_and_the_batch_is_left_alone():
    assert mix(IMAGES, LABELS, MixSpec(), seed=0, epoch=1, step=0) is None
    before = IMAGES.clone()
    mix(IMAGES, LABELS, MixSpec(cutmix=1.0), seed=0, epoch=1, step=0)
    assert torch.equal(IMAGES, before)


@pytest.mark.parametrize("field", ["mixup", "cutmix"])
def test_a_negative_alpha_is_refused(field: str):
    with pytest.raises(BadSetting, match=field):
        MixSpec(**{field: -0.1})
