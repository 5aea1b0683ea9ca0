"""What all tests share: one thread for each worker, and small sets of images."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import hashlib
import http.server
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import final

import numpy as np
import pytest
import torch
from PIL import Image

from residua.data import stored as storing
from residua.data.dataset import Part, stored_part

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _own_folders_for_runs_and_pixels(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path_factory.mktemp("cwd")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("RESIDUA_CACHE", str(folder / "cache"))
    monkeypatch.setattr(storing, "_TICK_NS", 2 * 10**7)  # Linux's clock of files ticks every 4 ms, or more often


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


@final
class Watched:
    """Stored images that are in memory after all, and that notice how many are read at a time."""

    def __init__(self, images: torch.Tensor) -> None:
        self._images = images
        self.shape = (images.shape[0], images.shape[1], images.shape[2], images.shape[3])
        self.read_at_once: list[int] = []

    def read(self, places: torch.Tensor | slice) -> torch.Tensor:
        images = self._images[places].contiguous(memory_format=torch.channels_last)
        self.read_at_once.append(len(images))
        return images


@pytest.fixture
def stored() -> Callable[[Part], tuple[Part, list[int]]]:
    """Gives a part's twin whose images are stored, and how many of them were read at a time."""

    def make(part: Part) -> tuple[Part, list[int]]:
        watched = Watched(part.images)
        return stored_part(part.name, watched, part.labels, part.files), watched.read_at_once

    return make


@pytest.fixture
def internet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A loopback server in the publisher's place: one file for resnet18, drawn with seed 9; yields its folder."""
    from residua.networks import catalogue
    from residua.networks.network import build
    from residua.networks.weights import published, torchvision

    served, spec = tmp_path / "served", catalogue.specification("resnet18")
    served.mkdir()
    torch.save(torchvision.to_torchvision(build(spec, seed=9).state_dict(), spec), served / "resnet18-test.pth")
    digest = hashlib.sha256((served / "resnet18-test.pth").read_bytes()).hexdigest()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments) -> None:
            super().__init__(*arguments, directory=str(served))

        def log_message(self, format: str, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    row = replace(
        published.find("resnet18", "torchvision:IMAGENET1K_V1"),
        address=f"http://127.0.0.1:{server.server_port}/resnet18-test.pth",
        checksum=f"sha256:{digest[:8]}",
    )
    monkeypatch.setattr(published, "PUBLISHED", {"torchvision": (row,)})
    monkeypatch.setenv("RESIDUA_WEIGHTS", str(tmp_path / "cache"))
    monkeypatch.delenv("RESIDUA_OFFLINE", raising=False)
    yield served
    server.shutdown()
    server.server_close()
