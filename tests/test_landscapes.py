"""`residua.landscape`: the surface is that of the network, cells are computed once, and the twin is trained once."""

import copy
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import residua
from residua import landscapes, twinning
from residua.diagnostics.case import Case, opened
from residua.diagnostics.landscape import survey
from residua.diagnostics.landscape.directions import random_pair
from residua.diagnostics.landscape.moving import Moving
from residua.diagnostics.landscape.spec import SurfaceSpec
from residua.diagnostics.landscape.surface import Numbers, Surface
from residua.errors import BadRun, BadSetting, BadWeights, Interrupted
from residua.opening import Opened
from residua.report import landscape_page
from residua.report.landscape_page import Landscape
from residua.runs import Run
from residua.surveying import looked_at
from residua.training import fit as fitting
from residua.training.path import PathKeeper
from residua.training.plan import plan
from residua.training.record import Record
from residua.training.spec import TrainSpec
from tests.report.fabricated_surfaces import curvature
from tests.training.conftest import TINY

QUICK: dict[str, Any] = {"steps": 3, "examples": 8, "precision": "float32"}


@pytest.fixture(autouse=True)
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages are words, and no figure is drawn: that is tested with the report."""
    monkeypatch.setattr(landscape_page, "render", lambda found, *, seconds_left=None: f"{found.done:.2f}")
    monkeypatch.setattr(Landscape, "write_figures", lambda found, folder: None)
    monkeypatch.setattr("residua.report.page.write_report", lambda run, pictures: run / "report.html")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a tiny network on the digits."""
    place = tmp_path_factory.mktemp("landscapes") / "tiny"
    fitting.fit(plan(TrainSpec(network=TINY, epochs=1, settings=("precision=float32",))), out=place)
    return place


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Record:
    """A copy of that run."""
    shutil.copytree(trained, tmp_path / "tiny")
    return Record(tmp_path / "tiny")


