import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save, save_file

from residua import artifact, files
from residua.artifact import Artifact
from residua.data.dataset import Preprocessing
from residua.errors import BadRun
from residua.networks.network import build
from residua.networks.spec import NetworkSpec, small_stem

SPEC = NetworkSpec(stem=small_stem(4), blocks=(1, 1), widths=(4, 8), in_channels=1, classes=2)
LOOK = Preprocessing(image_size=(8, 8), channels=1, mean=(0.1,), std=(0.2,))


@pytest.fixture
def kept() -> Artifact:
    weights = build(SPEC, seed=0).state_dict()
    return Artifact(
        specification=SPEC, classes=("猫", "dog"), preprocessing=LOOK, weights=weights, metrics={"accuracy": 0.5}
    )


def test_what_is_written_is_read(kept: Artifact, tmp_path: Path):
    artifact.save(kept, tmp_path / "m.safetensors")
    read = artifact.load(tmp_path / "m.safetensors")
    assert (read.specification, read.classes, read.preprocessing) == (SPEC, ("猫", "dog"), LOOK)
    assert read.metrics == {"accuracy": 0.5}
    images = torch.randn(2, 1, 8, 8)
    assert torch.equal(read.network()(images), build(SPEC, seed=0).eval()(images))


def test_a_mean_for_every_pixel_travels_too(kept: Artifact, tmp_path: Path):
    look = replace(LOOK, mean=tuple(k / 64 for k in range(64)))
    artifact.save(replace(kept, preprocessing=look), tmp_path / "m.safetensors")
    assert artifact.load(tmp_path / "m.safetensors").preprocessing == look


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda weights: weights.pop("head.bias"), r"the weights lack head\.bias"),
        (lambda weights: weights.update({"head.bias": torch.zeros(3)}), r"head\.bias has shape \(3,\).* says \(2,\)"),
        (lambda weights: weights.update({"extra": torch.zeros(1)}), r"the weights hold extra"),
    ],
)
def test_weights_of_another_network_are_named(kept: Artifact, change, message: str):
    weights = dict(kept.weights)
    change(weights)
    with pytest.raises(BadRun, match=message):
        replace(kept, weights=weights).network()


def test_a_file_that_is_missing_cut_or_foreign_is_one_line(kept: Artifact, tmp_path: Path):
    path = tmp_path / "m.safetensors"
    with pytest.raises(BadRun, match="is missing"):
        artifact.load(path)
    artifact.save(kept, path)
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(BadRun, match="is damaged"):
        artifact.load(path)
    save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(BadRun, match="not what they belong to"):
        artifact.load(path)


def rewritten(path: Path, **changes: Any) -> None:
    """Writes an artifact again with other metadata; None takes a key out."""
    with safe_open(path, "pt") as file:
        metadata = json.loads(file.metadata()["residua"])
    metadata = {key: value for key, value in (metadata | changes).items() if value is not None}
    files.write(path, save(load_file(path), {"residua": json.dumps(metadata)}))


def test_the_temperature_travels_and_an_older_file_has_temperature_1(kept: Artifact, tmp_path: Path):
    path = tmp_path / "m.safetensors"
    artifact.save(replace(kept, temperature=1.75), path)
    assert artifact.load(path).temperature == 1.75
    rewritten(path, temperature=None)
    assert artifact.load(path).temperature == 1.0


@pytest.mark.parametrize("wrong", [0, -1.0, "warm", float("inf"), float("nan")])
def test_a_temperature_that_cannot_be_is_one_line(kept: Artifact, tmp_path: Path, wrong: Any):
    artifact.save(kept, tmp_path / "m.safetensors")
    rewritten(tmp_path / "m.safetensors", temperature=wrong)
    with pytest.raises(BadRun, match="temperature is"):
        artifact.load(tmp_path / "m.safetensors")
