import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from residua.data import idx
from residua.errors import BadData


def idx_bytes(values: np.ndarray, kind: int = 8) -> bytes:
    """The format as its publishers describe it: 0, 0, type, axes, lengths, bytes."""
    return struct.pack(f">HBB{values.ndim}I", 0, kind, values.ndim, *values.shape) + values.tobytes()


@pytest.mark.parametrize("shape", [(5,), (3, 4, 5), (2, 300, 1)])
def test_an_array_is_read_back(tmp_path: Path, shape: tuple[int, ...]):
    values = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    (tmp_path / "x.gz").write_bytes(gzip.compress(idx_bytes(values)))
    assert np.array_equal(idx.read(tmp_path / "x.gz"), values)


VALUES = np.arange(60, dtype=np.uint8).reshape(3, 4, 5)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (gzip.compress(idx_bytes(VALUES))[:40], "cannot be read"),
        (b"no gzip at all", "cannot be read"),
        (gzip.compress(idx_bytes(VALUES)[:-1]), "cut short"),
        (gzip.compress(idx_bytes(VALUES)[:9]), "cut short"),
        (gzip.compress(idx_bytes(VALUES) + b"more"), "cut short"),
        (gzip.compress(idx_bytes(VALUES, kind=13)), "no IDX file of unsigned bytes"),
        (gzip.compress(b"text"), "no IDX file"),
        (gzip.compress(b""), "no IDX file"),
    ],
    ids=["torn", "not packed", "short", "head alone", "long", "of floats", "text", "empty"],  # gzip writes the time
)
def test_a_damaged_file_is_said(tmp_path: Path, content: bytes, said: str):
    (tmp_path / "x.gz").write_bytes(content)
    with pytest.raises(BadData, match=f"x.gz .*{said}.*residua download"):
        idx.read(tmp_path / "x.gz")


def test_a_missing_file_is_said(tmp_path: Path):
    with pytest.raises(BadData, match=r"x.gz cannot be read"):
        idx.read(tmp_path / "x.gz")
