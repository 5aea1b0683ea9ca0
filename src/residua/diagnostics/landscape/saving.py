"""A survey on the disk: one NPZ file without pickles, written whole or not at all, that a killed survey goes on from.

A file knows which question it answers: the weights, the images, the loss, the grid, the policy and the arithmetic.
Cells of another question are never mixed with it.
"""

import glob
import hashlib
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from torch import Tensor, nn

from residua import files
from residua.diagnostics.case import Examples
from residua.diagnostics.landscape.evaluating import Question
from residua.diagnostics.landscape.grid import Axis, Grid
from residua.diagnostics.landscape.keeping import from_arrays, to_arrays
from residua.diagnostics.landscape.surface import Array, Cells, Centre, Precision, Surface
from residua.errors import BadRun

_VERSION = 1
_PREFIXES = ("x", "y")
_NEAR = 1e-3
"""Of the loss at the centre: what two machines, or two numbers of threads, may differ by."""


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Stored:
    """A surface and what its file says beside it."""

    surface: Surface
    exact: Array
    """Loss of the first part in float32 at some of the cells [rows, columns]; NaN elsewhere."""
    asked: Mapping[str, str]
    """What the question is of, by name: digests, or the words themselves."""
    shares: tuple[tuple[int, int], ...] = ((1, 1),)
    """Whose cells are in it: i of n."""


def asked_of(question: Question, module: nn.Module, grid: Grid) -> dict[str, str]:
    """Returns what a survey's file says of its question."""
    parts = [tensor for part in question.parts for batch in part.batches for tensor in _tensors(batch)]
    axes = [np.array(axis.values) for axis in grid.axes]
    directions = [one for axis in grid.axes for one in (axis.direction.vector, *(t for _, t in axis.direction.buffers))]
    loss = question.case.loss
    return {
        "weights": _digest([*module.parameters(), *module.buffers()]),
        "images": _digest(parts),
        "loss": f"{question.case.loss_name} {getattr(loss, '__qualname__', type(loss).__name__)}",
        "grid": _digest([*directions, *map(torch.from_numpy, axes)]),
        "policy": question.policy,
        "precision": question.precision,
    }


def write(path: Path, stored: Stored) -> None:
    """Writes a survey whole or not at all.

    Raises:
        BadRun: If the place cannot be written.
    """
    surface = stored.surface
    arrays: dict[str, Array] = {"exact": stored.exact}
    for prefix, axis in zip(_PREFIXES, surface.grid.axes, strict=False):
        arrays |= {f"{prefix}.values": np.array(axis.values), **to_arrays(axis.direction, prefix)}
    for place, cells in enumerate(surface.cells):
        arrays[f"loss_{place}"] = cells.loss
        if cells.error is not None:
            arrays[f"error_{place}"] = cells.error
    about = {
        "version": _VERSION,
        "asked": dict(stored.asked),
        "shares": stored.shares,
        "parts": [{"part": one.part, "images": one.images, "centre": asdict(one.centre)} for one in surface.cells],
        "axes": len(surface.grid.axes),
        **{name: getattr(surface, name) for name in ("name", "loss_name", "policy", "seconds", "folded", "remarks")},
        "precision": surface.precision.name,
    }
    try:
        with files.replacing(path) as file:
            np.savez(file, about=np.array(json.dumps(about)), **arrays)  # type: ignore[arg-type]
    except OSError as error:
        raise BadRun(
            f"cannot write {path} ({error.strerror or error}); free space there, or choose another place"
        ) from error


def remove_partials(path: Path) -> None:
    """Removes what a kill within a write of this file has left beside it."""
    for partial in path.parent.glob(f".{glob.escape(path.name)}.*.partial"):
        partial.unlink(missing_ok=True)


