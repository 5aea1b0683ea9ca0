"""What all tests share: one thread for each worker, and small sets of images."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _own_folder_for_runs(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path_factory.mktemp("cwd"))


@pytest.fixture
def coloured_folder(tmp_path: Path) -> Path:
    """A folder of 2 classes × 30 colour images of 32 × 32 pixels that the mean colour tells apart."""
    generator = np.random.default_rng(0)
    for name, channel in (("red", 0), ("青い", 2)):
        (tmp_path / "colours" / name).mkdir(parents=True)
        for index in range(30):
            pixels = generator.integers(0, 120, (32, 32, 3), dtype=np.uint8)
            pixels[:, :, channel] += 100
            Image.fromarray(pixels).save(tmp_path / "colours" / name / f"{index:02d}.png")
    return tmp_path / "colours"
