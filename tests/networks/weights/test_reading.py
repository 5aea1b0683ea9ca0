"""Weights from local files: whichever way they were saved, and nothing that could run."""

import argparse
import os
import pickle
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from residua.errors import BadNetwork, BadWeights
from residua.networks import catalogue
from residua.networks.network import build
from residua.networks.spec import NetworkSpec
from residua.networks.weights.reading import read_weights

SMALL = catalogue.specification("resnet8")
Short = tuple[dict[str, Tensor], nn.Module]


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    return build(SMALL, seed=3).state_dict()


@pytest.fixture
def spec() -> NetworkSpec:
    """The network of the fixture ``short``."""
    return replace(catalogue.specification("resnet18"), blocks=(1, 1, 1, 1), classes=3)


def same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> bool:
    return list(found) == list(expected) and all(torch.equal(found[name], tensor) for name, tensor in expected.items())


def prefixed(prefix: str) -> Callable[[dict[str, Tensor]], dict[str, Tensor]]:
    return lambda weights: {f"{prefix}{name}": tensor for name, tensor in weights.items()}


@pytest.mark.parametrize("name", ["w.pth", "w.PT", "w.pth.tar", "w.safetensors"])
def test_our_own_names_are_read_from_every_kind_of_file(tmp_path: Path, weights: dict[str, Tensor], name: str):
    write = safetensors.torch.save_file if name.endswith("safetensors") else torch.save
    write(weights, tmp_path / name)
    assert same(read_weights(tmp_path / name, SMALL), weights)


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda weights: {"state_dict": weights, "epoch": 3, "best_acc1": torch.tensor(0.5), "optimizer": {"lr": 0.1}},
        lambda weights: {"model": weights, "epoch": 3},
        lambda weights: {"model": {"state_dict": weights}},
        prefixed("module."),
        prefixed("module._orig_mod."),
        prefixed("_orig_mod.module."),
        lambda weights: {"state_dict": prefixed("module.")(weights)},
        lambda weights: {name: nn.Parameter(tensor) for name, tensor in weights.items() if tensor.is_floating_point()},
    ],
)
def test_what_training_scripts_put_around_them_is_taken_off(
    tmp_path: Path, weights: dict[str, Tensor], wrapped: Callable[[dict[str, Tensor]], Any]
):
    torch.save(wrapped(weights), tmp_path / "w.pth")
    found = read_weights(tmp_path / "w.pth", SMALL)
    assert same(found, weights)
    assert not any(tensor.requires_grad for tensor in found.values())


def test_files_of_old_torch_versions_are_read(tmp_path: Path, weights: dict[str, Tensor]):
    torch.save(weights, tmp_path / "w.pth", _use_new_zipfile_serialization=False)
    assert same(read_weights(tmp_path / "w.pth", SMALL), weights)


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
def test_torchvisions_names_are_read_too(tmp_path: Path, short: Short, spec: NetworkSpec, name: str):
    tensors, theirs = short
    write = safetensors.torch.save_file if name.endswith("safetensors") else torch.save
    write(tensors, tmp_path / name)
    ours = build(spec, seed=0).eval()
    ours.load_state_dict(read_weights(tmp_path / name, spec))
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(ours(images), theirs(images), rtol=1e-5, atol=1e-5)


def refusal(path: Path, spec: NetworkSpec = SMALL) -> str:
    with pytest.raises(BadWeights) as caught:
        read_weights(path, spec)
    text = str(caught.value)
    assert text.startswith(str(path))
    assert "\n" not in text
    assert "weights_only" not in text
    return text.removeprefix(str(path))


def test_weights_of_another_network_are_refused_with_the_tensor(
    tmp_path: Path, weights: dict[str, Tensor], short: Short, spec: NetworkSpec
):
    torch.save(weights, tmp_path / "ours.pth")
    text = refusal(tmp_path / "ours.pth", replace(SMALL, classes=7))
    assert text.startswith(": head.weight of the weights has shape (10, 64), the network's (7, 64); choose the network")
    torch.save(short[0], tmp_path / "theirs.pth")
    text = refusal(tmp_path / "theirs.pth", replace(spec, blocks=(1, 1, 1, 2)))
    assert text.startswith(": the weights lack layer4.1.conv1.weight, of shape (512, 512, 3, 3); choose the network")


