"""The figures of a run: curves over epochs, calibration, confusion. Each is drawn from rows of JSON.

Class names are drawn only where the font has their glyphs, else their numbers; a page writes names itself.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from residua.report.style import PALETTE, can_draw, dress, new_figure, whole_numbers

Rows = Sequence[dict[str, Any]]

COUNTED_UP_TO_CLASSES = 25
"""A matrix with more classes shows shades without counts."""
_NAMED_UP_TO_CLASSES = 40
_NAME_LETTERS = 16
_PANEL = (4.3, 2.8)
_LOW_PANEL = (4.3, 1.5)
_SHADED_SIDE = 5.6
_SHADE = "#3f86d6"
"""Shows on light and on dark paper: an image in a figure cannot follow the page."""


def curves(epochs: Rows, *, kept: int | None) -> Figure:
    """Draws loss and accuracy over epochs with the learning rate small below.

    Args:
        epochs: The rows of ``metrics.jsonl``.
        kept: The epoch whose weights were kept, marked by a line.
    """
    figure = new_figure(9.0, 4.6)
    grid = figure.add_gridspec(2, 2, height_ratios=(3, 1))
    loss, accuracy = figure.add_subplot(grid[0, 0]), figure.add_subplot(grid[0, 1])
    _draw_pair(loss, epochs, "loss", kept)
    _draw_pair(accuracy, epochs, "accuracy", kept)
    _draw_learning_rate(figure.add_subplot(grid[1, :]), epochs)
    return figure


def loss_curve(epochs: Rows, *, kept: int | None) -> Figure:
    """Draws the training and validation loss over epochs."""
    figure = new_figure(*_PANEL)
    _draw_pair(figure.add_subplot(), epochs, "loss", kept)
    return figure


def accuracy_curve(epochs: Rows, *, kept: int | None) -> Figure:
    """Draws the training and validation accuracy over epochs."""
    figure = new_figure(*_PANEL)
    _draw_pair(figure.add_subplot(), epochs, "accuracy", kept)
    return figure


def learning_rate_curve(epochs: Rows) -> Figure:
    """Draws the learning rate at the end of each epoch."""
    figure = new_figure(*_LOW_PANEL)
    _draw_learning_rate(figure.add_subplot(), epochs)
    return figure


def calibration(bins: Rows, *, title: str = "") -> Figure:
    """Draws accuracy over confidence (Guo et al. 2017, Fig. 1), each dot's area in proportion to its images.

    Args:
        bins: Rows of mean confidence, accuracy and number of images.
        title: Tells one of two diagrams from the other.
    """
    figure = new_figure(4.2, 4.0)
    axes = dress(figure.add_subplot(), title, "probability of the predicted class", "share correct")
    axes.plot((0, 1), (0, 1), color=PALETTE["soft"], linewidth=0.9, linestyle=(0, (4, 3)))
    total = max(1, sum(row["images"] for row in bins))
    x, y = [row["confidence"] for row in bins], [row["accuracy"] for row in bins]
    areas = [18 + 380 * row["images"] / total for row in bins]
    axes.vlines(x, x, y, color=PALETTE["held"], linewidth=1.2)
    axes.scatter(x, y, s=areas, color=PALETTE["train"], alpha=0.85, linewidths=0, clip_on=False, zorder=3)
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    return figure


def confusion(matrix: Sequence[Sequence[int]], classes: Sequence[str]) -> Figure:
    """Draws the confusion matrix: true classes as rows, shaded by the share of the row.

    Classes are named where the font has all their glyphs and there is room, else numbered from 0.
    """
    table = np.asarray(matrix, dtype=float)
    counted = len(classes) <= COUNTED_UP_TO_CLASSES
    side = 2.2 + 0.3 * len(classes) if counted else _SHADED_SIDE
    figure = new_figure(side, side)
    axes = dress(figure.add_subplot(), "", "predicted class", "true class")
    axes.yaxis.grid(visible=False)
    axes.imshow(_shades(table), interpolation="none")
    _name_classes(axes, classes)
    if counted:
        _write_counts(axes, table)
    return figure


def _draw_pair(axes: Axes, epochs: Rows, quantity: str, kept: int | None) -> None:
    """Draws a quantity in training and, where it was measured, in validation."""
    dress(axes, quantity.capitalize(), "epoch")
    known = [row for row in epochs if row.get(f"validation_{quantity}") is not None]
    for rows, part, colour in ((epochs, "train", "train"), (known, "validation", "held")):
        if rows:
            x, y = [row["epoch"] for row in rows], [row[f"{part}_{quantity}"] for row in rows]
            marker = "o" if len(rows) == 1 else ""
            label = "training" if part == "train" else part
            axes.plot(x, y, color=PALETTE[colour], linewidth=1.6, marker=marker, label=label)
    if kept is not None and len(epochs) > 1:
        axes.axvline(kept, color=PALETTE["soft"], linewidth=0.8, linestyle=(0, (2, 2)), label=f"kept: epoch {kept}")
    if quantity == "accuracy":
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=None))
    whole_numbers(axes)
    if epochs:
        _legend(axes)


def _legend(axes: Axes) -> None:
    """Names the lines above the axes, where they cannot hide any."""
    axes.legend(
        loc="lower right",
        bbox_to_anchor=(1, 1),
        ncols=3,
        frameon=False,
        fontsize=8.5,
        labelcolor=PALETTE["soft"],
        handlelength=1.4,
        columnspacing=1.0,
        borderpad=0.1,
    )


def _draw_learning_rate(axes: Axes, epochs: Rows) -> None:
    dress(axes, "Learning rate", "epoch")
    x, y = [row["epoch"] for row in epochs], [row["learning_rate"] for row in epochs]
    axes.plot(x, y, color=PALETTE["soft"], linewidth=1.2, marker="o" if len(epochs) == 1 else "")
    axes.set_ylim(bottom=0)
    axes.locator_params(axis="y", nbins=3)
    whole_numbers(axes)


def _shades(table: np.ndarray) -> np.ndarray:
    """Returns an RGBA image that shows on any background: the more opaque, the larger the share of its row."""
    share = _shares(table)
    image = np.empty((*table.shape, 4))
    image[..., :3] = to_rgb(_SHADE)
    image[..., 3] = 0.9 * np.sqrt(share)
    return image


def _shares(table: np.ndarray) -> np.ndarray:
    """Divides each row by its sum; a class without images keeps its zeros."""
    return table / np.maximum(table.sum(axis=1, keepdims=True), 1)


def _name_classes(axes: Axes, classes: Sequence[str]) -> None:
    numbers = range(len(classes))
    drawn = len(classes) <= _NAMED_UP_TO_CLASSES and can_draw(classes)
    if not drawn:
        axes.set_xlabel("predicted class, by number")
        axes.set_ylabel("true class, by number")
    if len(classes) > _NAMED_UP_TO_CLASSES:
        return
    names = [_short(name) for name in classes] if drawn else [str(number) for number in numbers]
    axes.set_xticks(numbers, names, rotation=90 if max(map(len, names)) > 2 else 0, parse_math=False)
    axes.set_yticks(numbers, names, parse_math=False)


def _write_counts(axes: Axes, table: np.ndarray) -> None:
    """Writes the number of images into every cell that has some; ink can be read on the deepest shade."""
    for (row, column), number in np.ndenumerate(table):
        if number:
            axes.text(column, row, f"{number:.0f}", ha="center", va="center", fontsize=8, color=PALETTE["ink"])


def _short(name: str) -> str:
    return name if len(name) <= _NAME_LETTERS else f"{name[: _NAME_LETTERS - 1]}…"
