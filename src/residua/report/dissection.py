"""Takes a network apart for a drawing: from its specification and its costs to what each column says."""

from collections.abc import Sequence

from residua.networks.cost import Inspection, Row
from residua.networks.shortcuts import PADDING
from residua.networks.spec import NetworkSpec, Order
from residua.report.anatomy import Anatomy, Box, Column, Fold, Inside, Line
from residua.report.numbers import compact, count, shape

FOLDED_ABOVE = 6
"""A stage with more blocks shows its first two and its last."""


def dissect(spec: NetworkSpec, inspection: Inspection, *, name: str) -> Anatomy:
    """Returns what a drawing of the network shows.

    Args:
        spec: The network as data.
        inspection: What `residua.networks.cost.inspect` found of it.
        name: The title.
    """
    rows = _by_block(inspection)
    stages = tuple(_stage(spec, inspection, rows, index) for index in range(len(spec.blocks)))
    return Anatomy(
        name=name,
        style=_style(spec, inspection),
        totals=(
            (count(inspection.depth), "weighted layers"),
            (compact(inspection.parameters), "parameters"),
            (compact(inspection.multiply_adds), "multiply-adds"),
            (f"{count(inspection.receptive_field)} px", "receptive field"),
        ),
        columns=(_stem(spec, inspection), *stages, _head(spec, inspection)),
        inside=_inside(spec, rows),
        legend=_legend(spec, rows),
        weighed=spec.shortcut in _WEIGHED,
    )


_ORDERS: dict[Order, str] = {
    "original": "original order",
    "bn_after_addition": "norm after addition",
    "relu_before_addition": "activation before addition",
    "relu_only_preactivation": "activation-only pre-activation",
    "full_preactivation": "full pre-activation",
}
_WEIGHED = {
    "scaled": "× {0.shortcut_scale:g}",
    "exclusive_gating": "× (1 − g)",
    "shortcut_only_gating": "× (1 − g)",
    "dropout": "dropout {0.shortcut_dropout:g}",
}
_MEANINGS = {
    "padded": "strided, zeros appended, where the shape changes (option A)",
    "projection": "1×1 convolution where the shape changes (option B)",
    "projection_everywhere": "1×1 convolution (option C)",
    "average_pooled": "average pool, 1×1 convolution where the shape changes (option D)",
    "max_pooled": "max pool, 1×1 convolution where the shape changes (option D)",
}
_WEIGHTS = {
    "scaled": "the shortcut, times a fixed {0.shortcut_scale:g}",
    "exclusive_gating": "the shortcut times 1 − g, the residual function times g: a gate g = σ(1×1 convolution)",
    "shortcut_only_gating": "the shortcut times 1 − g: a gate g = σ(1×1 convolution)",
    "dropout": "the shortcut, of which training drops a share of {0.shortcut_dropout:g}",
}
_SHORT = {"squeeze-excitation": "SE", "global average pool": "average pool"}

Blocks = dict[tuple[int, int], list[Row]]
"""The layers of every block by stage and position, both from 0."""


def _by_block(inspection: Inspection) -> Blocks:
    found: Blocks = {}
    for row in inspection.layers:
        parts = row.name.split(".")
        if parts[0] == "stages":
            found.setdefault((int(parts[1]), int(parts[2])), []).append(row)
    return found


def _part(row: Row) -> str:
    """Returns entry, residual, shortcut, merge or activation."""
    return row.name.split(".")[3]


def _stage(spec: NetworkSpec, inspection: Inspection, rows: Blocks, index: int) -> Column:
    blocks = spec.blocks[index]
    summed = next(row for row in inspection.stages if row.name == f"stage {index + 1}")
    before = next(row for row in inspection.stages if row.name == (f"stage {index}" if index else "stem"))
    heights = (before.shape[1], summed.shape[1])[:blocks]
    boxes = [_block(spec, rows[index, position], height) for position, height in enumerate(heights)]
    further = (Fold(blocks - 3), boxes[-1]) if blocks > FOLDED_ABOVE else boxes[1:] * (blocks - 2)
    return Column(
        title=f"Stage {index + 1}",
        size=shape(summed.shape),
        notes=(f"{compact(summed.parameters)} parameters", f"{blocks} block{'s' if blocks > 1 else ''}"),
        items=(*boxes, *further),
        stage=index,
    )


def _block(spec: NetworkSpec, rows: Sequence[Row], height: int) -> Box:
    residual = [row for row in rows if _part(row) == "residual"]
    return Box(rows=_written(residual, height), shortcut=_line(spec, rows))


def _line(spec: NetworkSpec, rows: Sequence[Row]) -> Line | None:
    if spec.is_plain:
        return None
    beside = [row for row in rows if _part(row) == "shortcut" and ".gate" not in row.name]
    return "changed" if beside else "identity"


