"""The page of a diagnosis: findings first, every number of every part, nothing fetched, readable everywhere."""

import html
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from tests.report.conftest import CONTRASTS, LEAST_CONTRAST
from tests.report.fabricated import diagnosis, gradients

from residua.diagnostics.diagnosis import PARTS
from residua.diagnostics.result import Diagnosis
from residua.errors import BadSetting
from residua.report.diagnosis_page import Diagnosed, render, said
from residua.report.diagnosis_sections import sections_of


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "page.html"
    assert Diagnosed(measurements=diagnosis()).write(path).page == path
    return path


def only(part: str) -> Diagnosis:
    """One part's figures, which take their time to draw."""
    return replace(diagnosis(), **dict.fromkeys(set(PARTS) - {part}))


def words(page: str) -> str:
    body = re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body)).split())


def test_findings_stand_first_and_in_their_order(page):
    text = words(page.read_text(encoding="utf-8"))
    places = [text.index(one.says) for one in diagnosis().findings]
    assert places == sorted(places)
    assert places[-1] < text.index("What was looked at") < text.index("The gradient, layer by layer")


def test_a_finding_has_where_measured_predicted_what_is_asked_for_and_the_remedy(page):
    text = words(page.read_text(encoding="utf-8"))
    for expected in (
        "serious · gradients vanish",
        "stem.convolution measured 1.3e-8 predicted 0.120",
        "the rule asks for a ratio between 0.01 and 100",
        "Next: add shortcuts: residua train --network resnet56 has the same layers with them",
        "Seen on batches of examples · He et al. 2015, §4.1",
        "1 serious finding · 1 warning · 1 note",
    ):
        assert expected in text


def test_what_theory_says_and_what_is_healthy_are_two_columns(page):
    text = words(page.read_text(encoding="utf-8"))
    assert (
        "as theory says healthy ‖∂L/∂x₀‖ / ‖∂L/∂x_L‖ 92.4 (73.9 to 120) 84 (docs/predictions.md, Eq. 3) yes no" in text
    )


def test_where_nothing_is_predicted_the_reason_stands_there():
    flow = replace(gradients(), prediction=None, no_prediction="an activation is no ReLU: gelu", as_theory=None)
    text = words(render(replace(only("gradients"), gradients=flow)))
    assert "none: an activation is no ReLU: gelu nothing predicted no" in text


def test_names_are_text_not_html(page):
    content = page.read_text(encoding="utf-8")
    assert "<stages" not in content
    assert "&lt;stages.2.4.residual.activation&gt;" in content


def test_what_stands_between_backticks_is_code():
    assert str(said("run `a <b>` & go")) == "run <code>a &lt;b&gt;</code> &amp; go"


def test_every_part_has_its_section_and_a_part_without_measurement_has_none():
    assert {section.name for section in sections_of(diagnosis())} == {"run", *PARTS}
    for name in PARTS:
        assert name not in {section.name for section in sections_of(replace(diagnosis(), **{name: None}))}
    empty = replace(diagnosis(), **dict.fromkeys((*PARTS, "run")), findings=())
    assert "No rule found anything" in words(render(empty))


def test_every_row_has_a_cell_for_every_column_and_every_figure_its_own_name():
    sections = list(sections_of(diagnosis()))
    tables = [table for section in sections for table in section.tables]
    assert len(tables) >= 12
    assert all(len(row) == len(table.columns) for table in tables for row in table.cells)
    names = [drawing.name for section in sections for drawing in section.drawings]
    assert len(names) == len(set(names)) == 16


def test_the_page_is_written_into_a_run_with_its_numbers_and_figures(tmp_path: Path):
    (tmp_path / "figures").mkdir()
    for name in ("diagnosis-old.svg", "loss.svg"):
        (tmp_path / "figures" / name).write_text("")
    found = Diagnosed(measurements=only("paths")).write_into(tmp_path)
    assert found.page == tmp_path / "diagnosis.html"
    drawn = {path.name for path in (tmp_path / "figures").iterdir()}
    paths = {f"diagnosis-{name}.{kind}" for name in ("paths", "path-norms") for kind in ("svg", "png")}
    assert drawn == {"loss.svg", *paths}
    kept = json.loads((tmp_path / "diagnosis.json").read_text(encoding="utf-8"))
    assert kept["paths"]["blocks"] == 27
    assert kept["gradients"] is None


def test_a_place_that_cannot_be_written_is_said_in_one_line(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BadSetting, match="cannot write .*choose a place with --out"):
        Diagnosed(measurements=diagnosis()).write(tmp_path / "file" / "page.html")


def test_the_same_diagnosis_gives_the_same_page():
    assert render(only("paths")) == render(only("paths"))


def test_a_notebook_shows_the_findings_and_a_repr_their_numbers():
    found = Diagnosed(measurements=diagnosis())
    assert "gradients vanish" in words(found._repr_html_())
    assert repr(found) == "Diagnosed('digits-resnet56-1', serious 1, warnings 1, notes 1)"
    assert found.to_json()["page"] is None


@pytest.mark.browser
@pytest.mark.parametrize("width", [320, 1000])
def test_the_page_never_scrolls_sideways(opened, page, width):
    shown = opened(page, width=width)
    shown.eval_on_selector_all("details", "all => all.forEach(one => one.open = true)")
    assert shown.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_can_be_read(opened, page, scheme):
    shown = opened(page, scheme=scheme)
    shown.eval_on_selector_all("details", "all => all.forEach(one => one.open = true)")
    rows = shown.evaluate(CONTRASTS)
    assert len(rows) > 300
    assert [row for row in rows if row["ratio"] < LEAST_CONTRAST] == []


@pytest.mark.browser
def test_every_figure_is_drawn_and_described(opened, page):
    shown = opened(page)
    boxes = shown.eval_on_selector_all("main svg", "all => all.map(one => one.getBoundingClientRect().width)")
    assert len(boxes) == 16
    assert all(width > 200 for width in boxes)
    assert shown.locator("main svg:not([role=img][aria-label])").count() == 0
