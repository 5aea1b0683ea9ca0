import os
import shutil
import signal
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from io import BufferedRandom
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from residua.data import cache
from residua.data.decoding import Target, decode, each
from residua.data.fitting import Pixels
from residua.data.stored import states
from residua.errors import BadData

TARGET = Target(size=(8, 9), fit="crop", channels=3)
ROW = 8 * 9 * 3


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    """Twenty small photographs."""
    made = [tmp_path / f"{i:02d}.png" for i in range(20)]
    for i, path in enumerate(made):
        Image.fromarray(np.random.default_rng(i).integers(0, 256, (8, 9, 3), dtype=np.uint8)).save(path)
    return made


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes a block of three images."""
    monkeypatch.setattr(cache, "_BLOCK_BYTES", 3 * ROW)


def key(paths: Sequence[Path], target: Target = TARGET) -> str:
    return cache.key(paths, states(paths), target)


def in_child(work) -> int:
    """Does the work in a child process and returns its number."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # from Python 3.12 on, fork in a process with threads
        child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(0)
    return child


def counting(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Returns the paths that builds decode from now on."""
    seen: list[Path] = []

    def counted(paths: Sequence[Path], target: Target) -> Iterator[Pixels | None]:
        seen.extend(paths)
        return each(paths, target)

    monkeypatch.setattr(cache, "each", counted)
    return seen


def test_the_file_is_an_array_that_numpy_reads(paths: list[Path], tmp_path: Path):
    file = tmp_path / "c" / "key.npy"
    cache.build(file, paths, TARGET)
    assert np.array_equal(np.load(file), decode(paths, TARGET))
    assert [path.name for path in file.parent.iterdir()] == ["key.npy"]


def test_a_build_killed_at_any_moment_leaves_no_file_and_is_gone_on_with(
    paths: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """SIGKILL after three blocks of three images: eleven are left to decode."""
    file = tmp_path / "c" / "key.npy"
    sums = file.with_name(".key.npy.partial.sums")

    def slow(paths: Sequence[Path], target: Target) -> Iterator[Pixels | None]:
        for i, image in enumerate(each(paths, target)):
            yield image
            if i == 10:
                time.sleep(60)

    with monkeypatch.context() as patched:
        patched.setattr(cache, "each", slow)
        child = in_child(lambda: cache.build(file, paths, TARGET))
        while not sums.exists() or len(sums.read_text().splitlines()) < 3:
            time.sleep(0.01)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert not file.exists()
    seen = counting(monkeypatch)
    cache.build(file, paths, TARGET)
    assert seen == paths[9:]
    assert np.array_equal(np.load(file), decode(paths, TARGET))
    assert [path.name for path in file.parent.iterdir()] == ["key.npy"]


def broken_off(file: Path, paths: list[Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """Builds until the eleventh image and returns what is left."""

    def interrupted(paths: Sequence[Path], target: Target) -> Iterator[Pixels | None]:
        for i, image in enumerate(each(paths, target)):
            if i == 10:
                raise KeyboardInterrupt
            yield image

    with monkeypatch.context() as patched:
        patched.setattr(cache, "each", interrupted)
        with pytest.raises(KeyboardInterrupt):
            cache.build(file, paths, TARGET)
    return file.with_name(f".{file.name}.partial")


@pytest.mark.parametrize(("place", "kept"), [(0, 0), (128 + 4 * ROW, 3), (-1, 6)])
def test_a_block_whose_bytes_are_not_those_of_its_checksum_is_decoded_again(
    paths: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: int, kept: int
):
    """After a loss of power, say: bytes that never reached the disk are zeros."""
    file = tmp_path / "c" / "key.npy"
    left = broken_off(file, paths, monkeypatch)
    content = bytearray(left.read_bytes())
    content[place] ^= 1
    left.write_bytes(content)
    seen = counting(monkeypatch)
    cache.build(file, paths, TARGET)
    assert seen == paths[kept:]
    assert np.array_equal(np.load(file), decode(paths, TARGET))


def test_a_damaged_image_met_before_a_kill_is_met_again(
    paths: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """No block is kept from the damaged image on, so none that lacks it passes for whole."""
    paths[4].write_bytes(paths[4].read_bytes()[:60])
    file = tmp_path / "c" / "key.npy"
    broken_off(file, paths, monkeypatch)
    seen = counting(monkeypatch)
    with pytest.raises(BadData, match=r"04\.png is damaged"):
        cache.build(file, paths, TARGET)
    assert seen == paths[3:]
    assert list(file.parent.iterdir()) == []


def test_of_two_processes_one_builds_and_the_other_waits(
    paths: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    file = tmp_path / "c" / "key.npy"

    def slow(paths: Sequence[Path], target: Target) -> Iterator[Pixels | None]:
        (tmp_path / "begun").touch()
        time.sleep(0.5)
        yield from each(paths, target)

    with monkeypatch.context() as patched:
        patched.setattr(cache, "each", slow)
        child = in_child(lambda: cache.build(file, paths, TARGET))
        while not (tmp_path / "begun").exists():
            time.sleep(0.01)
    seen = counting(monkeypatch)
    found = cache.build(file, paths, TARGET)
    os.waitpid(child, 0)
    assert seen == []
    assert np.array_equal(found.read(slice(0, 20)).permute(0, 2, 3, 1).numpy(), decode(paths, TARGET))


def test_the_key_follows_the_files_and_what_they_become(paths: list[Path]):
    first = key(paths)
    assert key(paths) == first
    others = [
        key(paths[:-1]),
        key([*paths[1:], paths[0]]),
        key(paths, Target(size=(8, 9), fit="pad", channels=3)),
        key(paths, Target(size=(9, 8), fit="crop", channels=3)),
    ]
    assert len({first, *others}) == 5


def test_a_file_changed_with_its_length_and_time_put_back_has_another_key(paths: list[Path]):
    before, first = paths[7].stat(), key(paths)
    content = bytearray(paths[7].read_bytes())
    content[-1] ^= 1
    paths[7].write_bytes(content)
    os.utime(paths[7], ns=(before.st_atime_ns, before.st_mtime_ns))
    assert paths[7].stat().st_mtime_ns == before.st_mtime_ns
    assert key(paths) != first


def test_a_file_that_another_took_the_place_of_has_another_key(paths: list[Path]):
    """A copy with its length and its time, moved to where the file was."""
    first, copy = key(paths), shutil.copy2(paths[3], paths[3].with_suffix(".copy"))
    Path(copy).replace(paths[3])
    assert key(paths) != first


def test_a_link_to_a_folder_finds_what_was_decoded_there(paths: list[Path], tmp_path: Path):
    """A run keeps the whole path of its source: what was given with a link or ``..`` is not decoded twice."""
    link = tmp_path / "link"
    link.symlink_to(tmp_path)
    assert key([link / path.name for path in paths]) == key(paths)


def laid(where: Path, name: str, *, size: int, age: float) -> Path:
    where.mkdir(exist_ok=True)
    path = where / name
    path.write_bytes(bytes(size))
    os.utime(path, (time.time() - age, time.time() - age))
    return path


def test_the_sets_used_longest_ago_make_way(tmp_path: Path):
    old, middle, new = (laid(tmp_path / "c", f"{age:064}.npy", size=100, age=age) for age in (300, 200, 100))
    cache.make_room(tmp_path / "c", needed=100, limit=400)
    assert old.exists()
    cache.make_room(tmp_path / "c", needed=150, limit=400)
    assert (old.exists(), middle.exists(), new.exists()) == (False, True, True)


def test_a_set_that_is_opened_counts_as_used(paths: list[Path], tmp_path: Path):
    file = tmp_path / "c" / "key.npy"
    cache.build(file, paths, TARGET)
    os.utime(file, (0, 0))
    assert cache.opened(file) is not None
    assert file.stat().st_mtime > time.time() - 60
    assert cache.opened(tmp_path / "c" / "other.npy") is None


def test_a_set_in_use_may_be_removed_and_stays_readable(paths: list[Path], tmp_path: Path):
    file = tmp_path / "c" / f"{'a' * 64}.npy"
    found = cache.build(file, paths, TARGET)
    cache.make_room(file.parent, needed=1, limit=1)
    assert not file.exists()
    assert np.array_equal(found.read(slice(0, 20)).permute(0, 2, 3, 1).numpy(), decode(paths, TARGET))


def test_builds_broken_off_are_removed_after_a_day(tmp_path: Path):
    fresh = laid(tmp_path / "c", f".{'a' * 64}.npy.partial", size=9, age=3600)
    stale = [laid(tmp_path / "c", f".{'b' * 64}.npy.partial{end}", size=9, age=25 * 3600) for end in ("", ".sums")]
    assert cache.no_room(tmp_path / "c", 1, 100) is None
    assert fresh.exists()
    assert not any(path.exists() for path in stale)


def test_other_peoples_files_are_left_alone(tmp_path: Path):
    """A folder that somebody names may hold arrays of theirs: only names that are keys are the cache's."""
    theirs = [laid(tmp_path / "c", name, size=100, age=25 * 3600) for name in ("features.npy", ".notes.npy.bak")]
    cache.make_room(tmp_path / "c", needed=100, limit=50)
    cache.remove_broken_off(tmp_path / "c")
    assert all(path.exists() for path in theirs)


def test_what_a_build_holds_already_is_not_needed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """10 GB wanted and 9 held: 2.1 GB free are enough, with the one that stays free; without the 9 they are not."""
    laid(tmp_path / "c", f".{'a' * 64}.npy.partial", size=900, age=0)
    monkeypatch.setattr(cache, "_SPARE_BYTES", 100)
    usage = type("Usage", (), {"free": 210})
    monkeypatch.setattr("residua.data.cache.shutil.disk_usage", lambda _: usage)
    assert cache.no_room(tmp_path / "c", 1000, 10_000, key="a" * 64) is None
    assert "finds no room" in str(cache.no_room(tmp_path / "c", 1000, 10_000, key="b" * 64))


@pytest.mark.parametrize(
    "damaged",
    [lambda _: b"", lambda _: b"no array", lambda whole: whole[:-100], lambda whole: 2 * whole],
    ids=["empty", "overwritten", "cut short", "written twice"],
)
def test_a_set_that_something_else_damaged_is_built_anew(
    paths: list[Path], tmp_path: Path, damaged: Callable[[bytes], bytes]
):
    file = tmp_path / "c" / f"{'a' * 64}.npy"
    cache.build(file, paths, TARGET)
    whole = file.read_bytes()
    file.write_bytes(damaged(whole))
    assert cache.opened(file) is None
    cache.build(file, paths, TARGET)
    assert file.read_bytes() == whole


def test_a_build_that_another_wrote_into_is_no_set(paths: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Where the disk has no locks, two may build at once: nothing is kept that is not what its header says."""
    real = cache._fill

    def fill(file: BufferedRandom, *more: Any) -> None:
        real(file, *more)
        file.write(b"of another")

    monkeypatch.setattr(cache, "_fill", fill)
    with pytest.raises(OSError, match="written by two processes at once"):
        cache.build(tmp_path / "c" / "set.npy", paths, TARGET)
    assert not (tmp_path / "c" / "set.npy").exists()


def test_the_folder_is_the_one_asked_for_or_the_variables(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RESIDUA_CACHE", "/somewhere")
    assert cache.folder(None) == Path("/somewhere")
    assert cache.folder("/elsewhere") == Path("/elsewhere")
    monkeypatch.delenv("RESIDUA_CACHE")
    assert cache.folder(None).parts[-2:] == ("residua", "pixels")


def test_sets_make_way_on_a_full_disk_unless_that_is_not_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    old, new = (laid(tmp_path / "c", f"{name * 64}.npy", size=300, age=age) for name, age in (("a", 900), ("b", 60)))
    monkeypatch.setattr(cache, "_SPARE_BYTES", 100)
    monkeypatch.setattr("residua.data.cache.shutil.disk_usage", lambda _: type("Usage", (), {"free": 200}))
    assert "finds no room" in str(cache.no_room(tmp_path / "c", 701, 10_000))
    assert old.exists()
    assert new.exists()
    assert cache.no_room(tmp_path / "c", 400, 10_000) is None
    assert not old.exists()
    assert new.exists()
