"""Every command and every snippet of the README runs, on smaller settings where it would take minutes."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from tests.commands import residua

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SMALLER = {"plain20": "plain8", "cifar10": "digits", "fashion-mnist": "digits"}
SHAPES, IMAGE = str(ROOT / "examples" / "shapes"), str(ROOT / "examples" / "digits" / "a-7.png")


def blocks(language: str) -> list[str]:
    found = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    return [text for name, text in found if name == language]


def commands() -> list[str]:
    lines = [line.partition(" #")[0].strip() for block in blocks("") for line in block.splitlines()]
    return list(dict.fromkeys(line for line in lines if line.startswith(".venv/bin/residua ")))


def smaller(command: str) -> list[str]:
    """Returns the arguments with real paths or embedded images, few epochs of a small network, few measurements."""
    words = [
        {"PHOTOS": SHAPES, "OTHER_PHOTOS": SHAPES, "IMAGE…": IMAGE, "IMAGE": IMAGE, **SMALLER}.get(word, word)
        for word in shlex.split(command)[1:]
    ]
    words = [word for word in words if word != "--open"]
    if words[0] == "diagnose" and "--only" not in words:
        words += ["--only", "gradients,first_step"]
    if words[0] == "study":
        words = [word for word in words if word != "--all"] + (["--seeds", "2"] if "additive" in words else [])
    if words[0] == "landscape":
        words = [{"resnet20": "resnet8"}.get(word, word) for word in words if word != "--twin"]
        words += ["--images", "8", *([] if "--steps" in words else ["--steps", "3"])]
    if words[0] != "train" or "--resume" in words:
        return words
    for option, value in (("--minutes", "0.05"), ("--epochs", "1")):
        if option in words:
            words[words.index(option) + 1] = value
    if not {"--minutes", "--epochs"} & set(words):
        words += ["--epochs", "1"]
    says = {"--network", "--weights", "--deepen"} & set(words)
    return words + ([] if says else ["--network", "resnet8"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose last run is on the shapes."""
    folder = tmp_path_factory.mktemp("readme")
    assert residua("train", SHAPES, "--network", "resnet8", "--epochs", "1", cwd=folder).returncode == 0
    return folder


def test_the_readme_shows_every_command_of_the_command_line():
    from residua.cli import _COMMANDS

    shown = {shlex.split(command)[1] for command in commands()}
    assert {"train", "predict", "evaluate", "networks", "inspect"} <= shown <= _COMMANDS.keys()


@pytest.mark.parametrize("command", commands())
def test_a_command_of_the_readme_runs(command: str, folder: Path, capfd: pytest.CaptureFixture[str]):
    arguments = smaller(command)
    of_photographs = "--network" in arguments and arguments[arguments.index("--network") + 1] == "resnet18"
    if of_photographs or "--weights" in arguments:
        arguments += ["--image-size", "64"]
    done = residua(*arguments, cwd=folder)
    if "--resume" in arguments:
        assert "is finished" in done.stderr + capfd.readouterr().err  # the newest may be a run of two processes
    else:
        assert done.returncode == 0, done.stderr


def test_the_python_of_the_readme_runs(tmp_path: Path):
    first, published, surgery = blocks("python")
    assert 'residua.train("digits")' in first
    faster = first.replace(
        'train("digits")', f'train("digits", network="resnet8", epochs=1, out={str(tmp_path / "a")!r})'
    )
    around = (
        "import torch\nfrom torch import nn\nimages = torch.randn(4, 1, 8, 8)\n"
        "plain_chain = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"{faster}\n{around}{surgery}"], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    for line in published.splitlines():
        done = subprocess.run(
            [sys.executable, "-c", f"import residua\n{line}"],
            capture_output=True,
            text=True,
            env={**os.environ, "RESIDUA_OFFLINE": "1", "RESIDUA_WEIGHTS": str(tmp_path)},
        )
        assert "DownloadFailed" in done.stderr, done.stderr


def test_the_variables_of_the_readme_are_the_programs():
    from residua import files, machine
    from residua.data import cache, published
    from residua.networks.weights.published import ROOT_VARIABLE

    variables = {
        ROOT_VARIABLE,
        published.ROOT_VARIABLE,
        cache.FOLDER_VARIABLE,
        files.OFFLINE_VARIABLE,
        files.MIRROR_VARIABLE,
        machine.ALLOCATOR_VARIABLE,
    }
    assert set(re.findall(r"RESIDUA_[A-Z]+", README)) == variables
