"""The run directory: what `fit` writes while it trains and what everybody reads afterwards.

    RUN/run.json              what was asked, by how many processes, and where it stands: "training", "stopped" or
                              "finished"
    RUN/specification.json    the network as data; network.json, its sizes stage by stage
    RUN/recipe.json           how it learned; data.json, the images and their parts; split.json, the files of each part
    RUN/environment.json      the machine and the versions
    RUN/metrics.jsonl         a line an epoch
    RUN/result.json           the headline, the numbers of each part, the baselines
    RUN/predictions-PART.jsonl  file, label, predicted class and probabilities of each held-out image
    RUN/model.safetensors     the weights with all that is needed to use them
    RUN/steps.jsonl           a line a step; watch.jsonl, a line a sampled step where the run is watched
    RUN/path/STEP.safetensors the weights on the way, where they are kept (`residua.training.path`)
    RUN/checkpoints/          where to go on; gone when the run is finished
    RUN/report.html, figures/ the report

Every file is written whole or not at all.
"""

import contextlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from residua import configuration, files
from residua.errors import BadRun, BadSetting, NotSaved

DEFAULT_ROOT = Path("runs")
BEGINNING = ("specification", "network", "recipe", "data", "split", "environment")
"""What is written before ``run.json``, which makes a folder a run."""


@final
@dataclass(frozen=True)
class Record:
    """Reads and writes one run directory."""

    path: Path

    @property
    def checkpoints(self) -> Path:
        """Returns the folder where the states of an unfinished run are kept."""
        return self.path / "checkpoints"

    @property
    def model(self) -> Path:
        """Returns where the weights are kept, with all that is needed to use them."""
        return self.path / "model.safetensors"

    @property
    def report(self) -> Path:
        """Returns where the report is."""
        return self.path / "report.html"

    @property
    def status(self) -> str:
        """Returns ``training``, ``stopped`` or ``finished``."""
        return str(self.read("run").get("status"))

    def read(self, name: str) -> dict[str, Any]:
        """Reads one of the JSON files by its name without suffix."""
        return files.read_json(self.path / f"{name}.json")

    def write(self, name: str, value: dict[str, Any]) -> None:
        """Writes one of the JSON files by its name without suffix."""
        files.write_json(self.path / f"{name}.json", value)

    def update(self, **values: Any) -> None:
        """Changes single values of ``run.json``."""
        self.write("run", {**self.read("run"), **values})

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Turns a write that fails into one line with the way to go on.

        Raises:
            NotSaved: If something within the block cannot be written.
        """
        try:
            yield
        except OSError as error:
            begun = (self.path / "run.json").is_file()
            again = f"go on with `residua train --resume {self.path}`" if begun else "train again"
            raise NotSaved(
                f"cannot write into {self.path} ({error.strerror or error}); mend that, then {again}"
            ) from error

    def epochs(self) -> list[dict[str, Any]]:
        """Reads ``metrics.jsonl``, one row an epoch."""
        return files.read_json_lines(self.path / "metrics.jsonl")

    def predictions(self, part: str) -> list[dict[str, Any]]:
        """Reads what the network said of each image of a held-out part."""
        return files.read_json_lines(self.path / f"predictions-{part}.jsonl")

    def require_finished(self) -> "Record":
        """Returns itself.

        Raises:
            BadRun: If the run has not finished, with the command that finishes it.
        """
        if self.status != "finished":
            raise BadRun(
                f"{self.path} is {self.status}, not finished; `residua train --resume {self.path}` goes on with it"
            )
        return self


def create(source: str, network: str, out: Path | None) -> Record:
    """Makes a new, empty run directory: ``out``, or the next free ``runs/SOURCE-NETWORK-NUMBER``.

    Raises:
        BadSetting: If ``out`` exists and is not an empty folder, or cannot be made, or its path is no UTF-8.
    """
    configuration.check_unicode("--out", str((out or DEFAULT_ROOT).absolute()))
    if out is not None:
        return Record(_make(out))
    stem = stem_of(source, network)
    taken = [
        int(match[1])
        for path in DEFAULT_ROOT.glob("*")
        if (match := re.fullmatch(re.escape(stem) + r"-(\d+)", path.name))
    ]
    number = max(taken, default=0) + 1
    while True:
        path = DEFAULT_ROOT / f"{stem}-{number}"
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            number += 1
        except OSError as error:
            raise BadSetting(f"cannot make {path} ({error.strerror}); choose a place with --out") from error
        else:
            return Record(path)


def stem_of(source: str, network: str) -> str:
    """Returns ``SOURCE-NETWORK`` as a file may be called."""
    return re.sub(r"[^\w.-]+", "_", f"{source}-{network}").strip(".") or "run"


def find(name: str | os.PathLike[str]) -> Record:
    """Returns the run that ``name`` means: a directory, a name under ``runs/``, or ``last``, the newest there.

    Raises:
        BadRun: If there is no such run; names those that exist.
    """
    if str(name) == "last":
        return _newest()
    for path in (Path(name), DEFAULT_ROOT / Path(name)):
        if (path / "run.json").is_file():
            return Record(path)
    known = ", ".join(sorted(path.parent.name for path in DEFAULT_ROOT.glob("*/run.json"))[-5:])
    there = f"in {DEFAULT_ROOT}/ there are: {known}" if known else "`residua train` makes one"
    raise BadRun(f"{name} is no run; {there}")


def _newest() -> Record:
    created = {}
    for path in DEFAULT_ROOT.glob("*/run.json"):
        with contextlib.suppress(BadRun, OSError):  # a damaged one, which is said to whoever names it
            created[path.parent] = str(files.read_json(path).get("created"))
    if not created:
        raise BadRun(f"there is no run in {DEFAULT_ROOT.resolve()} yet; `residua train` makes one")
    return Record(max(created, key=lambda path: created[path]))


def _make(path: Path) -> Path:
    """Makes the folder; what a beginning that was cut short has left there is written over."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        left = {f"{name}.json" for name in BEGINNING} | {entry.name for entry in files.partials(path)}
        occupied = any(entry.name not in left for entry in path.iterdir())
    except OSError as error:
        raise BadSetting(f"cannot make the run directory {path} ({error.strerror}); choose another --out") from error
    if occupied:
        raise BadSetting(f"{path} exists and is not empty; choose another --out, or remove it yourself")
    return path
