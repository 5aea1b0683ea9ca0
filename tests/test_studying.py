"""The public verb: a study in, a verdict and a page out."""

import html
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

import residua
from residua import machine, studying
from residua.errors import BadSetting, Interrupted
from residua.studies import catalogue, performing
from residua.studies.schedule import Place, Schedule
from residua.studies.store import Store
from tests.studies.tiny import budget, study


def test_a_study_from_python_gives_verdicts_a_page_and_json(tmp_path: Path):
    found = residua.study(study(), store=tmp_path, workers=1)
    assert found.page == tmp_path / "pages" / "tiny.html"
    assert "word" in found.page.read_text()
    assert [one.claim for one in found.verdicts] == ["lower"]
    assert re.match(r"word\n\n[✓✕?] word\n  \w", found.says)
    kept = json.loads((tmp_path / "pages" / "tiny-quick.json").read_text())
    assert kept == found.results.to_json()
    again = residua.study(study(), store=tmp_path, workers=1)
    assert again.results.numbers == found.results.numbers


def test_what_is_expected_holds_for_the_claims_that_the_scale_decides(tmp_path: Path):
    found = residua.study(study(), store=tmp_path, workers=1)
    answer = found.verdicts[0].answer
    others = {"supported", "contradicted", "inconclusive"} - {answer}
    assert found.agrees(answer)
    assert not any(map(found.agrees, others))


def test_what_a_scale_cannot_decide_is_not_run_and_says_what_can(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(performing, "train", lambda *_, **__: pytest.fail("trained"))
    for quick in (None, budget(decides=())):
        budgets = {"laptop": budget()} | ({"quick": quick} if quick else {})
        found = residua.study(replace(study(), budgets=budgets), store=tmp_path)
        assert [(one.answer, one.needs) for one in found.verdicts] == [("not run", "laptop")]
        assert not found.agrees("supported")
        assert found.says.endswith(f"next: residua.study(STUDY, scale='laptop', store='{tmp_path}')")


@pytest.mark.parametrize(("minutes", "workers"), [(20 / 60, 1), (0.5, 3)])
def test_only_what_takes_longer_than_their_start_is_shared_by_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, minutes: float, workers: int
):
    monkeypatch.setattr(machine, "cores", lambda: 3)
    schedule = Schedule(study(budget(minutes=minutes)), "quick", store=Store(tmp_path), place=Place(device="cpu"))
    assert studying._usual_workers(schedule) == workers


def test_an_interrupt_says_how_to_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(performing, "train", interrupted)
    with pytest.raises(
        Interrupted, match=re.escape(f"residua.study(STUDY, scale='quick', seeds=1, workers=1, store='{tmp_path}')")
    ):
        residua.study(study(), store=tmp_path, seeds=1, workers=1)


def test_the_command_on_the_page_has_all_that_was_asked(tmp_path: Path):
    quick = budget(decides=())
    asked = {"data_root": tmp_path / "sets", "language": "zh", "device": "cpu", "workers": 2, "out": tmp_path / "there"}
    found = residua.study(replace(study(), budgets={"quick": quick}), store=tmp_path, **asked)  # type: ignore[arg-type]
    page = html.unescape(found.page.read_text())
    for words in (f"data_root='{tmp_path}/sets'", "language='zh'", "device='cpu'", "workers=2", f"out='{tmp_path}"):
        assert words in page


def test_all_studies_have_one_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(catalogue, "names", lambda: ("first", "second"))
    monkeypatch.setattr(catalogue, "study", lambda name: replace(study(), name=name))
    done = studying.study_all(store=tmp_path, seeds=1, workers=1)
    assert [one.results.study.name for one in done] == ["first", "second"]
    assert done[0].results.numbers == done[1].results.numbers
    assert "first.html" in (tmp_path / "pages" / "index.html").read_text()


def test_a_study_whose_images_cannot_be_had_is_reported_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    lacking = {"quick": replace(study().budgets["quick"], source=str(tmp_path / "nowhere"))}
    found = {"first": replace(study(), name="first", budgets=lacking), "second": replace(study(), name="second")}
    monkeypatch.setattr(catalogue, "names", lambda: tuple(found))
    monkeypatch.setattr(catalogue, "study", lambda name: found[name])
    first, second = studying.study_all(store=tmp_path, seeds=1, workers=1)
    assert (first.results.has_errors, second.results.has_errors) == (True, False)
    assert "first failed: " in first.says
    assert "nowhere does not exist" in (tmp_path / "pages" / "first.html").read_text()
    assert not any(map(first.agrees, ("supported", "contradicted", "inconclusive")))
    assert second.verdicts[0].answer != "not run"
    assert "first.html" in (tmp_path / "pages" / "index.html").read_text()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"scale": "quik"}, "did you mean 'quick'"),
        ({"part": "2"}, "I/N"),
        ({"part": "3/2"}, "from 1 to N"),
        ({"seeds": 0}, "--seeds is 0"),
        ({"workers": 0}, "--workers is 0"),
        ({"language": "de"}, "de"),
    ],
)
def test_what_cannot_be_is_one_line(tmp_path: Path, options: dict[str, object], says: str):
    with pytest.raises(BadSetting, match=says):
        residua.study(study(), store=tmp_path, **options)  # type: ignore[arg-type]
    with pytest.raises(BadSetting, match="has no budget"):
        residua.study(replace(study(), budgets={}), store=tmp_path)
    with pytest.raises(BadSetting, match="did you mean 'degradation'"):
        residua.study("degradatio", store=tmp_path)
