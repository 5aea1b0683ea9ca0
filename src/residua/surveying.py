"""From what was opened and asked to a surface: which directions are meant, where its cells are kept, what is added."""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

from torch import Tensor, nn

from residua.diagnostics.curvature.leading import leading
from residua.diagnostics.landscape.between import between
from residua.diagnostics.landscape.directions import Direction, cosine_says, eigenvector, random, random_pair
from residua.diagnostics.landscape.layout import flat
from residua.diagnostics.landscape.numbers import numbers_of
from residua.diagnostics.landscape.principal import Principal, principal
from residua.diagnostics.landscape.spec import Span, SurfaceSpec
from residua.diagnostics.landscape.surface import Surface
from residua.diagnostics.landscape.survey import Told, survey
from residua.errors import BadSetting
from residua.networks.weights import reading
from residua.opening import Opened, weights_file
from residua.training.path import TrainingPath, read_path

FOLDER = "landscape"
"""Within a run: where finished cells are kept."""
_DIGITS = 8


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
        pairs = leading(found.case, count=spec.count)
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
    return Lines(
        directions=plane.axes[: spec.count], ranges=plane.ranges()[: spec.count], path=path, principal=plane
    )


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


def surface_of(
    found: Opened, spec: SurfaceSpec, lines: Lines, *, store: Path | None = None, told: Told | None = None
) -> Surface:
    """Returns the surface along the lines, with its numbers once it is whole.

    Args:
        found: What was opened.
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
        images=spec.images,
        parts=("train", found.part),
        precision=None if spec.precision == "auto" else spec.precision,
        store=store,
        share=spec.share,
        told=told,
    )
    remarks = (cosine_says(*lines.directions),) if len(lines.directions) > 1 else ()
    surface = replace(surface, remarks=(*surface.remarks, *remarks))
    return surface if surface.done < 1 else replace(surface, numbers=numbers_of(surface))


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
