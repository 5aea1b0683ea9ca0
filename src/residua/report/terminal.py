"""Tables for the terminal, readable at 80 columns."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from residua.report.numbers import compact, count, percent, shape
from residua.report.progress import ProgressObserver as ProgressObserver
from residua.report.transfers import transfer_progress as transfer_progress

_TITLES = {
    "name": "network",
    "depth": "depth",
    "parameters": "parameters",
    "multiply_adds": "multiply-adds",
    "input": "image",
    "image": "image",
    "receptive_field": "sees (px)",
}
_LARGE = ("parameters", "multiply_adds")


def networks_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Returns a listing of networks, one a row; what a row does not know is left empty.

    Args:
        rows: By name: ``name``, and whatever is to be told beside it; ``parameters`` and ``multiply_adds``
            as plain numbers, ``image`` as (channels, height, width), anything else as text.
    """
    keys = list(dict.fromkeys(key for row in rows for key in row))
    table = _table()
    for key in keys:
        known = [row[key] for row in rows if key in row]
        numeric = all(isinstance(value, (int, float)) for value in known)
        table.add_column(
            _TITLES.get(key, key.replace("_", " ")),
            justify="right" if numeric else "left",
            no_wrap=key == "name" or numeric,
            style="bold" if key == "name" else "",
        )
    for row in rows:
        table.add_row(*(Text(_written(key, row.get(key))) for key in keys))
    return table


def inspection_table(inspection: Mapping[str, Any], *, name: str = "", layers: bool = False) -> Table:
    """Returns what a network costs, stage by stage, with the totals below.

    Args:
        inspection: What ``to_json`` of `residua.networks.cost.Inspection` gives, or of
            `residua.networks.foreign.ForeignInspection`, where some things are not known.
        name: Of the network, for the title.
        layers: Whether every layer has its row instead of every stage.
    """
    title = f"{name} for images of {shape(inspection['image'])}".strip()
    table = _table(title=Text(title, style="bold"), show_footer=True)
    table.add_column("layer" if layers else "part", "total", no_wrap=True, style="bold")
    table.add_column("what it is", f"depth {_known(inspection['depth'])}")
    table.add_column("output", no_wrap=True)
    for heading, key in (("parameters", "parameters"), ("mult-adds", "multiply_adds")):
        table.add_column(heading, _cost(key, inspection[key]), justify="right", no_wrap=True)
    table.add_column("sees", _known(inspection["receptive_field"]), justify="right", no_wrap=True)
    _add_rows(table, inspection["layers" if layers else "stages"])
    table.caption = Text("mult-adds: for one image; sees: side, in pixels, of what one output depends on")
    return table


def predictions_table(rows: Sequence[Mapping[str, Any]], *, classes: Sequence[str], best: int = 3) -> Table:
    """Returns the most probable classes of each image.

    Args:
        rows: By image: ``file`` and ``probabilities`` in the order of ``classes``.
        classes: Names of the classes.
        best: How many classes to name; the first has its own column.
    """
    table = _table()
    table.add_column("image", overflow="fold")
    table.add_column("class", style="bold")
    table.add_column("probability", justify="right", no_wrap=True)
    further = min(best, len(classes)) > 1
    if further:
        table.add_column("else")
    for row in rows:
        ranked = sorted(enumerate(row["probabilities"]), key=lambda pair: -pair[1])[:best]
        named = [(classes[index], percent(probability)) for index, probability in ranked]
        rest = ", ".join(f"{name} {share}" for name, share in named[1:])
        cells = [Text(str(row["file"])), Text(named[0][0]), Text(named[0][1])]
        table.add_row(*cells, *([Text(rest)] if further else []))
    return table


def _table(**options: Any) -> Table:
    return Table(
        box=box.SIMPLE_HEAD,
        title_justify="left",
        caption_justify="left",
        pad_edge=False,
        show_edge=False,
        collapse_padding=True,
        **options,
    )


def _add_rows(table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Adds a row for each stage or layer, and a heading above the layers of each block."""
    block = ""
    for row in rows:
        before, (block, name) = block, _block_and_name(row["name"])
        if block and block != before:
            table.add_row(Text(block))
        table.add_row(
            Text(f" {name}" if block else name),
            Text(row["kind"]),
            shape(row["shape"]) or "–",
            _cost("parameters", row["parameters"]),
            _cost("multiply_adds", row["multiply_adds"]),
            _known(row["receptive_field"]),
        )


def _block_and_name(layer: str) -> tuple[str, str]:
    """Splits ``stages.0.1.residual.norm1`` into ``stages.0.1`` and ``residual.norm1``; others have no block."""
    parts = layer.split(".")
    return (".".join(parts[:3]), ".".join(parts[3:])) if parts[0] == "stages" and len(parts) > 3 else ("", layer)


def _known(number: int | None) -> str:
    return "–" if number is None else str(number)


def _written(key: str, value: Any) -> str:
    if value is None:
        return ""
    if key in _LARGE:
        return _cost(key, value)
    return shape(value) if isinstance(value, (list, tuple)) else str(value)


def _cost(key: str, number: int) -> str:
    return count(number) if key == "parameters" else compact(number)
