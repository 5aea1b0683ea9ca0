"""``residua study`` as a user meets it: a list, a verdict, an exit code."""

import json
import sys
from pathlib import Path

import pytest
from tests.studies.tiny import budget, study

from residua.cli import main
from residua.studies import catalogue


@pytest.fixture
def residua(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Runs the command line in this process, with a catalogue of one small study; returns exit code and output."""
    own = study(budget(seeds=1), budgets={"quick": budget(seeds=1), "laptop": budget(minutes=120.0)})
    monkeypatch.setattr(catalogue, "names", lambda: ("tiny",))
    monkeypatch.setattr(catalogue, "study", lambda name: own)

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["residua", "study", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return int(str(ended.value.code)), captured.out, captured.err

    return call


def test_without_a_name_it_lists_the_studies_with_times_and_scales(residua):
    code, out, _ = residua()
    assert code == 0
    assert out.splitlines()[:2] == ["tiny: word", "    quick 6 s, laptop 2 h; decided at quick"]
    code, out, _ = residua("--json")
    assert json.loads(out) == [
        {"name": "tiny", "minutes": {"quick": 0.1, "laptop": 120.0}, "decides": {"lower": "quick"}}
    ]


def test_the_list_is_readable_at_80_columns_and_names_what_another_scale_decides(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["residua", "study"])
    with pytest.raises(SystemExit):
        main()
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    rows = " ".join(out.split())
    assert "degradation: Degradation quick 2 min, laptop 48 min, paper 14 d; decided at quick" in rows
    assert "decided at quick, deeper_is_better at paper" in rows


def test_an_expectation_of_a_scale_that_decides_nothing_is_not_met(residua, monkeypatch):
    monkeypatch.setattr(catalogue, "study", lambda name: study(budgets={"laptop": budget()}))
    assert residua("tiny", "--store", "kept", "--expect", "supported")[0] == 1
    assert residua("tiny", "--store", "kept")[0] == 0


def test_any_verdict_exits_with_0_and_another_than_expected_with_1(residua):
    code, out, progress = residua("tiny", "--workers", "1", "--store", "kept")
    assert code == 0
    assert out.splitlines()[-1] == "page: kept/pages/tiny.html"
    assert Path("kept/pages/tiny.html").is_file()
    assert "2 of 2 trials" in progress
    for expected, exits in (("supported", 1), ("inconclusive", 0)):  # one seed decides nothing
        assert residua("tiny", "--workers", "1", "--store", "kept", "--expect", expected)[0] == exits


def test_all_and_json(residua):
    code, out, _ = residua("--all", "--workers", "1", "--json", "--out", "there")
    assert code == 0
    assert [one["study"] for one in json.loads(out)] == ["tiny"]
    assert Path("there/index.html").is_file()
    code, _, error = residua("tiny", "--all")
    assert (code, error.startswith("error: --all runs every study")) == (2, True)


def test_a_file_that_is_not_there_is_one_line(residua):
    code, _, error = residua("none.py")
    assert code == 2
    assert error == "error: there is no file none.py; check the path\n"
