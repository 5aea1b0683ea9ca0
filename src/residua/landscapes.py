"""The public verb that draws the loss around a network's weights (Li et al. 2018), alone or beside its plain twin."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from torch import Tensor, nn

from residua import configuration, files, machine, twinning
from residua.diagnostics.case import Loss, opened
from residua.diagnostics.curvature.curvature import Curvature
from residua.diagnostics.curvature.curvature import curvature as curvature_of
from residua.diagnostics.landscape import saving
from residua.diagnostics.landscape.comparison import Comparison, Row, Twin
from residua.diagnostics.landscape.spec import SurfaceSpec, share_of, span_of, steps_of
from residua.diagnostics.landscape.surface import Policy, Surface
from residua.errors import BadSetting
from residua.networks.spec import NetworkSpec
from residua.opening import Asked, Opened, opened_by_name, refuse_for_name, require_for_module
from residua.report.landscape_page import Landscape
from residua.report.landscape_progress import landscape_progress
from residua.report.terminal import transfer_progress
from residua.runs import Run
from residua.surveying import Tell, curved, drawn, looked_at, with_numbers
from residua.training import record
from residua.training.record import Record
from residua.training.spec import TrainSpec

_VERB = "residua.landscape"
_SOURCE = "digits"
_POOL = 4
"""Times the images of the surface are drawn, so that curvature has draws of its own."""
_SEEDS = 3
"""Draws of the directions that twins are compared over."""
_COARSE = 9
"""Points of an axis there."""
_EVERY, _EVERY_COARSE = 4, 2
"""Cells of a map, and of a coarse one, from one whose Hessian within the plane is measured to the next."""


def landscape(
    what: str | os.PathLike[str] | NetworkSpec | nn.Module | Run | None = None,
    images: Tensor | tuple[Tensor, ...] | Mapping[str, Tensor] | None = None,
    labels: Any = None,
    *,
    loss: Loss | None = None,
    held_out: tuple[Any, Any] | None = None,
    source: str | os.PathLike[str] | None = None,
    weights: str | os.PathLike[str] | None = None,
    axes: str = "random",
    to: Any = None,
    normalisation: str = "filter",
    dimensions: int | None = None,
    span: Any = None,
    steps: Any = None,
    policy: str = "frozen",
    examples: int = 256,
    precision: str = "auto",
    convexity: bool = False,
    curvature: bool = False,
    twin: bool | str | os.PathLike[str] | Run = False,
    part: Any = (1, 1),
    store: str | os.PathLike[str] | None = None,
    seed: int = 0,
    data_root: str | os.PathLike[str] | None = None,
    device: str = "auto",
    out: str | os.PathLike[str] | None = None,
) -> Landscape:
    """Draws the loss along a line or over a plane through a network's weights (Li et al. 2018).

    The module comes back as it was. What is computed for a run is kept in ``RUN/landscape/``: a call that was killed
    goes on from there. How long it takes is said after the first point.

    Args:
        what: Any module, with its inputs; a run, which brings its network and its images; or a network by name,
            specification or ``path.py:factory``, which is shown ``source``. None with ``twin`` trains two networks of
            56 layers on digits.
        images: A module's inputs: a tensor, a tuple for a forward of several, a mapping for one by name.
        labels: Of these.
        loss: Takes what the module gives and the labels, and returns the mean over the examples; None takes the
            cross-entropy, where outputs are logits and labels whole numbers.
        held_out: Inputs and labels that a module does not learn from, for a second surface.
        source: Of images for a network: a named set or a folder; None takes digits.
        weights: Of a network: a file of weights or a run; None draws them with the seed.
        axes: ``random`` (Gaussian directions), ``between`` (from here to another network), ``path`` (the plane of the
            training path) or ``hessian`` (the eigenvectors of the largest eigenvalues).
        to: With ``between``: a run, a file of weights, a module, or the state of one.
        normalisation: Of random directions: ``filter``, ``layer``, ``weight`` or ``none``.
        dimensions: 1 or 2; None takes a line between two networks, else a plane.
        span: r for −r to r, a pair, or a pair for each axis; None follows the axes.
        steps: Points of an axis, or of each; None is 51 for a line, 25 × 25 for a plane.
        policy: What batch norms use away from the centre: ``frozen``, ``batch`` or ``recalibrated``.
        examples: That the loss is the mean over, at most.
        precision: Of the map: ``float32``, ``bfloat16``, or ``auto``.
        convexity: Whether the curvature within the plane is measured too, by exact Hessian products; not of a line, of
            a part, or under ``recalibrated``.
        curvature: Whether the Hessian's largest eigenvalues, trace and spectrum at the centre are measured too, with
            norms ``frozen`` where the policy is ``recalibrated``; not of a part.
        twin: Whether the surface of the plain twin stands beside it, which is trained once; or the twin's run.
        part: i of n, for several machines; `residua.landscapes.merged` puts their files together.
        store: A file that cells are kept in; None takes one in the run's folder.
        seed: Of random directions, of the images drawn, and of a network's fresh weights.
        data_root: Folder of the named sets; None follows ``RESIDUA_DATA``.
        device: For a run or a network: ``auto``, ``cpu``, ``cuda``, …; a module stays where it is.
        out: The page; None writes it into a run's folder, or to ``NETWORK-landscape.html``, and none for a module.

    Raises:
        BadSetting: If a setting is not allowed, or what is given does not go together.
        BadWeights: If weights are of another architecture.
        BadNetwork: If the network cannot take the images.
        BadRun: If a run cannot be used, or kept no path where one is needed.
        ResiduaError: As `residua.train` does, for a source or a twin.
    """
    words = {"axes": axes, "normalisation": normalisation, "policy": policy, "precision": precision}
    numbers = {"dimensions": dimensions, "images": examples, "seed": seed}
    read = {"span": span_of(span), "steps": steps_of(steps), "share": share_of(part)}
    spec = configuration.from_json(SurfaceSpec, {**words, **numbers, **read})
    seen = TrainSpec(
        source=_SOURCE if source is None else os.fspath(source),
        weights="none",
        seed=seed,
        data_root=None if data_root is None else os.fspath(data_root),
        device=device,
    )
    machine.prepare_process()
    own = {"images": images, "labels": labels, "loss": loss, "held_out": held_out}
    _refuse_what_has_no_hessian(spec, convexity=convexity, curvature=curvature)
    if twin is not False:
        given = {"source": source, "weights": weights, "to": to, "store": store, "curvature": curvature or None}
        _refuse_for_twins(what, spec, given)
        refuse_for_name(**own)
        return _twins(_runs(what, twin, seen), spec, seen=seen, convexity=convexity, out=out)
    if isinstance(what, nn.Module):
        require_for_module(images, source, verb=_VERB)
        found = _of_module(what, weights, own)
    else:
        refuse_for_name(**own)
        found = _opened(what, seen, spec, sourced=source is not None, weights=weights)
    page = _page(found, spec.axes, out, is_module=isinstance(what, nn.Module))
    _refuse_lost_part(found, spec, store)
    seen_by_surface = looked_at(found, spec)
    with landscape_progress() as tell:
        every = _EVERY if convexity else None
        surface = drawn(seen_by_surface, spec, tell, to=to, store=store, page=page, every=every)
        if spec.share != (1, 1):
            return Landscape(surface=surface)
        hessian = _curvature(found, spec, tell) if curvature else None
    return _written(Landscape(surface=surface, curvature=hessian), page, found)


def merged(paths: Sequence[str | os.PathLike[str]], *, out: str | os.PathLike[str] | None = None) -> Landscape:
    """Returns the surface of the files that several machines wrote, each with its part, and writes its page.

    Args:
        paths: One file of each part.
        out: The page; None writes ``NAME-landscape.html``.

    Raises:
        BadRun: If a file cannot be read, answers another question, or holds cells that another has too.
        BadSetting: If the page cannot be written there.
    """
    surface = with_numbers(saving.merged([Path(path) for path in paths]))
    return Landscape(surface=surface).write(f"{surface.name}-landscape.html" if out is None else os.fspath(out))


def _of_module(module: nn.Module, weights: object, own: Mapping[str, Any]) -> Opened:
    """Opens a module with what is given.

    Raises:
        BadSetting: If weights are given besides, or there is no loss.
    """
    if weights is not None:
        raise BadSetting("a module has its weights; load them before, and leave out weights")
    case = opened(module, own["images"], own["labels"], loss=own["loss"], held_out=own["held_out"])
    if own["loss"] is None and not case.is_cross_entropy:
        raise BadSetting(
            f"a surface needs a loss: give labels as whole numbers to logits [n, k], or loss=…, as "
            f"{_VERB}(module, images, labels, loss=…)"
        )
    return Opened(case=case, part="held-out")


def _opened(what: Any, seen: TrainSpec, spec: SurfaceSpec, *, sourced: bool = False, weights: Any = None) -> Opened:
    if what is None:
        raise BadSetting("nothing to look at; name a run (last is the newest) or a network, or take twin alone")
    asked = Asked(
        what=what.path if isinstance(what, (Run, Record)) else what,
        seen=seen,
        sourced=sourced,
        verb=_VERB,
        examples=_POOL * spec.images,
        held_out=spec.images,
        shows_test=True,
        weights=None if weights is None else os.fspath(weights),
    )
    with transfer_progress(Console(stderr=True)) as progress:
        return opened_by_name(asked, progress)


def _curvature(found: Opened, spec: SurfaceSpec, tell: Tell) -> Curvature:
    policy = "batch" if spec.policy == "batch" else "frozen"

    def told(done: int, total: int) -> None:
        tell(f"{found.case.name}, Hessian products", done, total)

    return curvature_of(found.case, images=spec.images, policy=policy, told=told, seed=spec.seed)


def _refuse_lost_part(found: Opened, spec: SurfaceSpec, store: object) -> None:
    if spec.share != (1, 1) and store is None and found.run is None:
        raise BadSetting(
            f"part {spec.share[0]}/{spec.share[1]} of the cells would be lost: name a file for it with --store"
        )


def _refuse_what_has_no_hessian(spec: SurfaceSpec, *, convexity: bool, curvature: bool) -> None:
    """Refuses before the work what would fail after it, or be left out without a word."""
    if convexity and spec.count != 2:
        raise BadSetting("convexity is of a plane, and this is a line; leave it out, or give dimensions 2")
    if convexity and spec.policy == "recalibrated":
        raise BadSetting(
            "recalibrated statistics are no function of the weights that can be derived twice, so there is no "
            "convexity; leave it out, or take policy frozen or batch"
        )
    if (convexity or curvature) and spec.share != (1, 1):
        raise BadSetting("a part is of cells alone; leave out convexity and curvature, and measure them without part")


def _refuse_for_twins(what: Any, spec: SurfaceSpec, given: Mapping[str, object]) -> None:
    if isinstance(what, nn.Module):
        raise BadSetting("twin trains a run's network again without shortcuts; name a run, not a module")
    if others := [name for name, value in given.items() if value is not None]:
        raise BadSetting(f"twin draws the surfaces of two runs; leave out {', '.join(others)}")
    if spec.axes != "random" or spec.count != 2 or spec.share != (1, 1):
        raise BadSetting("twin compares planes of random directions, whole; leave out axes, dimensions and part")


def _runs(what: Any, twin: Any, seen: TrainSpec) -> tuple[Record, Record, tuple[str, ...]]:
    """Returns the residual run and the plain one, which are trained where there are none, and what differs besides."""
    if twin is not True and what is None:
        raise BadSetting(f"twin names {twin}, and no run to stand beside it; name that first")
    if twin is not True:
        return twinning.pair(_path(what), _path(twin))
    with transfer_progress(Console(stderr=True)) as progress:
        residual = twinning.demonstration(seen, progress) if what is None else record.find(_path(what))
        return residual, twinning.plain_twin(residual, data_root=seen.data_root, progress=progress), ()


def _path(run: Any) -> Any:
    return run.path if isinstance(run, Run) else run


def _twins(
    runs: tuple[Record, Record, tuple[str, ...]], spec: SurfaceSpec, *, seen: TrainSpec, convexity: bool, out: Any
) -> Landscape:
    """Draws the surfaces of two runs that differ in their shortcuts, and takes their numbers over directions."""
    residual, plain = (looked_at(_alone(_opened(run.path, seen, spec)), spec) for run in runs[:2])
    page = _page(residual, "twins", out)
    pairs: tuple[tuple[Twin, Opened], ...] = (("residual", residual), ("plain", plain))
    policies: tuple[Policy, ...] = (spec.policy, "frozen" if spec.policy == "recalibrated" else "recalibrated")
    with landscape_progress() as tell:
        every = _EVERY if convexity else None
        first = drawn(residual, spec, tell, page=page, every=every)
        second = drawn(plain, spec, tell, page=page, beside=first, every=every)
        rows = tuple(
            _row(twin, found, replace(spec, policy=policy), tell) for policy in policies for twin, found in pairs
        )
    remarks = tuple(f"Besides the shortcuts the twins differ in their {name}." for name in runs[2])
    comparison = Comparison(residual=first, plain=second, rows=rows, remarks=remarks)
    return _written(Landscape(comparison=comparison), page, residual)


def _alone(found: Opened) -> Opened:
    """Returns what was opened without its held-out images: twins are compared on what they learned from."""
    return replace(found, case=replace(found.case, held_out=None))


def _row(twin: Twin, found: Opened, spec: SurfaceSpec, tell: Tell) -> Row:
    """Returns a twin's numbers over several draws of the directions, on a coarse grid in float32.

    Statistics that are recalibrated have no Hessian, and so no share of cells that are not convex. Of resnet56 on 256
    images at 8 × 8 a surface took 6 s of processor time and its 25 Hessians, at 1.4 s each, would take 35 s.
    """
    coarse = replace(spec, steps=(_COARSE,), precision="float32")
    seeds = tuple(range(spec.seed, spec.seed + _SEEDS))
    surfaces: list[Surface] = []

    def told(_name: str, done: int, total: int) -> None:
        tell(f"{found.case.name}, {spec.policy}, other directions", len(surfaces) * total + done, len(seeds) * total)

    for seed in seeds:
        surfaces.append(drawn(found, replace(coarse, seed=seed), told))
    if spec.policy != "recalibrated":
        surfaces = _curved(found, surfaces, tell)
    return Row(
        twin=twin,
        policy=spec.policy,
        seeds=seeds,
        numbers=tuple(one.numbers for one in surfaces if one.numbers is not None),
        shape=surfaces[0].grid.shape,
        images=surfaces[0].cells[0].images,
    )


def _curved(found: Opened, surfaces: Sequence[Surface], tell: Tell) -> list[Surface]:
    """Returns coarse surfaces with the Hessians within their planes."""
    measured: list[Surface] = []

    def told(_name: str, done: int, total: int) -> None:
        place, cells = len(measured) * total + done, len(surfaces) * total
        tell(f"{found.case.name}, {surfaces[0].policy}, curvature in the planes", place, cells)

    for surface in surfaces:
        measured.append(curved(found, surface, told, every=_EVERY_COARSE))
    return measured


def _page(found: Opened, kind: str, out: Any, *, is_module: bool = False) -> Path | None:
    """Returns where the page goes: where it is asked for, else into the run, else here; None of a module."""
    if out is not None:
        return Path(out)
    name = "landscape.html" if kind == "random" else f"landscape-{kind}.html"
    if found.run is not None:
        return found.run.path / name
    return None if is_module else Path(f"{found.case.name}-{name}")


def _written(measured: Landscape, page: Path | None, found: Opened) -> Landscape:
    """Writes the page, and into a run its numbers and figures too."""
    if page is None:
        return measured
    written = measured.write(page)
    if found.run is not None and page.parent == found.run.path:
        measured.write_figures(found.run.path / "figures")
        files.write_json(page.with_suffix(".json"), written.to_json())
    return written
