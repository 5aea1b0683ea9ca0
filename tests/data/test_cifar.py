import io
import os
import pickle
import tarfile
from hashlib import md5
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from residua.data import cifar
from residua.errors import BadData

DATA = np.random.default_rng(0).integers(0, 256, (4, 3072), dtype=np.uint8)
BATCH: dict[bytes, Any] = {b"data": DATA, b"labels": [3, 1, 0, 2], b"batch_label": b"training batch 1 of 5"}


def written(path: Path, value: Any, protocol: int = 3) -> Path:
    path.write_bytes(pickle.dumps(value, protocol=protocol))
    return path


@pytest.mark.parametrize("protocol", [3, 4])
def test_a_batch_is_three_planes_an_image(tmp_path: Path, protocol: int):
    """Krizhevsky 2009: the first 1,024 bytes are red, row by row; then green; then blue."""
    images, labels = cifar.read([written(tmp_path / "b", BATCH, protocol)])
    assert images[1, 2, 3, 4] == DATA[1, 2 * 1024 + 3 * 32 + 4]
    assert labels.tolist() == [3, 1, 0, 2]


def test_batches_follow_each_other(tmp_path: Path):
    first, second = written(tmp_path / "1", BATCH), written(tmp_path / "2", BATCH | {b"labels": [5, 5, 5, 5]})
    images, labels = cifar.read([first, second])
    assert images.shape == (8, 3, 32, 32)
    assert labels.tolist() == [3, 1, 0, 2, 5, 5, 5, 5]


def test_the_classes_are_in_the_order_of_their_labels(tmp_path: Path):
    assert cifar.class_names(written(tmp_path / "m", {b"label_names": [b"cat", b"ant"]})) == ("cat", "ant")


class Evil:
    """Runs a command where a plain unpickler reads it."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def test_a_pickle_cannot_run_anything(tmp_path: Path):
    victim = tmp_path / "made by the pickle"
    path = written(tmp_path / "evil", {b"data": Evil(victim), b"labels": []})
    with pytest.raises(BadData, match=r"evil is no CIFAR file \(it asks for posix.mkdir\)"):
        cifar.read([path])
    assert not victim.exists()
    pickle.loads(path.read_bytes())
    assert victim.exists()  # it would have


@pytest.mark.parametrize(
    "value", [[1, 2], {b"labels": []}, {b"data": 1, b"labels": []}, {b"data": DATA[:, :9], b"labels": []}]
)
def test_what_is_no_batch_is_said(tmp_path: Path, value: Any):
    with pytest.raises(BadData, match="is no CIFAR"):
        cifar.read([written(tmp_path / "b", value)])


@pytest.mark.parametrize("content", [b"", b"text", pickle.dumps(BATCH, protocol=2)[:100]])
def test_a_damaged_batch_is_said(tmp_path: Path, content: bytes):
    (tmp_path / "b").write_bytes(content)
    with pytest.raises(BadData, match=r"is no CIFAR file .*residua download cifar10"):
        cifar.read([tmp_path / "b"])


def test_a_file_without_classes_is_said(tmp_path: Path):
    with pytest.raises(BadData, match="names no classes"):
        cifar.class_names(written(tmp_path / "m", {}))


def archive(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def checksum(content: bytes) -> str:
    return f"md5:{md5(content).hexdigest()}"


def test_only_the_expected_members_are_extracted(tmp_path: Path):
    path = archive(tmp_path / "a.tar.gz", {"set/one": b"1", "../outside": b"x", "set/other": b"2"})
    root = tmp_path / "root"
    cifar.extract(path, {"set/one": checksum(b"1")}, root)
    assert [found.relative_to(tmp_path).as_posix() for found in sorted(root.rglob("*"))] == ["root/set", "root/set/one"]
    assert not (tmp_path / "outside").exists()


def test_a_member_that_differs_is_not_kept(tmp_path: Path):
    path = archive(tmp_path / "a.tar.gz", {"set/one": b"other"})
    with pytest.raises(BadData, match=r"set/one in .*a.tar.gz is not the published file"):
        cifar.extract(path, {"set/one": checksum(b"1")}, tmp_path)
    assert not (tmp_path / "set/one").exists()


@pytest.mark.parametrize("content", [None, b"no archive", b""])
def test_an_archive_without_the_members_is_said(tmp_path: Path, content: bytes | None):
    path = archive(tmp_path / "a.tar.gz", {"set/other": b"2"})
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BadData, match=r"a.tar.gz cannot be unpacked"):
        cifar.extract(path, {"set/one": checksum(b"1")}, tmp_path)


def test_a_link_in_the_archive_is_not_followed(tmp_path: Path):
    (tmp_path / "secret").write_text("secret")
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as tar:
        info = tarfile.TarInfo("set/one")
        info.type, info.linkname = tarfile.SYMTYPE, str(tmp_path / "secret")
        tar.addfile(info)
    with pytest.raises(BadData, match="cannot be unpacked"):
        cifar.extract(tmp_path / "a.tar.gz", {"set/one": checksum(b"secret")}, tmp_path / "root")
    assert not (tmp_path / "root").exists()
