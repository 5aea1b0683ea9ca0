import os
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from residua.data import stored
from residua.data.decoding import Target
from residua.data.stored import Mapped, Streamed, states
from residua.errors import BadData

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 6, 7, 3), dtype=np.uint8)


@pytest.fixture
def mapped(tmp_path: Path) -> Mapped:
    np.save(tmp_path / "pixels.npy", PIXELS)
    return Mapped(tmp_path / "pixels.npy")


def test_mapped_images_are_those_of_the_file(mapped: Mapped):
    assert mapped.shape == (40, 3, 6, 7)
    places = torch.tensor([30, 2, 2, 39])
    assert np.array_equal(mapped.read(places).permute(0, 2, 3, 1).numpy(), PIXELS[[30, 2, 2, 39]])
    assert np.array_equal(mapped.read(slice(35, 99)).permute(0, 2, 3, 1).numpy(), PIXELS[35:])


def test_what_was_read_can_be_written_to_and_the_file_stays(mapped: Mapped):
    mapped.read(slice(0, 4)).zero_()
    mapped.read(torch.tensor([0])).zero_()
    assert np.array_equal(mapped.read(slice(0, 4)).permute(0, 2, 3, 1).numpy(), PIXELS[:4])


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_no_page_of_the_file_stays_in_the_process(tmp_path: Path):
    np.save(tmp_path / "large.npy", np.ones((256, 64, 64, 3), np.uint8))
    mapped = Mapped(tmp_path / "large.npy")
    assert int(mapped.read(slice(0, 256)).sum()) == 256 * 64 * 64 * 3
    about = Path("/proc/self/smaps").read_text().partition("large.npy")[2]
    assert next(line for line in about.splitlines() if line.startswith("Rss")).split() == ["Rss:", "0", "kB"]


def streamed(folder: Path, *, grey: bool = False) -> Streamed:
    paths = [folder / f"{i}.png" for i in range(4)]
    for i, path in enumerate(paths):
        Image.fromarray(PIXELS[i]).save(path)
    target = Target(size=(6, 7), fit="crop", channels=3)
    return Streamed(paths=paths, states=states(paths), target=target, grey=grey)


def test_streamed_images_are_those_of_the_files(tmp_path: Path):
    stream = streamed(tmp_path)
    assert stream.shape == (4, 3, 6, 7)
    assert np.array_equal(stream.read(torch.tensor([3, 1])).permute(0, 2, 3, 1).numpy(), PIXELS[[3, 1]])
    assert np.array_equal(stream.read(slice(2, 9)).permute(0, 2, 3, 1).numpy(), PIXELS[2:4])


def test_of_grey_images_the_first_channel_is_kept(tmp_path: Path):
    stream = streamed(tmp_path, grey=True)
    assert stream.shape == (4, 1, 6, 7)
    assert np.array_equal(stream.read(slice(0, 4))[:, 0].numpy(), PIXELS[:4, :, :, 0])


def test_a_file_that_has_changed_is_refused_even_with_its_old_length_and_time(tmp_path: Path):
    stream = streamed(tmp_path)
    path = stream.paths[2]
    before = path.stat()
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    stream.read(slice(0, 2))
    with pytest.raises(BadData, match=r"2\.png has changed since it was listed; put it back, or begin anew"):
        stream.read(slice(0, 4))


def test_the_states_are_asked_for_once_the_clock_has_ticked_since_the_last_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(stored, "_TICK_NS", 5 * 10**8)
    path = tmp_path / "1.png"
    path.write_text("")
    assert states([path])[0][2] + 5 * 10**8 <= time.time_ns()


def test_a_clock_that_runs_ahead_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "1.png"
    path.write_text("")
    ahead = time.time_ns() - 3600 * 10**9
    monkeypatch.setattr("residua.data.stored.time.time_ns", lambda: ahead)
    monkeypatch.setattr("residua.data.stored.time.sleep", lambda _: pytest.fail("waits"))
    states([path])


def test_a_file_that_is_gone_is_named(tmp_path: Path):
    stream = streamed(tmp_path)
    stream.paths[1].unlink()
    with pytest.raises(BadData, match=r"1\.png is gone; restore it, or begin anew without it"):
        stream.read(torch.tensor([1]))
