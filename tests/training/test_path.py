"""Keeping the path of a run: which steps, what stands there, and that the run is the same, killed or not."""

import errno
import re
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from tests.training.conftest import TINY, Watcher
from torch import Tensor

import residua
from residua import artifact, files, verbs
from residua.cli import cli
from residua.errors import BadRun, NotSaved
from residua.training import fit as fitting
from residua.training.observers import RunStarted, StepEnded
from residua.training.path import PathKeeper, due_steps, is_kept, read_path
from residua.training.plan import plan
from residua.training.record import Record
from residua.training.spec import TrainSpec
from residua.watching import observers

STEPS = 20
"""Steps an epoch of the embedded digits at 64 images a step."""
ASKED = TrainSpec(network=TINY, epochs=2, settings=("precision=float32", "checkpoint_seconds=0"))
DUE = due_steps(2, STEPS)


@pytest.mark.parametrize("epochs", [1, 2, 7, 15, 29, 30, 31, 60, 61, 90, 119, 200, 1000])
@pytest.mark.parametrize("steps", [30, 47, 390, 1000])
def test_a_run_has_thirty_to_sixty_points_beside_its_start(epochs: int, steps: int):
    due = due_steps(epochs, steps)
    assert 30 <= len(due) - 1 <= 61
    assert list(due) == sorted(set(due))
    assert (due[0], due[-1]) == (0, epochs * steps)
    ends = set(range(steps, epochs * steps + 1, steps))
    assert ends <= set(due) if epochs <= 60 else set(due[1:]) < ends
    gaps = [b - a for a, b in pairwise(due)]
    assert max(gaps[:-1]) - min(gaps[:-1]) <= 1


def test_a_run_of_few_steps_has_them_all_as_points():
    assert len(due_steps(10**12, 5)) <= 62
    assert due_steps(2, 3) == (0, 1, 2, 3, 4, 5, 6)
    assert due_steps(1, 1) == (0, 1)
    assert due_steps(2, 20)[:5] == (0, 2, 3, 4, 6)


def test_the_last_step_is_a_point_also_where_the_epochs_are_no_multiple():
    assert due_steps(61, 5)[-3:] == (290, 300, 305)


class Eye(Watcher):
    """Copies the network's tensors at the start and behind each step, and notes what was on the disk by then."""

    def run_started(self, event: RunStarted) -> None:
        self.run, self.network = Path(event.run), event.network
        self.seen: list[dict[str, Tensor]] = []
        self.gaps: list[tuple[int, ...]] = []
        self._look()

    def step_ended(self, event: StepEnded) -> None:
        self._look()
        saved = max((int(path.name.split("-")[1]) for path in self.run.glob("checkpoints/*.pt")), default=0)
        points = {int(path.stem) for path in self.run.glob("path/[0-9]*.safetensors")}
        self.gaps.append(tuple(step for step in DUE if step <= saved and step not in points))

    def _look(self) -> None:
        self.seen.append({name: one.detach().clone() for name, one in self.network.state_dict().items()})


@pytest.fixture(scope="module")
def eye() -> Eye:
    return Eye()


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, eye: Eye) -> dict[bool, Path]:
    """A run by whether its path was kept."""
    folder = tmp_path_factory.mktemp("runs")
    for kept in (False, True):
        fitting.fit(plan(ASKED), out=folder / str(kept), observers=[eye, PathKeeper()] if kept else [])
    return {kept: folder / str(kept) for kept in (False, True)}


def same(one, other) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_a_run_whose_path_is_kept_is_the_same_to_the_bit(runs):
    assert (runs[True] / "model.safetensors").read_bytes() == (runs[False] / "model.safetensors").read_bytes()
    assert Record(runs[True]).read("result") == Record(runs[False]).read("result")
    assert is_kept(runs[True])
    assert not is_kept(runs[False])
    with pytest.raises(BadRun, match=r"kept no path of its weights; train with `residua train --keep-path`"):
        read_path(runs[False])


def test_each_point_is_the_network_behind_its_step(runs, eye):
    path = read_path(runs[True])
    assert path.steps == DUE
    assert len(eye.seen) == 2 * STEPS + 1
    for step, state in zip(path.steps, path.states, strict=True):
        assert same(state, eye.seen[step])
    assert not same(path.states[0], path.states[1])
    module = artifact.load(runs[True] / "model.safetensors").network()
    module.load_state_dict(dict(path.states[3]))


def test_a_point_is_there_before_a_checkpoint_of_its_step(runs, eye):
    """So that no kill leaves a gap: whatever step a run goes on from, all points up to it are on the disk."""
    assert eye.gaps == [()] * (2 * STEPS)


def test_the_weights_that_the_run_chose_stand_beside_the_path(runs, tmp_path):
    """With a moving average the path is that of the weights that are stepped, and the result the average."""
    path = read_path(runs[True])
    assert same(path.final, artifact.load(runs[True] / "model.safetensors").weights)
    averaged, eye = replace(ASKED, epochs=1, settings=(*ASKED.settings, "averaging.kind=ema")), Eye()
    fitting.fit(plan(averaged), out=tmp_path / "run", observers=[eye, PathKeeper()])
    path = read_path(tmp_path / "run")
    assert same(path.states[-1], eye.seen[-1])
    assert not torch.equal(path.final["head.weight"], path.states[-1]["head.weight"])  # type: ignore[index]


