"""Whether the images are in memory, mapped or streamed, everything that follows from them is the same."""

import errno
import os
import resource
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from residua import machine
from residua.data import cache, imagefile, keeping, sources
from residua.data.augment import AugmentSpec
from residua.data.dataset import Dataset
from residua.data.loader import Batch, BatchPlan, batches, evaluation_batches
from residua.data.sources import DataSpec
from residua.errors import BadData

CPU = torch.device("cpu")
EVERYWHERE = ("memory", "cache", "cache", "stream")  # the second time the cache is there already


def loaded(root: Path, **settings: object) -> Dataset:
    return sources.load(DataSpec(source=str(root), **settings))  # type: ignore[arg-type]


def card(data: Dataset) -> dict[str, object]:
    return {name: value for name, value in data.card().items() if name != "notes"}


def same(one: Batch, other: Batch) -> bool:
    return all(torch.equal(getattr(one, name), getattr(other, name)) for name in ("images", "labels", "indices"))


@pytest.mark.parametrize("fit", ["crop", "pad", "squash"])
def test_batches_and_digests_are_the_same_to_the_bit_wherever_the_images_are(photographs: Path, fit: str):
    found = [loaded(photographs, keep=keep, fit=fit, image_size=30) for keep in EVERYWHERE]
    assert [data.train.stored is None for data in found] == [True, False, False, False]
    for data in found[1:]:
        assert card(data) == card(found[0])
        for epoch in (1, 2):
            plan = BatchPlan(
                batch_size=5, seed=3, epoch=epoch, augment=AugmentSpec(crop_padding=3, flip="random"), drop_last=False
            )
            drawn = [
                list(batches(d.train, plan=plan, device=CPU, preprocessing=d.preprocessing)) for d in (found[0], data)
            ]
            assert all(same(*pair) for pair in zip(*drawn, strict=True))


def test_evaluation_and_an_epoch_taken_up_again_are_the_same_wherever_the_images_are(photographs: Path):
    memory, *others = (loaded(photographs, keep=keep, image_size=24) for keep in EVERYWHERE)
    plan = BatchPlan(batch_size=4, seed=0, epoch=1, first_step=2)
    for data in others:
        for part, twin in zip(memory.parts, data.parts, strict=True):
            look = data.preprocessing
            seen = [list(evaluation_batches(p, batch_size=4, device=CPU, preprocessing=look)) for p in (part, twin)]
            assert all(same(*pair) for pair in zip(*seen, strict=True))
        rest = [list(batches(d.train, plan=plan, device=CPU, preprocessing=d.preprocessing)) for d in (memory, data)]
        assert rest[0][0].step == 2
        assert all(same(*pair) for pair in zip(*rest, strict=True))


def test_greys_in_three_channels_become_one_channel_everywhere(tmp_path: Path):
    for i in range(12):
        path = tmp_path / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(np.random.default_rng(i).integers(0, 256, (9, 9), dtype=np.uint8)).convert("RGB").save(path)
    found = [loaded(tmp_path, keep=keep) for keep in EVERYWHERE]
    assert [data.preprocessing.channels for data in found] == [1, 1, 1, 1]
    assert all(card(data) == card(found[0]) for data in found)


@pytest.mark.parametrize("keep", ["memory", "cache", "stream"])
def test_all_damaged_images_are_named_wherever_they_would_be(photographs: Path, keep: str):
    for name in ("ant/04.jpg", "bee/09.jpg"):
        path = photographs / name
        path.write_bytes(path.read_bytes()[:-500])
    for _ in range(2):
        with pytest.raises(BadData, match=r"04\.jpg is damaged .* \(the same for .*09\.jpg: 2 images in all\)"):
            loaded(photographs, keep=keep)


def test_few_pixels_are_in_memory_and_nothing_is_said(photographs: Path):
    data = loaded(photographs)
    assert data.train.stored is None
    assert not any("photographs" in note for note in data.notes)


