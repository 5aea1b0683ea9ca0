"""The published sets: where they are kept, fetched from, checked, and how they are read."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
import platformdirs
from jaxtyping import Int64, UInt8

from residua import files
from residua.data import cifar, digits, idx
from residua.data.decoding import Progress
from residua.errors import BadData

ROOT_VARIABLE = "RESIDUA_DATA"

_FASHION_ADDRESS = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com"
_FASHION_CLASSES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
FASHION_FILES: Mapping[str, str] = {
    "fashion-mnist/train-images-idx3-ubyte.gz": "md5:8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    "fashion-mnist/train-labels-idx1-ubyte.gz": "md5:25c81989df183df01b3e8a0aad5dffbe",
    "fashion-mnist/t10k-images-idx3-ubyte.gz": "md5:bef4ecab320f06d8554ea6380940ec79",
    "fashion-mnist/t10k-labels-idx1-ubyte.gz": "md5:bb300cfdad3c16e7a12a480ee83cd310",
}
CIFAR_ADDRESS = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
CIFAR_ARCHIVE = "md5:c58f30108f718f92721af3b95e74349a"
CIFAR_FILES: Mapping[str, str] = {
    "cifar-10-batches-py/data_batch_1": "md5:c99cafc152244af753f735de768cd75f",
    "cifar-10-batches-py/data_batch_2": "md5:d4bba439e000b95fd0a9bffe97cbabec",
    "cifar-10-batches-py/data_batch_3": "md5:54ebc095f3ab1f0389bbae665268c751",
    "cifar-10-batches-py/data_batch_4": "md5:634d18415352ddfa80567beed471001a",
    "cifar-10-batches-py/data_batch_5": "md5:482c414d41f54cd18b22e5b47cb7c3cb",
    "cifar-10-batches-py/test_batch": "md5:40351d587109b95175f43aff81a1287e",
    "cifar-10-batches-py/batches.meta": "md5:5ff9c542aee3614f3951f8cda6e48888",
}

Labelled = tuple[UInt8[np.ndarray, "n c h w"], Int64[np.ndarray, " n"]]


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class PublishedSet:
    """A set as its publishers made it."""

    classes: tuple[str, ...]
    train: Labelled
    """Images and labels; all of them where the set has no parts."""
    test: tuple[UInt8[np.ndarray, "m c h w"], Int64[np.ndarray, " m"]] | None


def names() -> tuple[str, ...]:
    """Returns the names of the published sets, the default first."""
    return ("digits", "fashion-mnist", "cifar10")


def read(name: str, data_root: str | None = None, *, progress: Progress | None = None) -> PublishedSet:
    """Reads a published set, fetching it first where it is not in the data root.

    Raises:
        BadData: If a file of it differs from the published one.
        DownloadFailed: If it is not there and cannot be fetched.
    """
    if name == "digits":
        return PublishedSet(classes=digits.CLASSES, train=digits.read(), test=None)
    folder = fetch(name, data_root, progress=progress)
    if name == "fashion-mnist":
        return PublishedSet(classes=_FASHION_CLASSES, train=_fashion(folder, "train"), test=_fashion(folder, "t10k"))
    return PublishedSet(
        classes=cifar.class_names(folder / "batches.meta"),
        train=cifar.read(folder / f"data_batch_{i}" for i in range(1, 6)),
        test=cifar.read([folder / "test_batch"]),
    )


def fetch(name: str, data_root: str | None = None, *, progress: Progress | None = None) -> Path:
    """Returns the folder of a published set, every file checked, after fetching what is not there.

    Raises:
        BadData: If a file is there but is not the published one, or the set needs no fetching.
        DownloadFailed: If a file cannot be fetched.
    """
    if name == "digits":
        raise BadData("digits comes with the installation; there is nothing to download")
    root = root_folder(data_root)
    if name == "fashion-mnist":
        missing = _missing(root, FASHION_FILES)
        for file in missing:
            address = f"{_FASHION_ADDRESS}/{Path(file).name}"
            files.download(address, root / file, checksum=FASHION_FILES[file], progress=_staged(progress, file))
        return root / "fashion-mnist"
    if _missing(root, CIFAR_FILES):
        archive = root / Path(CIFAR_ADDRESS).name
        files.download(CIFAR_ADDRESS, archive, checksum=CIFAR_ARCHIVE, progress=_staged(progress, archive.name))
        cifar.extract(archive, CIFAR_FILES, root)
        archive.unlink()
    return root / "cifar-10-batches-py"


def root_folder(data_root: str | None) -> Path:
    """Returns where the published sets are kept: as asked, or ``RESIDUA_DATA``, or the user's data folder."""
    chosen = data_root or os.environ.get(ROOT_VARIABLE)
    return files.expanded(chosen) if chosen else platformdirs.user_data_path("residua")


def _missing(root: Path, checksums: Mapping[str, str]) -> list[str]:
    """Returns the files that are not there; refuses those that are there and differ."""
    missing = [name for name in checksums if not (root / name).exists()]
    for name, checksum in checksums.items():
        if name not in missing and not files.matches(root / name, checksum):
            raise BadData(f"{root / name} is not the published file ({checksum}); delete it and it is fetched again")
    return missing


def _fashion(folder: Path, prefix: str) -> Labelled:
    images = idx.read(folder / f"{prefix}-images-idx3-ubyte.gz")
    labels = idx.read(folder / f"{prefix}-labels-idx1-ubyte.gz")
    return images[:, None], labels.astype(np.int64)


def _staged(progress: Progress | None, name: str) -> Any:
    """Returns what tells a download's bytes as a stage of the work; None where nobody listens."""
    if progress is None:
        return None
    return lambda done, total: progress(f"downloading {Path(name).name}", done, total)
