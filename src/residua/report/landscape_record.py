"""A landscape as files hold it: its numbers as JSON, its cells as arrays."""

import io
import json
import math
from dataclasses import asdict
from typing import Any

import numpy as np

from residua.diagnostics.curvature.curvature import Curvature
from residua.diagnostics.landscape.comparison import Comparison, headline
from residua.diagnostics.landscape.grid import Axis
from residua.diagnostics.landscape.surface import Cells, Surface


def record(surface: Surface | None, comparison: Comparison | None, curvature: Curvature | None) -> dict[str, Any]:
    """Returns the numbers, without arrays of cells; what is not finite becomes "nan", "inf" or "-inf"."""
    return _finite(
        {
            "surface": None if surface is None else _surface(surface),
            "comparison": None if comparison is None else _comparison(comparison),
            "curvature": None if curvature is None else asdict(curvature),
        }
    )


def arrays(surface: Surface | None, comparison: Comparison | None, curvature: Curvature | None) -> bytes:
    """Returns a ``.npz`` file of all cells; names begin with ``residual_`` and ``plain_`` where there are twins."""
    named: dict[str, Surface] = {} if surface is None else {"": surface}
    if comparison is not None:
        named |= {"residual_": comparison.residual, "plain_": comparison.plain}
    found = {prefix + name: table for prefix, one in named.items() for name, table in _tables(one).items()}
    about = json.dumps(record(surface, comparison, curvature), ensure_ascii=False)
    file = io.BytesIO()
    np.savez_compressed(file, allow_pickle=False, about=np.array(about), **found)  # pyright: ignore[reportArgumentType]
    return file.getvalue()


def _tables(surface: Surface) -> dict[str, np.ndarray]:
    found = {letter: np.array(axis.values) for letter, axis in zip("xy", surface.grid.axes, strict=False)}
    for one in surface.cells:
        found[f"loss_{one.part}"] = one.loss
        if one.error is not None:
            found[f"error_{one.part}"] = one.error
    if (plane := surface.plane) is not None:
        found |= {"plane_rows": np.array(plane.rows), "plane_columns": np.array(plane.columns)}
        found |= {"plane_xx": plane.xx, "plane_xy": plane.xy, "plane_yy": plane.yy}
    return found


def _surface(one: Surface) -> dict[str, Any]:
    return {
        "name": one.name,
        "policy": one.policy,
        "loss_name": one.loss_name,
        "axes": [_axis(axis) for axis in one.grid.axes],
        "cells": [_cells(cells) for cells in one.cells],
        "numbers": None if one.numbers is None else asdict(one.numbers),
        "precision": asdict(one.precision),
        "trail": None if one.trail is None else asdict(one.trail),
        "done": one.done,
        "seconds": one.seconds,
        "folded": one.folded,
        "remarks": list(one.remarks),
    }


def _axis(axis: Axis) -> dict[str, Any]:
    one = axis.direction
    return {
        "says": one.says,
        "kind": one.kind,
        "normalisation": one.normalisation,
        "seed": one.seed,
        "explained": one.explained,
        "eigenvalue": one.eigenvalue,
        "from": axis.values[0],
        "to": axis.values[-1],
        "points": len(axis.values),
    }


def _cells(one: Cells) -> dict[str, Any]:
    known = one.loss[~np.isnan(one.loss)]
    return {
        "part": one.part,
        "images": one.images,
        "centre": asdict(one.centre),
        "smallest": float(known.min()) if len(known) else None,
        "largest": float(known.max()) if len(known) else None,
        "infinite": int(np.isinf(one.loss).sum()),
        "missing": int(np.isnan(one.loss).sum()),
    }


def _comparison(found: Comparison) -> dict[str, Any]:
    return {
        "says": list(headline(found)) if found.rows else [],
        "residual": _surface(found.residual),
        "plain": _surface(found.plain),
        "rows": [asdict(row) for row in found.rows],
        "remarks": list(found.remarks),
    }


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
