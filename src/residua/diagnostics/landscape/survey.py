"""The loss at the points of a grid through a module's weights (Li et al. 2018, §4), cell by cell, to go on from.

Existing tools shift every second row by a cell, fill non-square grids wrongly, and take a stored 0 for a cell that was
not computed; here a cell is written where it stands, and NaN alone is missing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import final

import numpy as np

from residua.diagnostics.case import Case
from residua.diagnostics.landscape import saving
from residua.diagnostics.landscape.centring import centres
from residua.diagnostics.landscape.evaluating import Question, question
from residua.diagnostics.landscape.grid import Cell, Grid, coarse_to_fine
from residua.diagnostics.landscape.moving import Moving, moving
from residua.diagnostics.landscape.surface import Array, Cells, Centre, Surface

Told = Callable[[Surface, float], None]
"""Is told the surface so far, and the seconds that are left by the pace of the cells of this sitting."""
_BETWEEN_SAVES, _BETWEEN_TELLINGS = 5.0, 0.5
"""Seconds."""
_SHARE_BESIDE = 0.05
"""Of the time, for each of the two: saves of many parameters come less often."""
_CHECKED, _SHARE_CHECKED = 12, 0.1
"""Cells of a map in bfloat16 that are computed in float32 too: so many, at most this share, at least one."""
_ZOOM = 0.1
"""A range narrower than this is looked at in float32: losses there may differ by less than bfloat16 tells apart."""


def survey(
    case: Case,
    grid: Grid,
    *,
    policy: str = "frozen",
    images: int | None = 256,
    parts: Sequence[str] = ("train", "test"),
    precision: str | None = None,
    store: Path | None = None,
    share: tuple[int, int] = (1, 1),
    told: Told | None = None,
) -> Surface:
    """Returns the loss and the error at the points of a grid; the module is left as it was.

    Planes are computed in bfloat16 where the machine does so natively, after norms were folded into the convolutions
    before them (under ``frozen``); lines, zooms, the centre and some cells of each plane in float32. On a GPU the same
    is done in larger batches, which has not been measured there.

    Args:
        case: Module, examples and loss; held-out examples, where it has any, are a second part in the same go.
        grid: The points.
        policy: For batch norms: ``frozen`` keeps the running statistics of the centre (those of the point where the
            direction moves them); ``batch`` takes those of each batch of about 128 images, as training does, with
            dropout off; ``recalibrated`` takes them anew at each point, over the first part's images.
        images: Of each part, drawn with a fixed seed; None takes all.
        parts: What the examples and the held-out examples are called.
        precision: Of the cells; None chooses as above.
        store: An NPZ file that cells are kept in every few seconds. If it is there and of the same question, it is gone
            on from.
        share: i of n: the cells that this machine computes, where n of them share a survey, each with its own store.
        told: Is told the surface so far after the first cell, then about twice a second, and at the end.

    Raises:
        BadSetting: If a setting is not allowed, or a direction is of another module.
        BadData: If a part has no images.
        BadNetwork: If the forward pass fails.
        BadRun: If the store holds another question's surface, or cannot be read or written.
    """
    order = coarse_to_fine(grid.shape, share)
    chosen = precision or ("float32" if _is_narrow(grid) else None)
    with moving(case.module, [axis.direction for axis in grid.axes], case.examples) as moved:
        asked = question(case, moved, policy=policy, images=images, names=parts, precision=chosen)
        sitting = _begun(asked, moved, grid, store=store, share=share)
        sitting.save()  # so that a place that cannot be written is known before the work
        if policy == "frozen":
            moved.fold(asked.parts[0].batches[0])
        return sitting.through(order, moved, told)


@dataclass(kw_only=True, eq=False)
class _Sitting:
    """A survey while it is computed."""

    asked: Question
    grid: Grid
    store: Path | None
    share: tuple[int, int]
    digests: dict[str, str]
    centre: tuple[Centre, ...]
    loss: tuple[Array, ...]
    error: tuple[Array | None, ...]
    exact: Array
    """As `saving.Stored` has it."""
    checked: frozenset[Cell]
    remarks: tuple[str, ...]
    seconds: float = 0.0
    """Of all sittings."""
    folded: int = 0

    def through(self, order: Sequence[Cell], moved: Moving, told: Told | None) -> Surface:
        """Computes the cells that are missing, saves and tells."""
        self.folded = len(moved.folds)
        missing = [cell for cell in order if np.isnan(self.loss[0][cell])]
        begin, before = perf_counter(), self.seconds
        saves, tellings = _Clock(_BETWEEN_SAVES), _Clock(_BETWEEN_TELLINGS)
        try:
            for count, cell in enumerate(missing, 1):
                self.compute(cell, moved)
                spent = perf_counter() - begin
                self.seconds = before + spent
                if told is not None and (count == 1 or tellings.is_due()) and count < len(missing):
                    told(self.surface(), spent / count * (len(missing) - count))
                    tellings.restart()
                if saves.is_due():
                    self.save()
                    saves.restart()
        finally:
            self.save()
        if told is not None:
            told(self.surface(), 0.0)
        return self.surface()

    def compute(self, cell: Cell, moved: Moving) -> None:
        """Computes one cell, and once more in float32 where it is one of those."""
        moved.to(self.grid.point(cell))
        found = self.asked.measure(moved.module)
        if cell in self.checked:
            moved.to(self.grid.point(cell))
            self.exact[cell] = replace(self.asked, precision="float32").measure(moved.module)[0][0]
        for loss, error, (of_loss, of_error) in zip(self.loss, self.error, found, strict=True):
            loss[cell] = of_loss
            if error is not None:
                error[cell] = of_error

    def surface(self) -> Surface:
        """Returns what is there now."""
        cells = tuple(
            Cells(
                part=part.name,
                images=part.images,
                loss=loss.copy(),
                error=None if error is None else error.copy(),
                centre=centre,
            )
            for part, loss, error, centre in zip(self.asked.parts, self.loss, self.error, self.centre, strict=True)
        )
        name = "float64" if _is_double(self.asked) else self.asked.precision
        return Surface(
            name=self.asked.case.name,
            grid=self.grid,
            policy=self.asked.policy,
            cells=cells,
            precision=saving.precision_of(name, self.loss[0], self.exact),
            loss_name=self.asked.case.loss_name,
            seconds=self.seconds,
            folded=self.folded,
            remarks=self.remarks,
        )

    def save(self) -> None:
        """Writes what is there now, where there is a store."""
        if self.store is not None:
            stored = saving.Stored(surface=self.surface(), exact=self.exact, asked=self.digests, shares=(self.share,))
            saving.write(self.store, stored)


@final
class _Clock:
    """Says when something is due again."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._wait = seconds
        self._begin = perf_counter()
        self._due = self._begin

    def is_due(self) -> bool:
        self._due = perf_counter()
        return self._due - self._begin >= self._wait

    def restart(self) -> None:
        """Waits anew, and so long that what was done since it was due takes a small share of the time."""
        now = perf_counter()
        self._wait = max(self._seconds, (now - self._due) / _SHARE_BESIDE)
        self._begin = now


