"""The path of a run of several processes: rank 0 alone keeps it, and each point is once on the disk."""

from dataclasses import replace
from pathlib import Path

from tests.distributed.processes import together
from tests.distributed.test_runs import ASKED, STEPS, writes_into

from residua.training import fit as fitting
from residua.training.distributed import joined
from residua.training.path import due_steps, read_path
from residua.training.plan import plan
from residua.watching import observers


def kept(run: Path) -> list[str]:
    """Trains as `residua.train` does where a path is kept; returns what this rank wrote into the run."""
    written = writes_into(run)
    with joined() as team:
        told = observers(watched=False, keeps_path=True) if team.leads else []
        fitting.fit(team.together(lambda: plan(replace(ASKED, epochs=1))), out=run, observers=told, team=team)
    return written


def test_rank_0_alone_keeps_the_path(tmp_path: Path):
    ended = together(2, kept, tmp_path / "run", folder=tmp_path / "ended")
    assert ended.codes == [0, 0]
    assert ended.gave[1] == []
    path = read_path(tmp_path / "run")
    assert path.steps == due_steps(1, STEPS)
    assert sum("/path/" in name for name in ended.gave[0]) == len(path.steps)
