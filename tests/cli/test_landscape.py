"""``residua landscape`` as a user meets it: sentences, a page, files, and one line for what is wrong."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.training.conftest import TINY

import residua
from residua import landscapes
from residua.cli import main
from residua.report import landscape_page
from residua.report.landscape_page import Landscape

QUICK = ("--steps", "3", "--images", "8")
FACTORY = """
from tests.training.conftest import TINY
def tiny(): return TINY
"""


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Runs the command line in this process, without figures; returns exit code, output and complaints."""
    monkeypatch.setattr(landscape_page, "render", lambda found, *, seconds_left=None: f"{found.done:.2f}")
    monkeypatch.setattr(
        Landscape, "write_figures", lambda found, folder: (Path(folder).mkdir(), (Path(folder) / "drawn").touch())
    )
    monkeypatch.setenv("COLUMNS", "80")
    Path("own.py").write_text(FACTORY)

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["residua", "landscape", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return int(str(ended.value.code)), captured.out, captured.err

    return call


def test_a_network_gets_sentences_a_map_and_a_page(command):
    code, out, progress = command("own.py:tiny", *QUICK)
    assert code == 0
    assert out.startswith("The loss of 3 × 3 networks on a plane through the weights of tiny, on 8")
    assert max(map(len, out.splitlines())) <= 80
    assert out.splitlines()[-1] == "page: tiny-landscape.html"
    assert Path("tiny-landscape.html").read_text() == "1.00"
    assert "tiny, 9 of 9" in progress


def test_every_option_reaches_the_verb(command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    torch.save(residua.build(TINY, seed=5).state_dict(), tmp_path / "five.pt")
    torch.save(residua.build(TINY, seed=6).state_dict(), tmp_path / "six.pt")
    words = "--axes between --normalisation layer --dimensions 2 --span 0:1,1 --steps 3x2 --policy batch --images 9"
    more = "--precision float32 --seed 2 --device cpu --out there/page.html --figures drawn --npz cells.npz --json"
    files = ("--weights", str(tmp_path / "five.pt"), "--to", str(tmp_path / "six.pt"), "--store", "kept.npz")
    code, out, _ = command("own.py:tiny", "digits", *files, *words.split(), *more.split())
    assert code == 0
    found = json.loads(out)
    surface = found["surface"]
    assert [(axis["kind"], axis["from"], axis["to"], axis["points"]) for axis in surface["axes"]] == [
        ("between", 0.0, 1.0, 3),
        ("random", -1.0, 1.0, 2),
    ]
    assert (surface["axes"][1]["normalisation"], surface["axes"][1]["seed"]) == ("layer", 5)
    assert (surface["policy"], surface["cells"][0]["images"], surface["precision"]["name"]) == ("batch", 9, "float32")
    assert any("are those of" in remark for remark in surface["remarks"])
    assert found["page"] == "there/page.html"
    assert np.load("cells.npz")["loss_train"].shape == (2, 3)
    assert {"kept.npz", "drawn"} <= {path.name for path in Path().iterdir()}


def test_parts_are_put_together(command):
    for part in (1, 2):
        code, said, _ = command("own.py:tiny", *QUICK, "--part", f"{part}/2", "--store", f"{part}.npz")
        assert "page" not in said
        assert code == 0
    code, out, _ = command("--merge", "1.npz", "2.npz", "--out", "whole.html")
    assert code == 0
    assert out.splitlines()[-1] == "page: whole.html"
    assert Path("whole.html").read_text() == "1.00"


def test_twin_takes_a_run_or_none(command, monkeypatch: pytest.MonkeyPatch):
    asked: list[object] = []
    monkeypatch.setattr(landscapes, "landscape", lambda **options: (asked.append(options["twin"]), Landscape())[1])
    for arguments in (["--twin"], ["a", "--twin", "b"], ["a", "--twin"], ["a"]):
        command(*arguments)
    assert asked == [True, "b", True, False]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name a run"),
        (["resnet9"], "did you mean"),
        (["last"], "there is no run"),
        (["resnet8", "nowhere"], "nowhere"),
        (["resnet8", "digits", "more"], "more is one too many"),
        (["resnet8", "--policy", "frosen"], "did you mean 'frozen'"),
        (["resnet8", "--axes", "paths"], "did you mean 'path'"),
        (["resnet8", "--axes", "path"], "`residua train --keep-path` makes one"),
        (["resnet8", "--to", "other"], "to is for axes between"),
        (["resnet8", "--span", "0"], "span is '0:0'; allowed"),
        (["resnet8", "--span", "a"], "give 1 for −1 to 1"),
        (["resnet8", "--steps", "1"], "2 points or above"),
        (["resnet8", "--images", "0"], "images is 0; allowed: 2 or above"),
        (["resnet8", "--part", "4/3"], "part is '4/3'"),
        (["resnet8", "--part", "1/3"], "name a file for it with --store"),
        (["resnet8", "--weights", "away.pt"], "away.pt is no run"),
        (["resnet8", "--device", "tpu"], "'tpu' is no device"),
        (["resnet8", "--out", "own.py/page.html"], "cannot write own.py/page.html"),
        (["--merge"], "no files to merge"),
        (["--merge", "away.npz"], "away.npz is missing"),
        (["--merge", "own.py", "--seed", "1"], "leave out --seed"),
        (["resnet8", "--twin"], "resnet8 is no run"),
        (["--twin", "resnet8"], "name that first"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(command, arguments: list[str], message: str):
    code, out, said = command(*arguments)
    assert (code, out) == (2, "")
    assert message in said
    assert len(said.strip().splitlines()) == 1