def stop_at(step: int) -> Callable[[StepEnded], None]:
    def act(event: StepEnded) -> None:
        if event.step == step:
            raise KeyboardInterrupt

    return act


def test_a_run_that_is_killed_and_resumed_has_every_point_once(runs, tmp_path):
    """It dies behind step 12, which is kept and has no checkpoint; a later point and half a file lie there as well."""
    folder = tmp_path / "run" / "path"
    with pytest.raises(KeyboardInterrupt):
        fitting.fit(plan(ASKED), out=tmp_path / "run", observers=[PathKeeper(), Watcher(stop_at(12))])
    assert read_path(tmp_path / "run").steps[-1] == 12
    assert read_path(tmp_path / "run").final is None
    for name in ("000000012", "000000013", "000000039"):
        (folder / f"{name}.safetensors").write_bytes(b"of a step that is taken again")
    (folder / ".000000014.safetensors.abc.partial").write_bytes(b"half")
    fitting.resume(Record(tmp_path / "run"), observers=[PathKeeper()])
    ours, theirs = read_path(tmp_path / "run"), read_path(runs[True])
    assert ours.steps == theirs.steps
    assert all(same(one, other) for one, other in zip(ours.states, theirs.states, strict=True))
    assert not list(folder.glob(".*"))
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == (runs[False] / "model.safetensors").read_bytes()


def test_a_run_that_kept_none_may_begin_where_it_goes_on(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        fitting.fit(plan(ASKED), out=tmp_path / "run", observers=[Watcher(stop_at(8))])
    with pytest.raises(KeyboardInterrupt):
        fitting.resume(Record(tmp_path / "run"), observers=[PathKeeper(), Watcher(stop_at(14))])
    assert read_path(tmp_path / "run").steps == (7, 8, 10, 11, 12, 14)


def test_the_verbs_keep_a_path_where_they_are_asked_to(runs, tmp_path, monkeypatch):
    """And a run that kept it before keeps it on."""
    handed: list[bool] = []

    def look(*_: object, observers: list[object], **__: object) -> None:
        handed.append(any(isinstance(one, PathKeeper) for one in observers))
        raise KeyboardInterrupt

    monkeypatch.setattr(fitting, "fit", look)
    monkeypatch.setattr(fitting, "resume", look)
    for run in runs.values():
        (run / "report.html").touch()  # a finished run without one is not gone on with: its report is drawn
    for call, expected in (
        (lambda: residua.train("digits", network=TINY), False),
        (lambda: residua.train("digits", network=TINY, keep_path=True), True),
        (lambda: residua.deepen(runs[False], 1, keep_path=True), True),
        (lambda: residua.resume(runs[False]), False),
        (lambda: residua.resume(runs[False], keep_path=True), True),
        (lambda: residua.resume(runs[True]), True),
    ):
        with pytest.raises(KeyboardInterrupt):
            call()
        assert handed.pop() is expected


def test_the_command_has_the_flag_and_a_search_refuses_it(monkeypatch):
    asked: dict[str, object] = {}
    monkeypatch.setattr(verbs, "train", lambda _source, **options: asked.update(options))
    CliRunner().invoke(cli, ["train", "--keep-path"])
    assert asked["keep_path"] is True
    refused = CliRunner().invoke(cli, ["train", "--keep-path", "--find-learning-rate"])
    assert "leave out --keep-path" in str(refused.exception)


def test_a_run_says_before_the_first_step_how_much_it_will_keep(tmp_path, capsys):
    asked = replace(ASKED, epochs=1)
    fitting.fit(plan(asked), out=tmp_path / "a", observers=observers(watched=False, keeps_path=True))
    said = capsys.readouterr().out
    [(points, each, whole)] = re.findall(r"the path of the weights: (\d+) points of (\S+) kB, (\S+) kB in", said)
    assert said.index("keeps the path") < said.index("epoch 1/1")
    path = read_path(tmp_path / "a")
    size = sum(one.nbytes for one in path.states[0].values())
    assert int(points) == len(path.steps) == 1 + STEPS
    assert float(each) == pytest.approx(size / 1000, abs=0.05)
    assert float(whole) == pytest.approx(21 * size / 1000, abs=0.05)
    assert size < (tmp_path / "a" / "path" / "000000020.safetensors").stat().st_size < 2 * size


def test_a_disk_that_is_full_ends_the_run_with_the_way_on(tmp_path, monkeypatch):
    write = files.write

    def full(path: Path, content: str | bytes) -> None:
        if path.name == "000000006.safetensors":
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, content)

    monkeypatch.setattr(files, "write", full)
    with pytest.raises(NotSaved, match=r"cannot keep step 6 of the path .*No space left.*--resume") as caught:
        fitting.fit(plan(ASKED), out=tmp_path / "run", observers=[PathKeeper()])
    assert "\n" not in str(caught.value)
    assert Record(tmp_path / "run").status == "stopped"


def test_a_damaged_point_and_an_unknown_tensor_are_named(runs, tmp_path):
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / "000000001.safetensors").write_bytes(b"nothing")
    with pytest.raises(BadRun, match=r"000000001\.safetensors cannot be read"):
        read_path(tmp_path)
    with pytest.raises(KeyError):
        read_path(runs[True]).states[0]["no such tensor"]
