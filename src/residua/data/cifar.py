"""Reads CIFAR's Python batches, which are pickles, without running what a pickle may ask for.

A batch is a dictionary with ``data`` (images × 3072 bytes: the red, the green and the blue plane of each,
row by row) and ``labels`` (Krizhevsky 2009).
"""

import io
import pickle
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, final

import numpy as np
from jaxtyping import Int64, UInt8

from residua import files
from residua.errors import BadData

_SIDE = 32


def read(paths: Iterable[Path]) -> tuple[UInt8[np.ndarray, "n 3 32 32"], Int64[np.ndarray, " n"]]:
    """Returns the images and labels of the batches, in their order.

    Raises:
        BadData: If a file is missing or holds anything but a batch.
    """
    images, labels = [], []
    for path in paths:
        batch = _unpickle(path)
        try:
            images.append(batch[b"data"].reshape(-1, 3, _SIDE, _SIDE))
            labels.append(np.asarray(batch[b"labels"], dtype=np.int64))
        except (KeyError, AttributeError, ValueError, TypeError):
            raise BadData(f"{path} is no CIFAR batch; delete it and `residua download cifar10` again") from None
    return np.concatenate(images), np.concatenate(labels)


def class_names(path: Path) -> tuple[str, ...]:
    """Returns the classes in the order of their labels, from ``batches.meta``.

    Raises:
        BadData: If the file is missing or names no classes.
    """
    try:
        return tuple(name.decode() for name in _unpickle(path)[b"label_names"])
    except (KeyError, AttributeError, TypeError):
        raise BadData(f"{path} names no classes; delete it and `residua download cifar10` again") from None


def extract(archive: Path, members: Mapping[str, str], root: Path) -> None:
    """Writes the named members of a tar archive below ``root``, each whole, after checking its checksum.

    Nothing else in the archive is touched, so that it cannot write anywhere else.

    Raises:
        BadData: If a member is missing or differs from its checksum.
    """
    try:
        with tarfile.open(archive) as tar:
            for name, checksum in members.items():
                file = tar.extractfile(name)
                if file is None:
                    raise KeyError(name)
                files.write(root / name, file.read())
                if not files.matches(root / name, checksum):
                    (root / name).unlink()
                    raise BadData(f"{name} in {archive} is not the published file; delete the archive and try again")
    except (KeyError, tarfile.TarError, EOFError, OSError) as error:
        raise BadData(f"{archive} cannot be unpacked ({error}); delete it and try again") from None


@final
class _BatchUnpickler(pickle.Unpickler):
    """Admits what a batch of bytes is made of, and nothing that could run code."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("numpy", "ndarray"):
            return np.ndarray
        if (module, name) == ("numpy", "dtype"):
            return np.dtype
        if module in ("numpy.core.multiarray", "numpy._core.multiarray") and name == "_reconstruct":
            return _reconstruct
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")


def _reconstruct(_kind: type, shape: tuple[int, ...], code: Any) -> np.ndarray:
    """Makes the empty array that a pickle then fills."""
    return np.ndarray.__new__(np.ndarray, shape, np.dtype(code))


def _unpickle(path: Path) -> dict[bytes, Any]:
    try:
        batch = _BatchUnpickler(io.BytesIO(path.read_bytes()), encoding="bytes").load()
    except Exception as error:  # a damaged pickle raises every kind of exception
        raise BadData(f"{path} is no CIFAR file ({error}); delete it and `residua download cifar10` again") from None
    if not isinstance(batch, dict):
        raise BadData(f"{path} is no CIFAR file; delete it and `residua download cifar10` again")
    return batch
