"""Runs learn the same whether their images lie in memory, in a cache or on the disk."""

import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image
from tests.training.conftest import TINY, Watcher, fit, resume

from residua import artifact
from residua.errors import BadRun, Interrupted
from residua.training import fit as fitting
from residua.training.record import Record
from residua.training.spec import TrainSpec


def learned(run: Path) -> dict[str, object]:
    """Returns all that a run learned and said of its images, without times."""
    kept, result = artifact.load(run / "model.safetensors").weights, json.loads((run / "result.json").read_text())
    data = json.loads((run / "data.json").read_text())
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    numbers = [
        {name: row[name] for name in ("epoch", "train_loss", "validation_loss", "learning_rate")} for row in rows
    ]
    weights = {name: value.tolist() for name, value in kept.items()}
    return {"weights": weights, "result": result, "parts": data["parts"], "epochs": numbers}


def of_folder(folder: Path, keep: str, **more: object) -> TrainSpec:
    settings = ("precision=float32", "batch_size=8", f"data.keep={keep}")
    return TrainSpec(source=str(folder), network=TINY, epochs=2, settings=settings, **more)  # type: ignore[arg-type]


def test_a_run_learns_the_same_wherever_its_images_are(coloured_folder: Path, tmp_path: Path):
    """In memory, mapped or streamed: weights, losses, results, baselines and digests are equal to the bit."""
    runs = []
    for keep in ("memory", "cache", "stream"):
        fit(of_folder(coloured_folder, keep), out=tmp_path / keep)
        runs.append(learned(tmp_path / keep))
    assert runs[1] == runs[0]
    assert runs[2] == runs[0]


@pytest.mark.parametrize("keep", ["memory", "cache", "stream"])
def test_a_stopped_run_goes_on_to_the_same_result_wherever_its_images_are_and_only_on_the_same(
    coloured_folder: Path, tmp_path: Path, keep: str
):
    fit(of_folder(coloured_folder, "memory"), out=tmp_path / "whole")
    stopper = Watcher(lambda event: os.kill(os.getpid(), signal.SIGINT) if event.step == 3 else None)
    with pytest.raises(Interrupted):
        fit(of_folder(coloured_folder, keep), out=tmp_path / "run", observers=(stopper,))
    image = next((coloured_folder / "red").iterdir())
    content = image.read_bytes()
    Image.new("RGB", (32, 32), "green").save(image)
    with pytest.raises(BadRun, match="is not what .* was trained on"):
        resume(tmp_path / "run")
    image.write_bytes(content)
    resume(tmp_path / "run")
    assert learned(tmp_path / "run") == learned(tmp_path / "whole")


def test_a_run_finds_its_cache_again_from_another_folder(
    coloured_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    asked = of_folder(coloured_folder, "cache")
    kept = fit(replace(asked, settings=(*asked.settings, "data.cache=kept")), out=tmp_path / "run").record.read("run")
    assert f"data.cache={tmp_path / 'kept'}" in kept["asked"]["settings"]
    monkeypatch.chdir(tmp_path / "elsewhere")
    fitting.reopen(Record(tmp_path / "run"))
    assert not list((tmp_path / "elsewhere").iterdir())
