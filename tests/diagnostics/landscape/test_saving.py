"""A survey that is killed, gone on from, shared among machines and put together."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.diagnostics.landscape.surveyed import direction, line, normal, plane
from torch import nn

from residua import machine
from residua.diagnostics.case import Case, opened
from residua.diagnostics.landscape import saving
from residua.diagnostics.landscape.grid import Axis, Grid, coarse_to_fine
from residua.diagnostics.landscape.surface import Surface
from residua.diagnostics.landscape.survey import survey
from residua.errors import BadRun

LABELS = torch.arange(8) % 3


def linear(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.Linear(5, 3)).double()


def case_of(module: nn.Module, **about) -> Case:
    held_out = (normal(6, 6, seed=5), torch.arange(6) % 3)
    return opened(module, normal(8, 6), LABELS, held_out=held_out, **about)


def same(one: Surface, other: Surface) -> None:
    assert [cells.part for cells in one.cells] == [cells.part for cells in other.cells]
    for left, right in zip(one.cells, other.cells, strict=True):
        np.testing.assert_array_equal(left.loss, right.loss)
        assert left.error is not None
        assert right.error is not None
        np.testing.assert_array_equal(left.error, right.error)
        assert (left.centre.loss, left.centre.says) == (right.centre.loss, right.centre.says)
    for left, right in zip(one.grid.axes, other.grid.axes, strict=True):
        assert left.values == right.values
        assert torch.equal(left.direction.vector, right.direction.vector)
    assert (one.policy, one.loss_name, one.name, one.folded) == (
        other.policy,
        other.loss_name,
        other.name,
        other.folded,
    )


class Stop(Exception):
    """Ends a survey after some cells."""


def stopping_after(cells: int):
    def told(surface: Surface, _left: float) -> None:
        if np.isfinite(surface.cells[0].loss).sum() >= cells:
            raise Stop

    return told


@pytest.fixture
def _telling_each_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("residua.diagnostics.landscape.survey._BETWEEN_TELLINGS", 0.0)
    monkeypatch.setattr("residua.diagnostics.landscape.survey._SHARE_BESIDE", float("inf"))


@pytest.fixture
def points(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, ...]]:
    """Where modules are moved to, one after the other."""
    from residua.diagnostics.landscape.moving import Moving

    inside, seen = Moving.to, []

    def to(self, point) -> None:
        seen.append(tuple(point))
        inside(self, point)

    monkeypatch.setattr(Moving, "to", to)
    return seen


@pytest.mark.usefixtures("_telling_each_cell")
@pytest.mark.parametrize("policy", ["frozen", "recalibrated"])
def test_a_survey_goes_on_where_it_was_and_ends_alike(policy: str, tmp_path: Path, points: list):
    module, store = linear(), tmp_path / "run" / "surface.npz"
    case, grid = case_of(module), plane(module)
    whole = survey(case, grid, policy=policy)
    with pytest.raises(Stop):
        survey(case, grid, policy=policy, store=store, told=stopping_after(3))
    assert np.isnan(saving.read(store).surface.cells[0].loss).sum() == 3
    points.clear()
    resumed = survey(case, grid, policy=policy, store=store)
    order = [grid.point(cell) for cell in coarse_to_fine(grid.shape)]
    assert points == [(0.0, 0.0), *order[3:]]  # the centre's loss, then the cells that were missing
    same(resumed, whole)
    same(saving.read(store).surface, whole)
    assert resumed.seconds > 0
    points.clear()
    same(survey(case, grid, policy=policy, store=store), whole)
    assert points == [(0.0, 0.0)]


KILLED = """
import os, signal, sys
from pathlib import Path
from residua.diagnostics.landscape import survey
from tests.diagnostics.landscape.test_saving import case_of, linear, plane
survey._BETWEEN_TELLINGS = survey._BETWEEN_SAVES = 0.0
survey._SHARE_BESIDE = float('inf')
store, count = Path(sys.argv[1]), 0
def told(surface, left):
    global count
    count += 1
    if count == 4:
        os.kill(os.getpid(), signal.SIGKILL)