def _written(rows: Sequence[Row], height: int, stride: int = 2) -> tuple[str, ...]:
    """Writes convolutions, pools and excitations; ``height`` is the height of the maps that come in."""
    written = []
    for row in rows:
        shrinks = f", /{stride}" if row.shape[1] < height else ""
        if "convolution" in row.kind:
            kernel, _, groups = row.kind.partition(" convolution")
            cardinality = f", C={groups.split()[1]}" if groups else ""
            written.append(f"{kernel}, {row.shape[0]}{cardinality}{shrinks}")
        elif "pool" in row.kind or row.kind in _SHORT:
            written.append(_SHORT.get(row.kind, row.kind) + shrinks)
        height = row.shape[1]
    return tuple(written)


def _stem(spec: NetworkSpec, inspection: Inspection) -> Column:
    summed = inspection.stages[0]
    layers = [row for row in inspection.layers if row.name.startswith("stem.")]
    pools = [row for row in layers if "pool" in row.kind]
    first, *others = [row for row in layers if row not in pools]
    boxes = [(*_written([first], inspection.image[1], spec.stem.stride), *_written(others, first.shape[1]))]
    boxes += [_written(pools, 2 * pools[-1].shape[1])] if pools else []
    return Column(
        title="Stem",
        size=shape(summed.shape),
        notes=(f"{compact(summed.parameters)} parameters",),
        items=tuple(Box(rows=rows) for rows in (("image", shape(inspection.image)), *boxes)),
    )


def _head(spec: NetworkSpec, inspection: Inspection) -> Column:
    tail = [row.kind for row in inspection.layers if row.name.startswith("tail")]
    boxes = [(", ".join(tail),)] if tail else []
    costs = sum(row.parameters for row in inspection.stages if row.name in ("tail", "head"))
    boxes += [("average pool",), (f"linear, {spec.classes}",)]
    return Column(
        title="Head",
        size=f"{spec.classes} logit{'s' if spec.classes > 1 else ''}",
        notes=(f"{compact(costs)} parameters",),
        items=tuple(Box(rows=rows) for rows in boxes),
    )


def _style(spec: NetworkSpec, inspection: Inspection) -> str:
    norm = {"batch": "batch norm", "group": "group norm", "none": "no norm"}[spec.norm]
    survival = f"stochastic depth to {spec.last_survival:g}" if spec.last_survival < 1 else ""
    groups = f"{spec.groups} groups (C)" if spec.groups > 1 else ""
    activation = spec.activation.replace("_", " ")
    kind = f"{'plain ' if spec.is_plain else ''}{spec.block} blocks"
    said = (kind, _ORDERS[spec.order], norm, activation, groups, survival, f"images of {shape(inspection.image)}")
    return " · ".join(part for part in said if part)


def _inside(spec: NetworkSpec, rows: Blocks) -> Inside:
    """Shows the first block that keeps its shape, which most do, or else the first."""
    place = next((place for place, layers in rows.items() if place[1] and _line(spec, layers) != "changed"), (0, 0))
    layers = rows[place]
    kinds = {part: tuple(_named(spec, row) for row in layers if _part(row) == part) for part in map(_part, layers)}
    merge = "" if spec.is_plain else "g" if spec.shortcut == "exclusive_gating" else "+"
    beside = (*kinds.get("shortcut", ()), *kinds.get("merge", ()), *_weight(spec))
    return Inside(
        title=f"Inside block {place[1] + 1} of stage {place[0] + 1}",
        entry=kinds.get("entry", ()),
        residual=kinds.get("residual", ()),
        line=_line(spec, layers),
        shortcut=beside,
        merge=merge,
        closing=kinds.get("activation", ()),
    )


def _named(spec: NetworkSpec, row: Row) -> str:
    if row.kind == "fixed scale":
        return f"× {sum(spec.blocks) ** -0.5 if row.name.endswith('depth_scale') else spec.residual_scale:.3g}"
    if "convolution" in row.kind:
        gate = "gate " if ".gate" in row.name else ""
        return gate + _written([row], row.shape[1])[0]
    return row.kind


def _weight(spec: NetworkSpec) -> tuple[str, ...]:
    return (_WEIGHED[spec.shortcut].format(spec),) if spec.shortcut in _WEIGHED else ()


def _legend(spec: NetworkSpec, rows: Blocks) -> tuple[tuple[str, str], ...]:
    lines = {_line(spec, layers) for layers in rows.values()}
    known = [("identity", "identity")] if "identity" in lines else []
    if "changed" in lines:
        own_name = _MEANINGS["padded"] if spec.shortcut in PADDING else spec.shortcut.replace("_", " ")
        known.append(("changed", _MEANINGS.get(spec.shortcut, own_name)))
    if spec.shortcut in _WEIGHTS:
        known.append(("weighed", _WEIGHTS[spec.shortcut].format(spec)))
    if len(spec.blocks) > 1 or spec.stem.stride > 1 or spec.stem.pool:
        known.append(("/2", "stride 2"))
    return (*known, *([("SE", "squeeze-excitation")] if spec.squeeze_excitation else []))