def test_many_pixels_are_in_the_cache_read_once(photographs: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(keeping, "IN_MEMORY_BYTES", 24 * 3 * 30 * 30 - 1)
    first, second = (loaded(photographs, image_size=30).notes for _ in range(2))
    where = cache.folder(None)
    said = f"24 photographs in a cache of 0 MB, {where}"
    assert any(note.startswith(f"{said}; the first reading took ") for note in first)
    assert said in second
    monkeypatch.setattr(keeping, "IN_MEMORY_BYTES", 24 * 3 * 30 * 30)
    assert loaded(photographs, image_size=30).train.stored is None


def test_where_memory_is_short_even_few_pixels_are_in_the_cache(photographs: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(machine, "memory_bytes", lambda: 100_000)
    assert loaded(photographs, image_size=30).train.stored is not None


def test_another_division_of_the_same_images_finds_them_in_the_cache(photographs: Path):
    loaded(photographs, keep="cache", validation_fraction=0.1)
    other = loaded(photographs, keep="cache", validation_fraction=0.4, split_seed=5)
    assert not any("first reading" in note for note in other.notes)
    assert card(other) == card(loaded(photographs, keep="memory", validation_fraction=0.4, split_seed=5))


@pytest.mark.parametrize("change", [{"image_size": 31}, {"fit": "pad"}])
def test_other_pixels_have_a_cache_of_their_own(photographs: Path, change: dict[str, object]):
    loaded(photographs, keep="cache", image_size=30)
    asked = {"image_size": 30, "keep": "cache", **change}
    data = loaded(photographs, **asked)
    assert any("first reading" in note for note in data.notes)
    assert card(data) == card(loaded(photographs, **{**asked, "keep": "memory"}))


def streams(data: Dataset, reason: str) -> bool:
    return any(note.startswith("24 photographs are decoded anew in every epoch: " + reason) for note in data.notes)


def test_what_exceeds_the_caches_limit_is_streamed(photographs: Path):
    assert streams(loaded(photographs, keep="cache", cache_gb=1e-5), "a cache of 0 MB is above data.cache_gb=1e-05")


def test_what_the_disk_has_no_room_for_is_streamed(photographs: Path, monkeypatch: pytest.MonkeyPatch):
    usage = type("Usage", (), {"free": 10**9})
    monkeypatch.setattr("residua.data.cache.shutil.disk_usage", lambda _: usage)
    data = loaded(photographs, keep="cache")
    assert streams(data, f"a cache of 0 MB finds no room in {cache.folder(None)} (1.0 GB free)")


def test_a_folder_that_cannot_be_made_is_streamed_around(photographs: Path, tmp_path: Path):
    (tmp_path / "file").write_text("")
    data = loaded(photographs, keep="cache", cache=str(tmp_path / "file" / "cache"))
    assert streams(data, f"{tmp_path / 'file' / 'cache'} cannot be written (Not a directory)")


def test_a_disk_that_fills_up_while_the_cache_is_written_is_streamed_around(
    photographs: Path, monkeypatch: pytest.MonkeyPatch
):
    """The system itself refuses the write: no file may grow beyond 200 kB."""
    monkeypatch.setattr(cache, "_BLOCK_BYTES", 1 << 15)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, before[1]))
    try:
        data = loaded(photographs, keep="cache")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    said = os.strerror(errno.EFBIG)
    assert streams(data, f"the cache in {cache.folder(None)} could not be written ({said})")
    assert list(cache.folder(None).iterdir()) == []
    assert card(data) == card(loaded(photographs, keep="memory"))


def test_progress_is_told_of_every_pass_over_what_is_stored(photographs: Path):
    told: dict[str, tuple[int, int | None]] = {}

    def tell(stage: str, done: int, total: int | None) -> None:
        told[stage] = (done, total)

    for keep in ("cache", "stream"):
        told.clear()
        data = sources.load(DataSpec(source=str(photographs), keep=keep), progress=tell)
        assert told.get("reading the images", (24, 24)) == (24, 24)
        for part in data.parts:
            assert told[f"looking through the {part.name} images"] == (len(part), len(part))


def test_a_streamed_set_is_decoded_once_before_training(photographs: Path, monkeypatch: pytest.MonkeyPatch):
    """Statistics and digests come from one walk; one image more is looked at for its colour, two threads ahead."""
    seen: list[Path] = []
    read = imagefile.read
    monkeypatch.setattr(imagefile, "read", lambda path, **more: (seen.append(path), read(path, **more))[1])
    monkeypatch.setattr(machine, "cores", lambda: 1)
    loaded(photographs, keep="stream").card()
    assert 24 <= len(seen) <= 24 + 6


def test_an_unfinished_epoch_leaves_no_thread_behind(photographs: Path):
    data = loaded(photographs, keep="stream")
    plan = BatchPlan(batch_size=2, seed=0, epoch=1)
    walk = batches(data.train, plan=plan, device=CPU, preprocessing=data.preprocessing)
    next(walk)
    del walk
    assert not any("ThreadPoolExecutor" in thread.name for thread in threading.enumerate())
