"""A direction in an NPZ file: every field comes back, numbers to the bit, without pickled objects."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from residua.diagnostics.landscape.between import between
from residua.diagnostics.landscape.directions import Direction, eigenvector, random
from residua.diagnostics.landscape.keeping import from_arrays, to_arrays
from residua.errors import BadRun


def every_kind() -> dict[str, Direction]:
    torch.manual_seed(0)
    module, other = (nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)) for _ in range(2))
    other.state_dict()["1.running_mean"].normal_()
    return {
        "random": random(module, seed=3, normalisation="layer", small=True),
        "between": between(module, other, name="Zürich, “epoch 3”"),
        "hessian": eigenvector(module, torch.randn(12), 0.1 + 0.2),
        "pca": Direction(kind="pca", says="", vector=torch.randn(4), explained=1 / 3),
    }


def test_all_kinds_come_back_from_one_file_as_they_were(tmp_path: Path):
    kept = every_kind()
    arrays: dict[str, Any] = {
        name: array for prefix, one in kept.items() for name, array in to_arrays(one, prefix).items()
    }
    np.savez(tmp_path / "surface.npz", **arrays)
    with np.load(tmp_path / "surface.npz", allow_pickle=False) as file:
        for prefix, one in kept.items():
            assert_same(from_arrays(file, prefix), one)
    assert kept["between"].buffers


def assert_same(found: Direction, kept: Direction) -> None:
    for name in (one.name for one in fields(Direction) if one.name not in ("vector", "buffers")):
        assert getattr(found, name) == getattr(kept, name)
    assert (found.vector.dtype, torch.equal(found.vector, kept.vector)) == (kept.vector.dtype, True)
    assert [name for name, _ in found.buffers] == [name for name, _ in kept.buffers]
    assert all(torch.equal(a, b) for (_, a), (_, b) in zip(found.buffers, kept.buffers, strict=True))


@pytest.mark.parametrize("lost", ["x.about", "x.vector", "x.buffer.0"])
def test_what_is_missing_is_named(lost: str):
    arrays = to_arrays(every_kind()["between"], "x")
    del arrays[lost]
    with pytest.raises(BadRun, match=lost):
        from_arrays(arrays, "x")
