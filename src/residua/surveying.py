"""From what was opened and asked to a surface: which directions are meant, where its cells are kept, what is added."""

import hashlib
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from torch import Tensor, nn

from residua.diagnostics.curvature.curvature import leading
from residua.diagnostics.landscape.between import between
from residua.diagnostics.landscape.comparison import Comparison
from residua.diagnostics.landscape.convexity import plane_of
from residua.diagnostics.landscape.directions import Direction, cosine_says, eigenvector, random, random_pair
from residua.diagnostics.landscape.layout import flat
from residua.diagnostics.landscape.numbers import numbers_of
from residua.diagnostics.landscape.principal import Principal, principal
from residua.diagnostics.landscape.spec import Span, SurfaceSpec
from residua.diagnostics.landscape.surface import Surface, Trail
from residua.diagnostics.landscape.survey import Told, survey
from residua.diagnostics.landscape.trailing import losses_along
from residua.errors import BadSetting
from residua.networks.weights import reading
from residua.opening import Opened, weights_file
from residua.report.landscape_page import Landscape
from residua.training.path import TrainingPath, read_path

FOLDER = "landscape"
"""Within a run: where finished cells are kept."""
Tell = Callable[[str, int, int], object]
"""Is told what is computed, how much of it is done, and how much there is."""
_DIGITS = 8
_PREVIEW_SECONDS, _PREVIEW_SHARE = 10.0, 0.05
"""Between two pages of a surface under way; and what writing them may take of the time."""


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Lines:
    """The directions of a surface, with what is known of them."""

    directions: tuple[Direction, ...]
    ranges: tuple[Span, ...] = ()
    """Where they want to be looked at; empty leaves that to `SurfaceSpec.grid`."""
    path: TrainingPath | None = None
    principal: Principal | None = None


def lines_of(found: Opened, spec: SurfaceSpec, to: Any = None) -> Lines:
    """Returns the directions that are asked for, through the weights of what was opened.

    Args:
        found: At coordinate 0.
        spec: What is asked.
        to: Of ``between``: another run or file of weights, a module, or its state.

    Raises:
        BadSetting: If the other network is missing, or one is given that nobody asked for.
        BadWeights: If it is of another architecture.
        BadRun: If no path was kept.
    """
    module = found.case.module
    if (to is None) == (spec.axes == "between"):
        raise BadSetting(
            "axes between leads to another network; name it with to, a run or a file of weights"
            if to is None
            else f"to is for axes between, and axes is {spec.axes}; leave one of them out"
        )
    if spec.axes == "between":
        straight = between(module, _state(found, to), name=_name(to))
        across = (random(module, seed=2 * spec.seed + 1, normalisation=spec.normalisation),)
        return Lines(directions=(straight, *across)[: spec.count])
    if spec.axes == "path":
        return _along_path(found, spec)
    if spec.axes == "hessian":
        pairs = leading(found.case, count=spec.count, policy="batch" if spec.policy == "batch" else "frozen")
        return Lines(directions=tuple(eigenvector(module, vector, value) for vector, value in pairs))
    pair = random_pair(module, seed=spec.seed, normalisation=spec.normalisation)
    return Lines(directions=pair[: spec.count])


def _along_path(found: Opened, spec: SurfaceSpec) -> Lines:
    if found.run is None:
        raise BadSetting(
            f"axes path is for a run that kept the path of its weights, and {found.case.name} is none; "
            "`residua train --keep-path` makes one"
        )
    path = read_path(found.run.path)
    plane = principal(found.case.module, path.states)
    return Lines(directions=plane.axes[: spec.count], ranges=plane.ranges()[: spec.count], path=path, principal=plane)


def _state(found: Opened, to: Any) -> nn.Module | Mapping[str, Tensor]:
    """Returns another network's tensors, under the names that this one's have."""
    if isinstance(to, (nn.Module, Mapping)):
        return to
    file = weights_file(os.fspath(to))
    return reading.read_tensors(file) if found.plan is None else reading.read_weights(file, found.plan.specification)


def _name(to: Any) -> str:
    if isinstance(to, (str, os.PathLike)):
        path = Path(to)
        return path.parent.name if path.name == "model.safetensors" else path.name
    return "the other weights"


def looked_at(found: Opened, spec: SurfaceSpec) -> Opened:
    """Returns what was opened with as many images as the surface is of, drawn with the seed, and says so."""
    case = found.case
    order = torch.randperm(len(case.examples), generator=torch.Generator().manual_seed(spec.seed))
    places = order[: spec.images].to(case.device)
    held_out = case.held_out
    if held_out is not None and len(held_out) > spec.images:  # a run's are drawn already
        order = torch.randperm(len(held_out), generator=torch.Generator().manual_seed(spec.seed))
        held_out = held_out.take(order[: spec.images].to(case.device))
    whole = len(case.examples) if found.plan is None else len(found.plan.dataset.train)
    said = f"The loss is the mean over {len(places):,} of {whole:,} images, drawn with seed {spec.seed}."
    remarks = (*case.remarks, said) if len(places) < whole else case.remarks
    return replace(found, case=replace(case, examples=case.examples.take(places), held_out=held_out, remarks=remarks))


