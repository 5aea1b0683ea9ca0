"""Pictures in a page."""

import base64
import io

import numpy as np
import pytest
import torch
from PIL import Image

from residua.report.pictures import embedded, overlaid


def decoded(address: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))))


@pytest.mark.parametrize("channels", [1, 3])
def test_a_small_image_comes_back_exactly(channels):
    image = torch.arange(channels * 6, dtype=torch.uint8).reshape(channels, 2, 3) * 10
    address = embedded(image)
    assert address.startswith("data:image/png;base64,")
    assert np.array_equal(decoded(address).reshape(2, 3, channels), image.permute(1, 2, 0).numpy())


def test_a_photograph_is_compressed_and_comes_back_nearly():
    ramp = torch.linspace(0, 255, 100).to(torch.uint8)
    image = ramp.expand(3, 80, 100).contiguous()
    address = embedded(image)
    assert address.startswith("data:image/jpeg;base64,")
    assert np.abs(decoded(address).astype(int) - image.permute(1, 2, 0).numpy()).max() < 8


def test_evidence_is_bright_and_its_absence_dark():
    image = torch.full((1, 2, 2), 100, dtype=torch.uint8)
    shown = decoded(overlaid(image, torch.tensor([[0.0, 1.0], [0.5, 0.0]]))).astype(int).sum(axis=2)
    assert shown[0, 0] == shown[1, 1] < shown[1, 0] < shown[0, 1]


def test_the_image_shows_through_its_map():
    image = torch.tensor([[[0, 200]]], dtype=torch.uint8)
    shown = decoded(overlaid(image, torch.zeros(1, 2))).astype(int)
    assert shown[0, 1].min() - shown[0, 0].max() > 50
