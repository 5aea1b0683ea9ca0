"""``residua inspect`` as a user meets it: tables, drawings, pages, and one line for what is wrong."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.test_views import run as run

from residua.cli import main

FACTORY = """
from dataclasses import replace
from torch import nn
from residua.networks import catalogue
def deeper(): return replace(catalogue.specification("resnet20"), shortcut="scaled", classes=7)
def same(): return catalogue.specification("resnet20")
def foreign(): return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 6 * 6, 2))
"""


@pytest.fixture
def image() -> Path:
    Image.fromarray(np.zeros((20, 30, 3), dtype=np.uint8)).save("猫.png")
    return Path("猫.png")


@pytest.fixture
def residua(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Runs the command line in this process and returns its exit code, its output and its complaints."""
    Path("own.py").write_text(FACTORY)
    monkeypatch.setenv("COLUMNS", "80")

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["residua", "inspect", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return int(str(ended.value.code)), captured.out, captured.err

    return call


def test_a_name_has_nothing_beside_its_table(residua):
    code, out, _ = residua("resnet20")
    assert code == 0
    assert "269,722" in out
    assert "nearest" not in out
    assert json.loads(residua("resnet20", "--json")[1])["nearest"] is None


def test_a_specification_is_compared_with_the_nearest_name(residua):
    line = residua("own.py:deeper")[1].splitlines()[-1]
    assert line == "nearest named network: resnet20; here shortcut scaled, not padded; classes 7, not 10"
    found = json.loads(residua("own.py:deeper", "--json")[1])
    assert found["network"] == "own.py:deeper"
    assert found["nearest"] == {
        "name": "resnet20",
        "differences": [
            {"field": "shortcut", "theirs": "padded", "ours": "scaled"},
            {"field": "classes", "theirs": 10, "ours": 7},
        ],
    }
    assert "nearest" not in residua("own.py:same")[1]


def test_a_run_shows_its_own_network(residua, run):
    out = residua("last", "--input", "3x16x16")[1]
    assert "for images of 3×16×16" in out
    assert "nearest named network: resnet8; here classes 3, not 10" in out


def test_a_module_of_another_library_has_a_table_with_dashes(residua):
    lines = residua("own.py:foreign", "--input", "3x8x8")[1].splitlines()
    (row,) = [line for line in lines if line.startswith("0 ")]
    assert row.split() == ["0", "3×3", "convolution", "4×6×6", "112", "3.89", "k", "–"]
    (total,) = [line for line in lines if line.startswith("total")]
    assert total.split() == ["total", "depth", "–", "402", "4.18", "k", "–"]
    assert json.loads(residua("own.py:foreign", "--input", "3x8x8", "--json")[1])["layers"][0]["shape"] == [4, 6, 6]


def test_a_drawing_goes_where_it_says(residua):
    assert residua("resnet8", "--svg") == (0, "drawing: resnet8.svg\n", "")
    assert residua("own.py:deeper", "--classes", "3", "--svg", "a/b.svg")[1] == "drawing: a/b.svg\n"
    assert "3 logits" in Path("a/b.svg").read_text(encoding="utf-8")
    assert residua("resnet8", "--svg", "--input", "1x16x16")[0] == 0
    assert "1×16×16" in Path("resnet8.svg").read_text(encoding="utf-8")


def test_the_page_of_an_image_goes_into_the_run_or_where_it_is_asked(residua, run, image):
    page = run / f"features-{image.stem}.html"
    assert residua("last", "--image", str(image)) == (0, f"feature maps: {page}\n", "")
    assert "猫.png" in page.read_text(encoding="utf-8")
    assert residua(str(run), "--image", str(image), "--out", "a.html")[1] == "feature maps: a.html\n"
    assert Path("a.html").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["resnet20", "--json", "--svg"], "--json and --svg ask for different things"),
        (["last", "--image", "猫.png", "--svg", "a.svg"], "--svg and --image ask for different things"),
        (["resnet20", "--image", "猫.png"], "resnet20 is a network without trained weights; give a run"),
        (["own.py:same", "--image", "猫.png"], "is a network without trained weights; give a run"),
        (["last", "--image", "no.png"], "no.png"),
        (["last", "--image", "猫.png", "--classes", "3"], "leave out --classes"),
        (["resnet20", "--out", "a.html"], "--out is for the page of --image"),
        (["own.py:foreign", "--svg"], "has no specification to be drawn from"),
        (["own.py:foreign", "--input", "3x9x9"], "cannot take an image of 3×9×9"),
        (["own.py:foreign", "--classes", "3"], "built already"),
        (["own.py:deper"], "did you mean 'deeper'"),
        (["own.py"], "names no function"),
        (["away.py:net"], "there is no file away.py"),
        (["resnet21"], "did you mean"),
        (["runs/away"], "runs/away is no run"),
        (["resnet8", "--svg", "own.py/a.svg"], "cannot write own.py/a.svg"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(residua, run, image, arguments, message):
    before = set(Path().rglob("*"))
    code, out, complaint = residua(*arguments)
    assert (code, out) == (2, "")
    assert message in complaint
    assert complaint.startswith("error: ")
    assert complaint.count("\n") == 1
    assert {path for path in set(Path().rglob("*")) - before if "__pycache__" not in path.parts} == set()