def surface_of(
    found: Opened, spec: SurfaceSpec, lines: Lines, *, store: Path | None = None, told: Told | None = None
) -> Surface:
    """Returns the surface along the lines, with its numbers, and the path where they are the path's.

    Args:
        found: What was opened, with the images of the surface (`looked_at`).
        spec: What is asked.
        lines: The directions.
        store: A file that finished cells are kept in, and gone on from.
        told: Is told the surface so far, and the seconds left.

    Raises:
        ResiduaError: As `residua.diagnostics.landscape.survey.survey` does.
    """
    surface = survey(
        found.case,
        spec.grid(lines.directions, lines.ranges),
        policy=spec.policy,
        images=None,
        parts=(found.own, found.part),
        precision=None if spec.precision == "auto" else spec.precision,
        store=store,
        share=spec.share,
        told=told,
    )
    drawn_at_random = len(lines.directions) > 1 and lines.directions[1].kind == "random"
    remarks = (cosine_says(*lines.directions),) if drawn_at_random else ()
    surface = replace(surface, remarks=(*surface.remarks, *remarks), trail=_trail(found, lines, surface))
    return with_numbers(surface)


def with_numbers(surface: Surface) -> Surface:
    """Returns the surface with its numbers, where it is whole."""
    return surface if surface.done < 1 else replace(surface, numbers=numbers_of(surface))


def _trail(found: Opened, lines: Lines, surface: Surface) -> Trail | None:
    """Returns the path that training took in the plane; None of other surfaces, of a line, and of a part."""
    plane, path = lines.principal, lines.path
    if plane is None or path is None or len(lines.directions) < 2 or surface.done < 1:
        return None
    true, projected = losses_along(
        found.case,
        path.states,
        surface.grid,
        coordinates=tuple(zip(plane.x, plane.y, strict=True)),
        policy=surface.policy,
        images=None,
    )
    return Trail(
        x=plane.x, y=plane.y, true_loss=true, projected_loss=projected, explained=plane.explained, steps=path.steps
    )


def store_of(found: Opened, spec: SurfaceSpec, to: Any = None) -> Path | None:
    """Returns the file within a run that keeps the cells of just this surface; None of what is no run.

    The name holds what was asked and a digest of both ends' weights, so that a run that was trained on, or another
    end of a line, has a file of its own.
    """
    if found.run is None:
        return None
    digest = hashlib.sha256(flat(found.case.module).cpu().numpy().tobytes())
    if to is not None:
        other = _state(found, to)
        tensors = other.state_dict() if isinstance(other, nn.Module) else other
        for tensor in tensors.values():
            digest.update(tensor.detach().cpu().contiguous().reshape(-1).numpy().tobytes())
    return found.run.path / FOLDER / f"{spec.says}-{digest.hexdigest()[:_DIGITS]}.npz"


def drawn(
    found: Opened,
    spec: SurfaceSpec,
    tell: Tell,
    *,
    to: Any = None,
    store: Any = None,
    page: Path | None = None,
    beside: Surface | None = None,
    every: int | None = None,
) -> Surface:
    """Computes a surface, shows it meanwhile, and measures the Hessian within its plane where that is asked for.

    Args:
        found: What was opened, with the images of the surface (`looked_at`).
        spec: What is asked.
        tell: Is told what is computed, and how much of it is done.
        to: As `lines_of` takes it.
        store: A file for finished cells; None takes one in the run's folder, if it is a run.
        page: Written every few seconds, of what is done so far.
        beside: The surface that this one is compared with there.
        every: As `curved` takes it; None measures no Hessian.

    Raises:
        BadSetting: If the page cannot be written.
        ResiduaError: As `lines_of` and `surface_of` do.
    """
    lines = lines_of(found, spec, to)
    place = store_of(found, spec, to) if store is None else Path(store)
    surface = surface_of(found, spec, lines, store=place, told=_Shown(found.case.name, spec, tell, page, beside))
    if every is None or surface.done < 1:
        return surface
    return curved(found, surface, tell, every=every)


def curved(found: Opened, surface: Surface, tell: Tell, *, every: int) -> Surface:
    """Returns a whole surface with the Hessian within its plane, and the share of it that is not convex.

    Args:
        found: What the surface is of.
        surface: Under a policy that a Hessian has: not ``recalibrated``.
        tell: Is told how much is done.
        every: Cells of the map from one that is measured to the next; each costs two exact products.
    """

    def told(done: int, total: int) -> None:
        tell(f"{found.case.name}, curvature in the plane", done, total)

    return with_numbers(
        replace(surface, plane=plane_of(found.case, surface, every=every, policy=surface.policy, told=told))
    )


@final
class _Shown:
    """Tells of a surface while it is computed: on the terminal, and as a page that loads itself anew."""

    def __init__(self, name: str, spec: SurfaceSpec, tell: Tell, page: Path | None, beside: Surface | None) -> None:
        self._name, self._share, self._tell = name, spec.share, tell
        self._page, self._beside = page, beside
        self._due = 0.0

    def __call__(self, surface: Surface, seconds_left: float) -> None:
        loss = surface.cells[0].loss
        place, count = self._share
        self._tell(self._name, int((~np.isnan(loss)).sum()), len(range(place - 1, loss.size, count)))
        began = time.perf_counter()
        if self._page is None or surface.done == 1 or began < self._due or self._share != (1, 1):
            return
        self._so_far(surface).write(self._page, seconds_left=seconds_left)
        now = time.perf_counter()
        self._due = now + max(_PREVIEW_SECONDS, (now - began) / _PREVIEW_SHARE)

    def _so_far(self, surface: Surface) -> Landscape:
        if self._beside is None:
            return Landscape(surface=surface)
        return Landscape(comparison=Comparison(residual=self._beside, plain=surface, rows=()))