@pytest.fixture
def idle(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Lists the cells that are computed from now on."""
    seen: list[object] = []
    compute = survey._Sitting.compute
    monkeypatch.setattr(
        survey._Sitting, "compute", lambda self, cell, moved: (seen.append(cell), compute(self, cell, moved))[1]
    )
    return seen


def only(found: Landscape) -> Surface:
    assert found.surface is not None
    return found.surface


def numbers_of(found: Surface) -> Numbers:
    assert found.numbers is not None
    return found.numbers


def small() -> tuple[nn.Sequential, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 3))
    return module, torch.randn(12, 4, generator=generator), torch.arange(12) % 3


def test_every_cell_of_a_module_is_the_loss_of_the_module_moved_by_hand():
    module, images, labels = small()
    x, y = random_pair(module, seed=5)
    found = residua.landscape(module, images, labels, steps=(3, 2), span=((-1, 1), (0, 2)), seed=5, precision="float32")
    moved = copy.deepcopy(module).eval()
    start = torch.cat([one.detach().reshape(-1) for one in module.parameters()])
    for i, a in enumerate((-1.0, 0.0, 1.0)):
        for j, b in enumerate((0.0, 2.0)):
            nn.utils.vector_to_parameters(start + a * x.vector + b * y.vector, moved.parameters())
            with torch.no_grad():
                expected = float(functional.cross_entropy(moved(images), labels))
            assert only(found).cells[0].loss[j, i] == pytest.approx(expected, rel=1e-5)
    assert found.page is None
    assert list(Path().iterdir()) == []


def test_a_module_comes_back_as_it_was():
    module, images, labels = small()
    first = next(module.parameters())
    first.grad = torch.ones(5, 4)
    before, state = copy.deepcopy(module.state_dict()), torch.get_rng_state()
    residua.landscape(module, images, labels, policy="recalibrated", convexity=False, **QUICK)
    assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())
    assert torch.equal(first.grad, torch.ones(5, 4))
    assert torch.equal(state, torch.get_rng_state())
    assert module.training
    assert all(one.requires_grad for one in module.parameters())


def test_images_are_drawn_from_all_that_are_given_for_they_may_be_sorted_by_class():
    module, images, labels = small()
    sorted_ = labels.sort().indices
    found = residua.landscape(module, images[sorted_], labels[sorted_], **QUICK)
    order = torch.randperm(12, generator=torch.Generator().manual_seed(0))[:8]
    module.eval()
    with torch.no_grad():
        expected = float(functional.cross_entropy(module(images[sorted_][order]), labels[sorted_][order]))
    assert only(found).cells[0].centre.loss == pytest.approx(expected, rel=1e-5)
    assert "The loss is the mean over 8 of 12 images, drawn with seed 0." in found.remarks


def test_held_out_images_are_drawn_too():
    """They are sorted by their labels, 0 and 1: the first 16 have one alone."""
    module, images, labels = small()
    held_out = (torch.randn(40, 4, generator=torch.Generator().manual_seed(1)), torch.arange(40) // 20)
    found = looked_at(Opened(case=opened(module, images, labels, held_out=held_out)), SurfaceSpec(images=16, seed=1))
    assert found.case.held_out is not None
    chosen = found.case.held_out.labels
    assert len(chosen) == 16
    assert set(chosen.tolist()) == {0, 1}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"convexity": True, "policy": "recalibrated"}, "leave it out, or take policy frozen or batch"),
        ({"convexity": True, "dimensions": 1}, "this is a line; leave it out"),
        ({"convexity": True, "part": "1/2", "store": "kept.npz"}, "measure them without part"),
        ({"curvature": True, "part": "1/2", "store": "kept.npz"}, "measure them without part"),
    ],
)
def test_what_has_no_hessian_is_refused_before_a_cell_is_computed(idle: list[object], given, message):
    with pytest.raises(BadSetting, match=message):
        residua.landscape(*small(), **{**QUICK, **given})
    assert idle == []


def test_the_hessian_within_the_plane_is_asked_for():
    module, images, labels = small()
    found = only(residua.landscape(module, images, labels, convexity=True, **QUICK))
    assert found.plane is not None
    assert numbers_of(found).non_convex is not None


def test_curvature_is_of_all_images_and_of_the_surfaces_policy(monkeypatch: pytest.MonkeyPatch):
    asked: list[tuple[Case, dict[str, Any]]] = []
    monkeypatch.setattr(landscapes, "curvature_of", lambda case, **given: (asked.append((case, given)), curvature())[1])
    module, images, labels = small()
    found = residua.landscape(module, images, labels, curvature=True, policy="batch", **QUICK)
    ((case, given),) = asked
    assert found.curvature is not None
    assert (len(case.examples), given["images"], given["policy"]) == (12, 8, "batch")


def test_eigenvectors_are_of_the_surfaces_policy():
    module, images, labels = small()
    directions = {
        policy: only(residua.landscape(module, images, labels, axes="hessian", policy=policy, **QUICK)).grid.axes
        for policy in ("frozen", "batch")
    }
    frozen, batch = (axes[0].direction.eigenvalue for axes in directions.values())
    assert frozen != pytest.approx(batch, rel=0.05)


def test_eigenvectors_of_the_largest_eigenvalues_are_asked_for():
    module, images, labels = small()
    found = only(residua.landscape(module, images, labels, axes="hessian", **QUICK))
    first, second = (axis.direction.eigenvalue or 0.0 for axis in found.grid.axes)
    assert first >= second > 0


def test_a_runs_surface_is_written_into_it_and_no_cell_is_computed_twice(run: Record, idle: list[object]):
    found = residua.landscape(run.path, **QUICK)
    assert found.page == run.path / "landscape.html"
    assert run.read("landscape")["surface"]["cells"][0]["images"] == 8
    assert [cells.part for cells in only(found).cells] == ["train", "validation"]
    assert len(idle) == 9
    again = residua.landscape(run.path, **QUICK)
    assert len(idle) == 9
    assert np.array_equal(only(again).cells[0].loss, only(found).cells[0].loss)
    residua.landscape(run.path, **QUICK, seed=1)
    assert len(idle) == 18


def test_a_killed_survey_goes_on_where_it_was(run: Record, idle: list[object], monkeypatch: pytest.MonkeyPatch):
    whole = only(residua.landscape(run.path, store=run.path / "whole.npz", **QUICK))
    compute = survey._Sitting.compute

    def cut(self: survey._Sitting, cell: tuple[int, int], moved: Moving) -> None:
        if len(idle) == 13:
            raise Interrupted("stopped")
        compute(self, cell, moved)

    with monkeypatch.context() as killing:
        killing.setattr(survey._Sitting, "compute", cut)
        with pytest.raises(Interrupted):
            residua.landscape(run.path, **QUICK)
    found = only(residua.landscape(run.path, **QUICK))
    assert len(idle) == 18
    assert np.array_equal(found.cells[0].loss, whole.cells[0].loss)


def test_parts_make_the_whole(run: Record, tmp_path: Path):
    whole = only(residua.landscape(run.path, **QUICK))
    files = [tmp_path / f"{part}.npz" for part in (1, 2)]
    for part, file in enumerate(files, 1):
        found = residua.landscape(run.path, part=(part, 2), store=file, **QUICK)
        assert found.page is None
        assert only(found).numbers is None
    joined = landscapes.merged(files, out=tmp_path / "joined.html")
    assert np.array_equal(only(joined).cells[0].loss, whole.cells[0].loss)
    assert asdict(numbers_of(only(joined))) == asdict(numbers_of(whole))
    assert (tmp_path / "joined.html").is_file()


def test_files_of_different_surfaces_are_not_merged(run: Record, tmp_path: Path):
    for seed in (0, 1):
        residua.landscape(run.path, part=(1 + seed, 2), seed=seed, store=tmp_path / f"{seed}.npz", **QUICK)
    with pytest.raises(BadRun, match=r"1\.npz holds the surface of another question"):
        landscapes.merged([tmp_path / "0.npz", tmp_path / "1.npz"])


def test_one_along_the_line_to_another_run_is_that_run(run: Record, tmp_path: Path):
    other = tmp_path / "other"
    fitting.fit(plan(TrainSpec(network=TINY, epochs=1, settings=("precision=float32",), seed=3)), out=other)
    line = residua.landscape(run.path, axes="between", to=other, span=(0, 1), steps=2, examples=8)
    assert line.page == run.path / "landscape-between.html"
    there = residua.landscape(other, dimensions=1, span=(-1, 1), steps=3, examples=8)
    assert only(line).cells[0].loss[0, 1] == pytest.approx(only(there).cells[0].loss[0, 1], rel=1e-5)


def test_the_path_is_drawn_where_the_run_kept_it(tmp_path: Path):
    asked = TrainSpec(network=TINY, epochs=1, settings=("precision=float32",))
    fitting.fit(plan(asked), out=tmp_path / "kept", observers=[PathKeeper()])
    found = only(residua.landscape(tmp_path / "kept", axes="path", **QUICK))
    assert found.trail is not None
    assert len(found.trail.x) == len(found.trail.steps) == len(found.trail.true_loss) >= 3
    x, y = (axis.values for axis in found.grid.axes)
    assert x[0] < min(found.trail.x) <= max(found.trail.x) < x[-1]
    assert y[0] < min(found.trail.y) <= max(found.trail.y) < y[-1]


@pytest.mark.parametrize(
    ("given", "kind", "message"),
    [
        ({"axes": "path"}, BadRun, "train with `residua train --keep-path`"),
        ({"axes": "between"}, BadSetting, "name it with to"),
        ({"to": "there"}, BadSetting, "to is for axes between"),
        ({"axes": "between", "to": "away"}, BadRun, "away is no run"),
        ({"weights": "there.pt"}, BadSetting, "has its own weights"),
        ({"source": "digits"}, BadSetting, "looked at on its own images; leave out digits"),
        ({"images": torch.ones(2, 2)}, BadSetting, "images would be for a module"),
        ({"twin": True, "axes": "path"}, BadSetting, "leave out axes"),
        ({"twin": True, "part": "1/2"}, BadSetting, "leave out axes, dimensions and part"),
        ({"twin": True, "weights": "x.pt"}, BadSetting, "leave out weights"),
        ({"store": "/proc/here.npz"}, BadRun, "cannot write /proc/here.npz"),
        ({"out": "/proc/here.html"}, BadSetting, "cannot write /proc/here.html"),
    ],
)
def test_what_does_not_go_together_is_one_line(run: Record, given, kind, message):
    with pytest.raises(kind) as refused:
        residua.landscape(run.path, **{**QUICK, **given})
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_the_other_end_of_a_line_must_be_of_the_same_architecture(run: Record, tmp_path: Path):
    torch.save(residua.build(replace(TINY, widths=(4, 12))).state_dict(), tmp_path / "wide.pt")
    with pytest.raises(BadWeights, match="of the weights has shape"):
        residua.landscape(run.path, axes="between", to=tmp_path / "wide.pt", **QUICK)


def test_a_module_needs_labels_or_a_loss_and_brings_its_weights():
    module, images, labels = small()
    with pytest.raises(BadSetting, match="a surface needs a loss"):
        residua.landscape(module, images)
    with pytest.raises(BadSetting, match="a module needs inputs"):
        residua.landscape(module)
    with pytest.raises(BadSetting, match="load them before"):
        residua.landscape(module, images, labels, weights="x.pt")
    with pytest.raises(BadSetting, match="name a run, not a module"):
        residua.landscape(module, images, labels, twin=True)
    with pytest.raises(BadSetting, match="name a file for it with --store"):
        residua.landscape(module, images, labels, part="1/2")
    squares = residua.landscape(module, images, loss=lambda output, _: output.square().mean(), **QUICK)
    assert only(squares).cells[0].error is None


def test_nothing_to_look_at_is_one_line():
    with pytest.raises(BadSetting, match="name a run"):
        residua.landscape()
    with pytest.raises(BadSetting, match="no run to stand beside it"):
        residua.landscape(twin="there")


def test_a_runs_network_stands_beside_its_plain_twin(run: Record, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(landscapes, "_COARSE", 3)
    found = residua.landscape(run.path, twin=True, **QUICK)
    compared = found.comparison
    assert compared is not None
    assert (compared.residual.name, compared.plain.name) == ("tiny", "tiny-plain")
    assert found.page == run.path / "landscape-twins.html"
    assert [(row.twin, row.policy) for row in compared.rows] == [
        ("residual", "frozen"),
        ("plain", "frozen"),
        ("residual", "recalibrated"),
        ("plain", "recalibrated"),
    ]
    assert all(row.seeds == (0, 1, 2) and len(row.numbers) == 3 for row in compared.rows)
    shares = [one.non_convex for row in compared.rows[:2] for one in row.numbers]
    assert all(share is not None and 0 <= share <= 1 for share in shares)
    assert all(one.non_convex is None for row in compared.rows[2:] for one in row.numbers)
    assert twinning.differences(run, Record(run.path.with_name("tiny-plain"))) == ()


def test_two_runs_that_are_there_are_compared_whichever_is_named_first(run: Record, monkeypatch: pytest.MonkeyPatch):
    plain = twinning.plain_twin(run)
    compared: list[Any] = []
    monkeypatch.setattr(landscapes, "_twins", lambda runs, *_, **__: (compared.append(runs), Landscape())[1])
    residua.landscape(plain.path, twin=run.path)
    residua.landscape(Run(run.path), twin=Run(plain.path))
    assert [(one.path.name, other.path.name, differs) for one, other, differs in compared] == [
        ("tiny", "tiny-plain", ())
    ] * 2