def _begun(asked: Question, moved: Moving, grid: Grid, *, store: Path | None, share: tuple[int, int]) -> _Sitting:
    """Returns a survey with what its store holds, or without a cell."""
    digests = saving.asked_of(asked, moved.module, grid)
    stored = None if store is None or not store.exists() else saving.read(store)
    if store is not None:
        saving.remove_partials(store)
    if store is not None and stored is not None:
        saving.require_same(store, stored, digests)
        saving.require_share(store, stored, share)
        moved.to([0.0] * moved.axes)
        exact = replace(asked, precision="float32").measure(moved.module)
        saving.require_near(store, stored, [loss for loss, _ in exact])
    cells = None if stored is None else stored.surface.cells
    return _Sitting(
        asked=asked,
        grid=grid,
        store=store,
        share=share,
        digests=digests,
        centre=centres(asked, moved) if cells is None else tuple(one.centre for one in cells),
        loss=tuple(_empty(grid) for _ in asked.parts) if cells is None else tuple(one.loss for one in cells),
        error=tuple(_empty(grid) if asked.has_classes else None for _ in asked.parts)
        if cells is None
        else tuple(one.error for one in cells),
        exact=_empty(grid) if stored is None else stored.exact,
        checked=_checked(grid) if asked.precision != "float32" else frozenset(),
        remarks=_remarks(asked, moved),
        seconds=0.0 if stored is None else stored.surface.seconds,
    )


def _empty(grid: Grid) -> Array:
    return np.full(grid.shape, np.nan)


def _is_narrow(grid: Grid) -> bool:
    """Says whether a grid is a line or a zoom."""
    return len(grid.axes) == 1 or min(axis.width for axis in grid.axes) < _ZOOM


def _is_double(asked: Question) -> bool:
    return any(one.dtype.itemsize == 8 for one in asked.case.module.parameters() if one.is_floating_point())


def _checked(grid: Grid) -> frozenset[Cell]:
    """Returns the cells that are computed in float32 too, spread over the whole grid's order."""
    order = coarse_to_fine(grid.shape)
    count = max(1, min(_CHECKED, int(_SHARE_CHECKED * len(order))))
    return frozenset(order[place * len(order) // count] for place in range(count))


def _remarks(asked: Question, moved: Moving) -> tuple[str, ...]:
    case = asked.case
    drawn = [
        f"The {part.name} part is {part.images:,} of {part.available:,} images, drawn with a fixed seed."
        for part in asked.parts
        if part.images < part.available
    ]
    copied = [] if moved.is_copy else ["The module cannot be copied: its weights were moved in place and put back."]
    return (*case.remarks, *drawn, *copied)
