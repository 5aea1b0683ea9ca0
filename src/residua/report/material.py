"""What a report is drawn from: the files of a finished run, read once."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from residua import files
from residua.diagnostics.motion import Sample
from residua.errors import BadRun


@final
@dataclass(frozen=True, kw_only=True)
class Material:
    """The contents of a finished run directory."""

    path: Path
    run: dict[str, Any]
    """``run.json``: what was asked, when, and how long it took."""
    specification: dict[str, Any]
    """``specification.json``: the network as data."""
    network: dict[str, Any]
    """``network.json``: its sizes and costs, stage by stage."""
    recipe: dict[str, Any]
    """``recipe.json``: how it learned."""
    data: dict[str, Any]
    """``data.json``: the images, their classes and their parts."""
    environment: dict[str, Any]
    """``environment.json``: the machine and the versions."""
    result: dict[str, Any]
    """``result.json``: the headline, the numbers of every part, the baselines."""
    epochs: tuple[dict[str, Any], ...]
    """``metrics.jsonl``: one row an epoch."""

    @property
    def part(self) -> str | None:
        """Returns the name of the part that the headline is from; None where no image was held out."""
        head = self.result.get("headline")
        return str(head["part"]) if head else None

    @property
    def numbers(self) -> dict[str, Any] | None:
        """Returns the numbers of the headline's part; None where no image was held out."""
        return self.result["parts"][self.part] if self.part else None

    @property
    def classes(self) -> tuple[str, ...]:
        """Returns the class names in the order of the network's outputs."""
        return tuple(str(name) for name in self.data["classes"])

    def predictions(self) -> list[dict[str, Any]]:
        """Reads what the network said of each image of the headline's part; empty where it was not kept."""
        path = self.path / f"predictions-{self.part}.jsonl"
        return files.read_json_lines(path) if path.is_file() else []

    def watched(self) -> tuple[Sample, ...]:
        """Reads what was sampled while it trained; empty where it was not watched."""
        path = self.path / "watch.jsonl"
        return tuple(map(Sample.from_json, files.read_json_lines(path))) if path.is_file() else ()


def read(run: Path) -> Material:
    """Reads the files of a finished run.

    Raises:
        BadRun: If one is missing or damaged, or the run has not finished, with what to do.
    """
    about = files.read_json(run / "run.json")
    if about.get("status") != "finished":
        state = about.get("status", "of unknown state")
        raise BadRun(f"{run} is {state}, not finished; `residua train --resume {run}` goes on with it")
    if not (run / "metrics.jsonl").is_file():
        raise BadRun(f"{run / 'metrics.jsonl'} is missing; train again, or restore the file")
    names = ("specification", "network", "recipe", "data", "environment", "result")
    return Material(
        path=run,
        run=about,
        epochs=tuple(files.read_json_lines(run / "metrics.jsonl")),
        **{name: files.read_json(run / f"{name}.json") for name in names},
    )
