"""Mixup and cutmix: images of a batch that are made of two, and labels that say how much of each (a batch at a time).

Notation: λ is the share of an image's own label, 1 − λ its partner's; the partner is the image before it in the batch.
λ is one number for the whole batch, a function of (seed, epoch, step). Of several processes each pairs the images
of its own share.
"""

from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from residua import configuration
from residua.data.augment import seed_for


@final
@dataclass(frozen=True, kw_only=True)
class MixSpec:
    """Says how images are mixed; where both are on, each step takes one of them at random."""

    mixup: float = 0.0
    """α of the Beta(α, α) that λ comes from (Zhang et al. 2018: 0.2 to 1); 0 does not mix."""
    cutmix: float = 0.0
    """α of cutmix: a square of the partner covers the share 1 − λ of the image (Yun et al. 2019: 1); 0 does not."""

    def __post_init__(self) -> None:
        configuration.check(self.mixup >= 0, "mixup", self.mixup, "0 or above")
        configuration.check(self.cutmix >= 0, "cutmix", self.cutmix, "0 or above")


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Mixed:
    """A batch after mixing."""

    images: Float[Tensor, "b c h w"]
    partners: Int64[Tensor, " b"]
    """The labels of what was mixed in."""
    share: float
    """λ: how much of every image is its own."""


def mix(
    images: Float[Tensor, "b c h w"],
    labels: Int64[Tensor, " b"],
    spec: MixSpec,
    *,
    seed: int,
    epoch: int,
    step: int,
) -> Mixed | None:
    """Returns the batch mixed as the specification says; None where it mixes nothing. ``images`` is left unchanged."""
    kinds = [kind for kind in ("mixup", "cutmix") if getattr(spec, kind) > 0]
    if not kinds:
        return None
    draws = np.random.default_rng(seed_for("mix", seed, epoch, step))
    kind = kinds[int(draws.integers(len(kinds)))]
    alpha = getattr(spec, kind)
    share = float(draws.beta(alpha, alpha))
    others, partners = images.roll(1, 0), labels.roll(1, 0)
    if kind == "mixup":
        return Mixed(images=torch.lerp(others, images, share), partners=partners, share=share)
    top, bottom, left, right = _rectangle(images.shape[2:], share, draws)
    cut = images.clone(memory_format=torch.preserve_format)
    cut[:, :, top:bottom, left:right] = others[:, :, top:bottom, left:right]
    covered = (bottom - top) * (right - left) / (images.shape[2] * images.shape[3])
    return Mixed(images=cut, partners=partners, share=1 - covered)


def _rectangle(sides: torch.Size, share: float, draws: np.random.Generator) -> tuple[int, int, int, int]:
    """Returns top, bottom, left, right of a rectangle of the image's proportions with 1 − ``share`` of its area.

    Its centre is anywhere in the image; what sticks out is cut off (Yun et al. 2019, Eq. 2).
    """
    height, width = sides
    tall, wide = round(height * (1 - share) ** 0.5), round(width * (1 - share) ** 0.5)
    top, left = int(draws.integers(height)) - tall // 2, int(draws.integers(width)) - wide // 2
    return max(0, top), min(height, top + tall), max(0, left), min(width, left + wide)
