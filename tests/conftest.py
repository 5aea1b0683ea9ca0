"""What all tests share: one thread for each worker, and small sets of images."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import hashlib
import http.server
import threading
from collections.abc import Iterator
from dataclasses import replace
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
