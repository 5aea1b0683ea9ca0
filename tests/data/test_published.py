import gzip
import hashlib
import http.server
import io
import pickle
import struct
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import platformdirs
import pytest

from residua.data import published, sources
from residua.data.augment import default_augment
from residua.data.sources import DataSpec
from residua.errors import BadData, DownloadFailed

RANDOM = np.random.default_rng(0)


def md5(content: bytes) -> str:
    return f"md5:{hashlib.md5(content).hexdigest()}"


def idx(values: np.ndarray) -> bytes:
    return gzip.compress(struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape) + values.tobytes())


def images(n: int) -> np.ndarray:
    return RANDOM.integers(0, 256, (n, 28, 28), dtype=np.uint8)


def labels(n: int) -> np.ndarray:
    return (np.arange(n) % 10).astype(np.uint8)


FASHION = {
    "train-images-idx3-ubyte.gz": idx(images(60)),
    "train-labels-idx1-ubyte.gz": idx(labels(60)),
    "t10k-images-idx3-ubyte.gz": idx(images(20)),
    "t10k-labels-idx1-ubyte.gz": idx(labels(20)),
}


def batch(n: int) -> bytes:
    data = RANDOM.integers(0, 256, (n, 3072), dtype=np.uint8)
    return pickle.dumps({b"data": data, b"labels": labels(n).tolist()}, protocol=3)


NAMES = [b"airplane", b"automobile", b"bird", b"cat", b"deer", b"dog", b"frog", b"horse", b"ship", b"truck"]
CIFAR = {
    **{f"cifar-10-batches-py/data_batch_{i}": batch(20) for i in range(1, 6)},
    "cifar-10-batches-py/test_batch": batch(20),
    "cifar-10-batches-py/batches.meta": pickle.dumps({b"label_names": NAMES}, protocol=3),
}


def tar(members: dict[str, bytes]) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return content.getvalue()


