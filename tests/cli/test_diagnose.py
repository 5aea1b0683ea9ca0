"""``residua diagnose`` as a user meets it: findings, sparklines, JSON, and one line for what is wrong."""

import json
import sys
from pathlib import Path

import pytest
from tests.report.fabricated import diagnosis as fabricated

from residua.cli import main
from residua.diagnostics import diagnosis


@pytest.fixture
def residua(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Runs the command line in this process with made-up measurements; returns exit code, output and complaints."""
    for name in diagnosis.PARTS:
        monkeypatch.setitem(diagnosis.MEASURES, name, lambda case, _part=getattr(fabricated(), name), **sizes: _part)
    monkeypatch.setattr(diagnosis, "judge", lambda found: fabricated().findings)
    monkeypatch.setenv("COLUMNS", "80")

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["residua", "diagnose", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return int(str(ended.value.code)), captured.out, captured.err

    return call


def test_findings_come_first_then_the_series_then_the_page(residua):
    code, out, progress = residua("resnet8")
    assert code == 0
    lines = out.splitlines()
    assert lines[0].startswith("serious  gradients vanish")
    assert max(map(len, lines)) <= 80
    order = [
        out.index(text) for text in ("serious", "warning", "note  ", "gradient, stream", "page: resnet8-diagnosis")
    ]
    assert order == sorted(order)
    assert Path("resnet8-diagnosis.html").is_file()
    assert "\x1b" not in out
    assert [line.split(" · ")[0] for line in progress.splitlines() if " · about " in line] == list(diagnosis.PARTS)


def test_json_is_all_that_was_measured_and_nothing_else(residua):
    code, out, _ = residua("resnet8", "--json", "--only", "paths, signals", "--out", "there/page.html")
    found = json.loads(out)
    assert code == 0
    assert (found["name"], found["page"]) == ("resnet8", "there/page.html")
    assert found["findings"][0]["rule"] == "gradients vanish"
    assert found["paths"]["blocks"] == 27
    assert (found["gradients"], found["lesions"]) == (None, None)


def test_figures_are_files_where_they_are_asked_for(residua):
    code, _, _ = residua("resnet8", "--only", "paths", "--figures", "drawn")
    assert code == 0
    assert {path.name for path in Path("drawn").iterdir()} == {
        f"diagnosis-{name}.{kind}" for name in ("paths", "path-norms") for kind in ("svg", "png")
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["resnet9"], "did you mean"),
        (["runs/away"], "runs/away is no run"),
        (["last"], "there is no run"),
        (["resnet8", "--only", "lesion"], "did you mean 'lesions'"),
        (["resnet8", "--only", ","], "--only is empty"),
        (["resnet8", "nowhere"], "nowhere"),
        (["resnet8", "--device", "tpu"], "'tpu' is no device"),
        (["resnet8", "--only", "paths", "--out", "file/page.html"], "cannot write file/page.html"),
        (["away.py:net"], "there is no file away.py"),
        ([], "Missing argument"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(residua, arguments, message):
    Path("file").write_text("")
    code, out, complaint = residua(*arguments)
    assert (code, out) == (2, "")
    last = complaint.splitlines()[-1]
    assert last.startswith("error: ")
    assert message in last
    assert "Traceback" not in complaint
    assert list(Path().rglob("*.html")) == []
