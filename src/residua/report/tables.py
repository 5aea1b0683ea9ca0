"""Rows of JSON made ready for a page: confusion, classes, mistakes, nested settings. No HTML is written here."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

from residua.report.figures import COUNTED_UP_TO_CLASSES
from residua.report.numbers import count

_WEAKEST = 10
_MOST_CONFUSED = 12
_MOST_LISTED = 12


@final
@dataclass(frozen=True, kw_only=True)
class Cell:
    """One cell of a confusion matrix."""

    images: int
    share: float
    """Of its row: of the images of the true class."""

    @property
    def shade(self) -> int:
        """Returns how much of the accent the cell carries, in per cent.

        The square root lets rare errors show. Between 40 and 75 neither dark nor light text would be
        readable, so no cell is shaded so.
        """
        return round(40 * (2 * self.share) ** 0.5) if self.share < 0.5 else round(75 + 50 * (self.share - 0.5))


@final
@dataclass(frozen=True, kw_only=True)
class Confused:
    """A pair of classes that were confused."""

    label: str
    predicted: str
    images: int
    share: float
    """Of the images of the true class."""


def confusion_cells(matrix: Sequence[Sequence[int]]) -> list[list[Cell]]:
    """Returns the matrix with each cell's share of its row; a class without images has shares of 0."""
    return [[Cell(images=n, share=n / max(1, sum(row))) for n in row] for row in matrix]


def most_confused(matrix: Sequence[Sequence[int]], classes: Sequence[str]) -> list[Confused]:
    """Lists the pairs that were confused most often, by number of images."""
    pairs = [
        Confused(label=classes[i], predicted=classes[j], images=n, share=n / sum(row))
        for i, row in enumerate(matrix)
        for j, n in enumerate(row)
        if i != j and n
    ]
    return sorted(pairs, key=lambda pair: (-pair.images, -pair.share))[:_MOST_CONFUSED]


def weakest(per_class: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Lists the classes with the lowest F1, those without one first; empty where all classes fit on a page."""
    if len(per_class) <= COUNTED_UP_TO_CLASSES:
        return []
    return sorted((row for row in per_class if row["images"]), key=lambda row: row["f1"] or 0.0)[:_WEAKEST]


def confident_mistakes(predictions: Sequence[dict[str, Any]], most: int = 12) -> list[dict[str, Any]]:
    """Lists the mistakes with the highest probability: file, label, predicted, probability."""
    wrong = [
        {**{key: str(row[key]) for key in ("file", "label", "predicted")}, "probability": max(row["probabilities"])}
        for row in predictions
        if row["label"] != row["predicted"]
    ]
    return sorted(wrong, key=lambda row: -row["probability"])[:most]


def flat(settings: Mapping[str, Any], where: str = "") -> Iterator[tuple[str, str]]:
    """Yields every setting by its dotted name, as ``--set`` takes it, with its value as text."""
    for key, value in settings.items():
        if isinstance(value, Mapping) and value:
            yield from flat(value, f"{where}{key}.")
        else:
            yield f"{where}{key}", as_text(value)


def as_text(value: Any) -> str:
    """Writes any JSON value for a reader."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list):
        return _listed(value)
    if isinstance(value, dict):
        return ", ".join(f"{key} {as_text(item)}" for key, item in value.items()) or "none"
    return str(value)


def _listed(values: list[Any]) -> str:
    """Writes a list with its first items, and how many there are where these are not all."""
    shown = (", " if not any(isinstance(value, (dict, list)) for value in values) else "; ").join(
        as_text(value) for value in values[:_MOST_LISTED]
    )
    rest = len(values) - _MOST_LISTED
    return f"{shown} and {count(rest)} more" if rest > 0 else shown or "none"


def without(values: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """Returns the dictionary without some of its keys."""
    return {key: value for key, value in values.items() if key not in names}