def read(path: Path) -> Stored:
    """Returns a survey that `write` wrote.

    Raises:
        BadRun: If the file is missing, damaged, or holds no survey.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as found:
            arrays = {name: found[name] for name in found.files}
        about = json.loads(str(arrays["about"]))
        if about["version"] != _VERSION:
            raise BadRun(f"{path} was written by another version of Residua; give another file, or delete it")
        return _stored(about, arrays)
    except FileNotFoundError:
        raise BadRun(f"{path} is missing; it is written by a survey of a loss surface") from None
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise BadRun(
            f"{path} holds no loss surface ({error or type(error).__name__}); delete it, or give another"
        ) from None


def require_same(path: Path, stored: Stored, asked: Mapping[str, str]) -> None:
    """Refuses a file of another question.

    Raises:
        BadRun: With what differs.
    """
    differs = [name for name, value in asked.items() if stored.asked.get(name) != value]
    if differs:
        raise BadRun(
            f"{path} holds the surface of another question (its {' and '.join(differs)} differ"
            f"{'s' if len(differs) == 1 else ''}); give another file, or delete it"
        )


def require_near(path: Path, stored: Stored, losses: Sequence[float]) -> None:
    """Refuses a file whose centre had another loss: the weights are the same, and the code is not.

    Raises:
        BadRun: With both losses.
    """
    for cells, loss in zip(stored.surface.cells, losses, strict=True):
        before = cells.centre.loss
        if not np.isclose(before, loss, rtol=_NEAR, atol=1e-7):
            raise BadRun(
                f"{path} was computed with a loss of {before:.6g} at its centre, which is {loss:.6g} now: the module "
                "or its loss has changed; give another file, or delete it"
            )


def require_share(path: Path, stored: Stored, share: tuple[int, int]) -> None:
    """Refuses a file of another share's cells.

    Raises:
        BadRun: With whose cells they are.
    """
    if stored.shares != (share,):
        held = " and ".join(f"{place}/{count}" for place, count in stored.shares)
        raise BadRun(f"{path} holds share {held}, not {share[0]}/{share[1]}; give each share a file of its own")


def merged(paths: Sequence[Path]) -> Surface:
    """Returns the surface that several machines' files make together, each cell once.

    Raises:
        BadRun: If a file holds no surface or another one, or two hold the same cell; or if there is no file.
    """
    if not paths:
        raise BadRun("no files to merge; give those that the shares of one survey were written to")
    first, *others = (read(Path(path)) for path in paths)
    for path, other in zip(paths[1:], others, strict=True):
        require_same(Path(path), other, first.asked)
        require_near(Path(path), other, [one.centre.loss for one in first.surface.cells])
        both = ~np.isnan(first.surface.cells[0].loss) & ~np.isnan(other.surface.cells[0].loss)
        if both.any():
            raise BadRun(f"{path} holds {int(both.sum())} cells that another file has too; give each share once")
        first = _together(first, other)
    surface = first.surface
    missing = int(np.isnan(surface.cells[0].loss).sum())
    remarks = (f"{missing} of {surface.cells[0].loss.size} cells are missing.",) if missing else ()
    return replace(surface, remarks=surface.remarks + remarks)


def precision_of(name: str, loss: Array, exact: Array) -> Precision:
    """Returns how far a map is from float32 at the cells that were computed in both and are numbers there."""
    both = np.isfinite(loss) & np.isfinite(exact)
    away = np.abs(loss[both] - exact[both]) / np.maximum(np.abs(exact[both]), np.finfo(np.float32).tiny)
    if not len(away):
        return Precision(name=name, cells=0, median=0.0, worst=0.0)
    return Precision(name=name, cells=len(away), median=float(np.median(away)), worst=float(away.max()))


def _together(one: Stored, other: Stored) -> Stored:
    def joined(left: Array | None, right: Array | None) -> Any:
        return None if left is None or right is None else np.where(np.isnan(left), right, left)

    cells = tuple(
        replace(left, loss=joined(left.loss, right.loss), error=joined(left.error, right.error))
        for left, right in zip(one.surface.cells, other.surface.cells, strict=True)
    )
    exact = joined(one.exact, other.exact)
    surface = replace(
        one.surface,
        cells=cells,
        precision=precision_of(one.surface.precision.name, cells[0].loss, exact),
        seconds=one.surface.seconds + other.surface.seconds,
    )
    return replace(one, surface=surface, exact=exact, shares=one.shares + other.shares)


def _stored(about: Mapping[str, Any], arrays: Mapping[str, Array]) -> Stored:
    axes = tuple(
        Axis(direction=from_arrays(arrays, prefix), values=tuple(arrays[f"{prefix}.values"].tolist()))
        for prefix in _PREFIXES[: about["axes"]]
    )
    cells = tuple(
        Cells(
            part=one["part"],
            images=one["images"],
            loss=arrays[f"loss_{place}"],
            error=arrays.get(f"error_{place}"),
            centre=Centre(**one["centre"]),
        )
        for place, one in enumerate(about["parts"])
    )
    surface = Surface(
        name=about["name"],
        grid=Grid(axes=axes),
        policy=about["policy"],
        cells=cells,
        precision=precision_of(about["precision"], cells[0].loss, arrays["exact"]),
        loss_name=about["loss_name"],
        seconds=about["seconds"],
        folded=about["folded"],
        remarks=tuple(about["remarks"]),
    )
    shares = tuple((place, count) for place, count in about["shares"])
    return Stored(surface=surface, exact=arrays["exact"], asked=about["asked"], shares=shares)


def _tensors(batch: Examples) -> list[Tensor]:
    labels = batch.labels
    inside = (
        labels.values() if isinstance(labels, Mapping) else labels if isinstance(labels, (tuple, list)) else [labels]
    )
    return [*batch.args, *batch.named.values(), *(one for one in inside if isinstance(one, Tensor))]


def _digest(tensors: Sequence[Tensor]) -> str:
    digest = hashlib.sha256()
    for one in tensors:
        plain = one.detach().cpu().contiguous()
        digest.update(f"{tuple(plain.shape)} {plain.dtype}".encode())
        digest.update(plain.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