survey.survey(case_of(linear()), plane(linear()), store=store, told=told, policy="batch")
"""


def test_what_a_kill_left_is_gone_on_from(tmp_path: Path, points: list):
    store, root = tmp_path / "surface.npz", Path(__file__).parents[3]
    about = {**os.environ, "PYTHONPATH": os.pathsep.join([str(root / "src"), str(root)])}
    ended = subprocess.run([sys.executable, "-c", KILLED, str(store)], env=about, cwd=root, check=False)
    assert ended.returncode == -signal.SIGKILL
    (store.parent / ".surface.npz.abc.partial").touch()  # as a kill within a save leaves it
    module = linear()
    left = int(np.isnan(saving.read(store).surface.cells[0].loss).sum())
    assert left == 3  # saved after each cell, killed when the fourth was told
    resumed = survey(case_of(module), plane(module), store=store, policy="batch")
    assert len(points) == 1 + left
    same(resumed, survey(case_of(module), plane(module), policy="batch"))
    assert [one.name for one in tmp_path.iterdir()] == ["surface.npz"]


def test_a_file_of_another_question_is_refused(tmp_path: Path):
    module, store = linear(), tmp_path / "s.npz"
    case, grid = case_of(module), line(module)
    survey(case, grid, store=store)
    before = store.read_bytes()
    moved = linear()
    with torch.no_grad():
        next(moved.parameters())[0, 0] += 1e-6
    shifted = Grid(axes=(Axis(direction=direction(module, 3), values=grid.axes[0].values),))
    others = {
        "weights": lambda: survey(case_of(moved), grid, store=store),
        "images": lambda: survey(case, grid, images=5, store=store),
        "loss": lambda: survey(case_of(module, loss=nn.CrossEntropyLoss()), grid, store=store),
        "grid": lambda: survey(case, line(module, x=(-1.0, 0.0, 0.75)), store=store),
        "policy": lambda: survey(case, grid, policy="batch", store=store),
    }
    for differs, ask in others.items():
        with pytest.raises(BadRun, match=rf"another question \(its {differs} differs\); give another file"):
            ask()
    with pytest.raises(BadRun, match=r"its grid differs"):
        survey(case, shifted, store=store)
    with pytest.raises(BadRun, match=r"holds share 1/1, not 2/3"):
        survey(case, grid, store=store, share=(2, 3))
    assert store.read_bytes() == before


def test_a_module_whose_code_has_changed_is_refused(tmp_path: Path):
    """The weights are the same; what is computed with them is not."""
    module, store = linear(), tmp_path / "s.npz"
    grid = line(module)
    survey(case_of(module), grid, store=store)
    module.register_forward_hook(_doubled)
    with pytest.raises(BadRun, match=r"was computed with a loss of .* at its centre, which is .* now"):
        survey(case_of(module), grid, store=store)


def _doubled(_module: nn.Module, _inputs: object, output: torch.Tensor) -> torch.Tensor:
    return 2 * output


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x03\x04 cut short"])
def test_a_damaged_file_is_one_line(content: bytes, tmp_path: Path):
    (tmp_path / "s.npz").write_bytes(content)
    with pytest.raises(BadRun, match="holds no loss surface"):
        saving.read(tmp_path / "s.npz")
    np.savez(tmp_path / "other.npz", loss=np.zeros(3))
    with pytest.raises(BadRun, match="holds no loss surface"):
        saving.read(tmp_path / "other.npz")
    with pytest.raises(BadRun, match=r"none\.npz is missing"):
        saving.read(tmp_path / "none.npz")


@pytest.mark.usefixtures("_telling_each_cell")
def test_a_place_that_cannot_be_written_is_known_before_the_first_cell(tmp_path: Path):
    (tmp_path / "file").touch()
    seen: list[Surface] = []
    with pytest.raises(BadRun, match=r"cannot write .*s\.npz \(.*\); free space there, or choose another place"):
        survey(
            case_of(module := linear()),
            line(module),
            store=tmp_path / "file" / "s.npz",
            told=lambda surface, _: seen.append(surface),
        )
    assert not seen


def test_nothing_in_a_file_is_unpickled(tmp_path: Path):
    np.savez(tmp_path / "s.npz", about=np.array([object()], dtype=object))
    with pytest.raises(BadRun, match="holds no loss surface"):
        saving.read(tmp_path / "s.npz")


def test_shares_of_several_machines_make_the_whole(tmp_path: Path):
    module = linear()
    case, grid = case_of(module), plane(module, buffers=0.1)
    paths = [tmp_path / f"{place}.npz" for place in (1, 2, 3)]
    for place, path in enumerate(paths, 1):
        part = survey(case, grid, store=path, share=(place, 3))
        assert np.isfinite(part.cells[0].loss).sum() == 2
    whole = saving.merged(paths)
    same(whole, survey(case, grid))
    assert whole.remarks == ()
    assert whole.done == 1
    two = saving.merged(paths[:2])
    assert two.remarks == ("2 of 6 cells are missing.",)
    for (name, one), (_, other) in zip(
        grid.axes[0].direction.buffers, whole.grid.axes[0].direction.buffers, strict=True
    ):
        assert torch.equal(one, other), name


def test_files_that_overlap_or_are_foreign_are_refused(tmp_path: Path):
    module = linear()
    case, grid = case_of(module), line(module)
    survey(case, grid, store=tmp_path / "a.npz", share=(1, 2))
    survey(case, grid, store=tmp_path / "b.npz", share=(1, 3))
    survey(case, grid, store=tmp_path / "c.npz", share=(2, 2), policy="batch")
    with pytest.raises(BadRun, match=r"b\.npz holds 1 cells? that another file has too; give each share once"):
        saving.merged([tmp_path / "a.npz", tmp_path / "b.npz"])
    with pytest.raises(BadRun, match=r"a\.npz holds 2 cells that another file has too"):
        saving.merged([tmp_path / "a.npz", tmp_path / "a.npz"])
    with pytest.raises(BadRun, match=r"c\.npz holds the surface of another question \(its policy differs\)"):
        saving.merged([tmp_path / "a.npz", tmp_path / "c.npz"])
    with pytest.raises(BadRun, match="no files to merge"):
        saving.merged([])


def test_how_far_a_map_is_from_float32_is_of_the_cells_that_are_numbers_in_both():
    loss = np.array([[1.0, 2.2, np.inf, np.nan, 0.0]])
    exact = np.array([[1.0, 2.0, 3.0, 4.0, np.nan]])
    found = saving.precision_of("bfloat16", loss, exact)
    assert found.cells == 2
    assert (found.median, found.worst) == (pytest.approx(0.05), pytest.approx(0.1))
    assert saving.precision_of("float32", loss, np.full((1, 5), np.nan)).cells == 0


def test_cells_that_were_computed_in_float32_too_survive_a_stop(tmp_path: Path):
    if machine.has_bfloat16(torch.device("cpu")):
        module = linear().float()
        case = opened(module, normal(8, 6).float(), LABELS)
        grid, store = plane(module), tmp_path / "s.npz"
        found = survey(case, grid, store=store)
        again = survey(case, grid, store=store)
        assert found.precision.name == again.precision.name == "bfloat16"
        assert (again.precision.cells, again.precision.worst) == (1, found.precision.worst)