class Mirror:
    """Serves files by name on this machine, and counts what is asked for."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.cut_short = False
        mirror = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                name = self.path.rpartition("/")[2]
                mirror.asked.append(name)
                if name not in mirror.files:
                    self.send_error(404)
                    return
                content = mirror.files[name]
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content[: len(content) // 2] if mirror.cut_short else content)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}/base"


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Mirror]:
    """A mirror with small sets, their checksums in place of the published ones, and a data folder of its own."""
    served = Mirror()
    archive = tar(CIFAR)
    served.files = {**FASHION, "cifar-10-python.tar.gz": archive}
    monkeypatch.setattr(published, "FASHION_FILES", {f"fashion-mnist/{name}": md5(c) for name, c in FASHION.items()})
    monkeypatch.setattr(published, "CIFAR_FILES", {name: md5(content) for name, content in CIFAR.items()})
    monkeypatch.setattr(published, "CIFAR_ARCHIVE", md5(archive))
    monkeypatch.setattr(platformdirs, "user_data_path", lambda name: tmp_path / "user" / name)
    for name in ("RESIDUA_DATA", "RESIDUA_OFFLINE", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RESIDUA_MIRROR", served.address)
    thread = threading.Thread(target=served.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield served
    served.server.shutdown()
    served.server.server_close()
    thread.join()


def test_fashion_mnist_is_fetched_read_and_split(mirror: Mirror, tmp_path: Path):
    data = sources.load(DataSpec(source="fashion-mnist"))
    assert (len(data.train), data.validation and len(data.validation), data.test and len(data.test)) == (50, 10, 20)
    assert data.preprocessing.image_size == (28, 28)
    assert data.classes[9] == "Ankle boot"
    assert data.split_rule.startswith("test as published; validation (10%) carved")
    assert sorted(mirror.asked) == sorted(FASHION)
    where = tmp_path / "user" / "residua" / "fashion-mnist"
    assert {path.name: path.read_bytes() for path in where.iterdir()} == FASHION
    assert default_augment(data).crop_padding == 2


def test_cifar10_is_fetched_unpacked_and_read(mirror: Mirror, tmp_path: Path):
    data = sources.load(DataSpec(source="cifar10", data_root=str(tmp_path / "root")))
    assert (len(data.train), data.validation and len(data.validation), data.test and len(data.test)) == (90, 10, 20)
    assert data.classes[0] == "airplane"
    files = {
        path.relative_to(tmp_path / "root").as_posix(): path
        for path in (tmp_path / "root").rglob("*")
        if path.is_file()
    }
    assert {name: path.read_bytes() for name, path in files.items()} == CIFAR


def test_the_publishers_test_part_is_kept_in_its_order(mirror: Mirror):
    data = sources.load(DataSpec(source="fashion-mnist"))
    assert data.test is not None
    assert data.test.files[:2] == ("test/00000", "test/00001")
    assert data.test.labels.tolist() == labels(20).tolist()


def test_what_is_there_is_not_fetched_again(mirror: Mirror):
    for name in ("fashion-mnist", "cifar10"):
        sources.download(name)
        asked = len(mirror.asked)
        sources.download(name)
        sources.load(DataSpec(source=name))
        assert len(mirror.asked) == asked


def test_the_data_root_is_asked_for_or_the_variable_or_the_users_folder(
    mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    assert published.root_folder(None) == tmp_path / "user" / "residua"
    monkeypatch.setenv("RESIDUA_DATA", str(tmp_path / "variable"))
    assert sources.download("fashion-mnist") == tmp_path / "variable" / "fashion-mnist"
    asked = str(tmp_path / "asked")
    assert sources.download("fashion-mnist", asked) == tmp_path / "asked" / "fashion-mnist"


def test_progress_tells_the_bytes_of_each_file(mirror: Mirror):
    told: list[tuple[str, int, int | None]] = []
    sources.download("fashion-mnist", progress=lambda *event: told.append(event))
    size = len(FASHION["t10k-images-idx3-ubyte.gz"])
    assert ("downloading t10k-images-idx3-ubyte.gz", size, size) in told


def failure(name: str, root: Path) -> str:
    with pytest.raises(DownloadFailed) as caught:
        sources.download(name, str(root))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def nothing_kept(root: Path) -> bool:
    return not [path for path in root.rglob("*") if path.is_file()]


@pytest.mark.parametrize("name", ["fashion-mnist", "cifar10"])
def test_a_failed_download_names_the_address_the_place_and_the_checksum(mirror: Mirror, tmp_path: Path, name: str):
    mirror.files.clear()
    text = failure(name, tmp_path / "root")
    file = "cifar-10-python.tar.gz" if name == "cifar10" else "train-images-idx3-ubyte.gz"
    folder = tmp_path / "root" if name == "cifar10" else tmp_path / "root" / name
    checksum = published.CIFAR_ARCHIVE if name == "cifar10" else published.FASHION_FILES[f"fashion-mnist/{file}"]
    assert "404" in text
    assert f"{mirror.address}/{file}" in text
    assert str(folder / file) in text
    assert checksum in text
    assert nothing_kept(tmp_path / "root")


def test_a_file_with_another_checksum_is_not_kept(mirror: Mirror, tmp_path: Path):
    mirror.files["train-images-idx3-ubyte.gz"] = b"something else"
    text = failure("fashion-mnist", tmp_path / "root")
    assert f"gave a file with {md5(b'something else')}" in text
    assert nothing_kept(tmp_path / "root")


def test_a_connection_that_breaks_leaves_a_beginning_and_no_file(mirror: Mirror, tmp_path: Path):
    mirror.cut_short = True
    assert "cannot fetch train-images-idx3-ubyte.gz" in failure("fashion-mnist", tmp_path / "root")
    kept = [path.name for path in (tmp_path / "root").rglob("*") if path.is_file()]
    assert kept == [".train-images-idx3-ubyte.gz.partial"]
    mirror.cut_short = False
    sources.download("fashion-mnist", str(tmp_path / "root"))
    assert sorted(path.name for path in (tmp_path / "root" / "fashion-mnist").iterdir()) == sorted(FASHION)


def test_a_download_goes_on_with_the_files_that_are_missing(mirror: Mirror, tmp_path: Path):
    gone = mirror.files.pop("t10k-labels-idx1-ubyte.gz")
    failure("fashion-mnist", tmp_path / "root")
    mirror.files["t10k-labels-idx1-ubyte.gz"] = gone
    mirror.asked.clear()
    sources.download("fashion-mnist", str(tmp_path / "root"))
    assert mirror.asked == ["t10k-labels-idx1-ubyte.gz"]


def test_offline_nothing_is_asked_for(mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RESIDUA_OFFLINE", "1")
    text = failure("cifar10", tmp_path / "root")
    assert "RESIDUA_OFFLINE is set" in text
    assert "cifar-10-python.tar.gz" in text
    assert mirror.asked == []


def test_offline_a_set_that_is_there_is_read(mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    sources.download("cifar10", str(tmp_path))
    monkeypatch.setenv("RESIDUA_OFFLINE", "1")
    assert len(sources.load(DataSpec(source="cifar10", data_root=str(tmp_path))).train) == 90


@pytest.mark.parametrize(
    ("name", "file"),
    [("fashion-mnist", "fashion-mnist/t10k-labels-idx1-ubyte.gz"), ("cifar10", "cifar-10-batches-py/data_batch_3")],
)
def test_a_damaged_file_is_said_and_not_overwritten(mirror: Mirror, tmp_path: Path, name: str, file: str):
    sources.download(name, str(tmp_path))
    (tmp_path / file).write_bytes(b"damaged")
    with pytest.raises(BadData, match=r"is not the published file \(md5:.*\); delete it and it is fetched again"):
        sources.load(DataSpec(source=name, data_root=str(tmp_path)))
    assert (tmp_path / file).read_bytes() == b"damaged"
    (tmp_path / file).unlink()
    sources.load(DataSpec(source=name, data_root=str(tmp_path)))


def test_digits_need_no_download():
    with pytest.raises(BadData, match="digits comes with the installation; there is nothing to download"):
        sources.download("digits")


def test_a_name_that_is_no_set_is_corrected():
    with pytest.raises(BadData, match="'cifar-10' is no published set; did you mean 'cifar10'"):
        sources.download("cifar-10")


def test_equal_images_of_a_published_set_are_in_one_part(
    mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    twice = np.repeat(images(30), 2, axis=0)
    content = {
        **FASHION,
        "train-images-idx3-ubyte.gz": idx(twice),
        "train-labels-idx1-ubyte.gz": idx(np.repeat(labels(30), 2)),
    }
    mirror.files = content
    monkeypatch.setattr(published, "FASHION_FILES", {f"fashion-mnist/{name}": md5(c) for name, c in content.items()})
    split = sources.load(DataSpec(source="fashion-mnist")).split()
    pairs = [{int(name.partition("/")[2]) // 2 for name in split[part]} for part in ("train", "validation")]
    assert pairs[0] & pairs[1] == set()


def test_the_names_of_the_sets_are_known():
    assert sources.names() == ("digits", "fashion-mnist", "cifar10")


# the sets themselves, where RESIDUA_DATA names a folder that has them


def test_fashion_mnist_is_as_published(published_root: Path):
    """Mean 0.28604 and standard deviation 0.35302 of the 60,000 training images (Zalando Research)."""
    data = sources.load(DataSpec(source="fashion-mnist", data_root=str(published_root), validation_fraction=0.0))
    assert data.train.images.shape == (60000, 1, 28, 28)
    assert data.test is not None
    assert data.test.images.shape == (10000, 1, 28, 28)
    assert data.preprocessing.mean == pytest.approx([0.28604], abs=5e-6)
    assert data.preprocessing.std == pytest.approx([0.35302], abs=5e-6)
    assert data.train.labels[:10].tolist() == [9, 0, 0, 3, 0, 2, 7, 2, 5, 5]
    assert data.test.labels[:5].tolist() == [9, 2, 1, 1, 6]


def test_cifar10_is_as_published(published_root: Path):
    """Means 0.4914, 0.4822, 0.4465 and standard deviations 0.2470, 0.2435, 0.2616 of the 50,000 training images."""
    data = sources.load(DataSpec(source="cifar10", data_root=str(published_root), validation_fraction=0.0))
    assert data.train.images.shape == (50000, 3, 32, 32)
    assert data.test is not None
    assert data.test.images.shape == (10000, 3, 32, 32)
    assert data.preprocessing.mean == pytest.approx([0.4914, 0.4822, 0.4465], abs=5e-5)
    assert data.preprocessing.std == pytest.approx([0.2470, 0.2435, 0.2616], abs=5e-5)
    assert [data.classes[i] for i in data.train.labels[:5]] == ["frog", "truck", "truck", "deer", "automobile"]
    assert [data.classes[i] for i in data.test.labels[:5]] == ["cat", "ship", "ship", "airplane", "frog"]


def test_the_validation_part_of_cifar10_is_a_quarter_thousand_a_class(published_root: Path):
    data = sources.load(DataSpec(source="cifar10", data_root=str(published_root)))
    assert data.validation is not None
    assert np.bincount(data.validation.labels).tolist() == [250] * 10


def test_photographs_are_read_with_their_own_parts(published_root: Path):
    if not (published_root / "hymenoptera").is_dir():
        pytest.skip("RESIDUA_DATA has no hymenoptera")
    data = sources.load(DataSpec(source=str(published_root / "hymenoptera")))
    assert data.classes == ("ants", "bees")
    assert data.train.images.shape == (245, 3, 224, 224)  # 244 photographs and one placeholder that is a GIF
    assert data.validation is not None
    assert len(data.validation) == 153
    assert data.test is None
