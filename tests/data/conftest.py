"""Makes small images, folders and data sets; nothing is read from outside the test's own folder."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import jaxtyping
import numpy as np
import pytest
import torch
from PIL import Image

from residua.data.dataset import Part, Preprocessing

Picture = Callable[..., Path]
Tree = Callable[..., Path]


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    """Computes on one thread: with tensors this small, more of them only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Turns the tests' own type checks off, so that a wrong value meets the library's message."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


@pytest.fixture
def picture(tmp_path: Path) -> Picture:
    """Writes a random picture below the test's folder: ``picture("pics/a/1.png", seed=1)``."""

    def write(name: str, *, seed: int = 0, side: tuple[int, int] = (10, 12), mode: str = "RGB") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        values = np.random.default_rng(seed).integers(0, 256, (*side, 3), dtype=np.uint8)
        Image.fromarray(values).convert(mode).save(path)
        return path

    return write


@pytest.fixture
def tree(tmp_path: Path, picture: Picture) -> Tree:
    """Writes a folder of different pictures: ``tree("train/a/1.png", …)`` gives the folder ``pics``."""
    counter = iter(range(10_000))

    def write(*names: str, side: tuple[int, int] = (10, 12)) -> Path:
        for name in names:
            picture(f"pics/{name}", seed=next(counter), side=side)
        return tmp_path / "pics"

    return write


@pytest.fixture
def numbered() -> Callable[..., Part]:
    """Gives a part whose i-th image is a gradient that begins at i, so that every image is known by its pixels."""

    def make(n: int = 20, c: int = 3, side: int = 8) -> Part:
        ramp = torch.arange(c * side * side).view(1, c, side, side)
        images = ((ramp + 7 * torch.arange(n).view(n, 1, 1, 1)) % 251).to(torch.uint8)
        labels = torch.arange(n) % 3
        return Part(name="train", images=images, labels=labels, files=tuple(f"{i}.png" for i in range(n)))

    return make


@pytest.fixture
def plain() -> Callable[..., Preprocessing]:
    """Gives a preprocessing that divides by 255 and does no more."""

    def make(c: int = 3, side: int = 8) -> Preprocessing:
        return Preprocessing(image_size=(side, side), channels=c, mean=(0.0,) * c, std=(1.0,) * c)

    return make


@pytest.fixture
def published_root() -> Path:
    """Gives the folder of the published sets, or skips."""
    root = os.environ.get("RESIDUA_DATA")
    if not root:
        pytest.skip("RESIDUA_DATA names no folder with the published sets")
    return Path(root)


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """Writes 2 classes of 12 files: JPEGs large enough for reduced decoding, one turned by EXIF, PNGs, grey ones."""
    folder = tmp_path / "photographs"
    for i in range(24):
        values = np.random.default_rng(i).integers(0, 256, (8, 9, 3), dtype=np.uint8)
        image = Image.fromarray(values).resize((120 + 7 * i, 90), Image.Resampling.BICUBIC)
        path = folder / ("ant", "bee")[i % 2] / f"{i:02d}.{'png' if i % 5 == 0 else 'jpg'}"
        path.parent.mkdir(parents=True, exist_ok=True)
        exif = image.getexif()
        exif[0x0112] = 6 if i == 3 else 1
        image.convert("L" if i % 4 == 0 else "RGB").save(path, exif=exif)
    return folder