def test_torchvisions_names_for_a_network_it_does_not_have_are_refused(tmp_path: Path, short: Short):
    torch.save(short[0], tmp_path / "w.pth")
    with pytest.raises(BadNetwork, match=r"torchvision has no such network: stem\.width is 16 here and 64 there"):
        read_weights(tmp_path / "w.pth", SMALL)


class Runs:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch ran",)


def test_nothing_in_a_file_runs(tmp_path: Path, weights: dict[str, Tensor]):
    torch.save({"model": weights, "extra": Runs()}, tmp_path / "w.pth")
    assert "holds more than weights (posix.system), and opening that could run code" in refusal(tmp_path / "w.pth")
    (tmp_path / "w.pth").write_bytes(pickle.dumps(Runs(), protocol=2))
    assert "holds more than weights (posix.system)" in refusal(tmp_path / "w.pth")
    assert not Path("ran").exists()


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ({"model": {}, "args": argparse.Namespace(epochs=3)}, "argparse.Namespace"),
        (nn.Linear(2, 2), "torch.nn.modules.linear.Linear"),
    ],
)
def test_more_than_weights_is_named_with_the_way_to_save_them_alone(tmp_path: Path, content: object, what: str):
    torch.save(content, tmp_path / "w.pth")
    text = refusal(tmp_path / "w.pth")
    assert f"({what})" in text
    assert "torch.save(model.state_dict(), path)" in text


def test_a_program_is_no_weights(tmp_path: Path):
    with warnings.catch_warnings(action="ignore"):
        torch.jit.save(torch.jit.script(nn.Linear(2, 2)), tmp_path / "w.pt")
    assert "holds more than weights (TorchScript)" in refusal(tmp_path / "w.pt")


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("kept", [0, 100, 100_000])
def test_a_file_cut_short_is_damaged(tmp_path: Path, weights: dict[str, Tensor], zipped: bool, kept: int):
    torch.save(weights, tmp_path / "w.pth", _use_new_zipfile_serialization=zipped)
    with (tmp_path / "w.pth").open("r+b") as file:
        file.truncate(kept)
    assert "is damaged, or nothing that torch.save wrote; fetch or save it again" in refusal(tmp_path / "w.pth")


@pytest.mark.parametrize("content", [b"<html>404</html>", b"hello", b"PK\x03\x04 and no more", bytes(1000)])
@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
def test_something_else_is_damaged(tmp_path: Path, content: bytes, name: str):
    (tmp_path / name).write_bytes(content)
    assert "is damaged" in refusal(tmp_path / name)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ([torch.ones(1)], "holds list where tensors by name belong"),
        ({}, "holds nothing where tensors by name belong"),
        ({"model": {}}, "holds nothing where tensors by name belong"),
        ({"epoch": 3, "weight": torch.ones(1)}, "holds more than tensors by name: 'epoch' is of type int"),
        ({1: torch.ones(1)}, "holds more than tensors by name: 1 is of type Tensor"),
        ({"a.weight": torch.ones(1)}, "such as a.weight; known are those of residua, torchvision"),
    ],
)
def test_what_is_not_tensors_by_known_names_is_refused(tmp_path: Path, content: object, what: str):
    torch.save(content, tmp_path / "w.pth")
    assert what in refusal(tmp_path / "w.pth")


def test_a_missing_file_a_folder_and_another_kind_are_refused(tmp_path: Path):
    kinds = "give a file that ends in .safetensors, .pth, .pt or .pth.tar"
    assert refusal(tmp_path / "w.pth") == f" is missing; {kinds}"
    (tmp_path / "w.pth").mkdir()
    assert refusal(tmp_path / "w.pth") == f" is a folder; {kinds}"
    (tmp_path / "w.h5").write_bytes(b"x")
    assert refusal(tmp_path / "w.h5") == f" is of no known kind; {kinds}"
