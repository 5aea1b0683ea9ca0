"""The page of a study: each claim with number, interval, line and verdict; complete, readable, in two languages."""

import html
import re
from dataclasses import replace
from pathlib import Path

import pytest
from matplotlib import font_manager
from tests.report.conftest import CONTRASTS, LEAST_CONTRAST
from tests.report.studied import CLAIMS, results

from residua.errors import BadSetting
from residua.report import style
from residua.report.study_page import Progress, render, write_page
from residua.studies.results import Results

COMMAND = "residua study degradation --scale quick"


@pytest.fixture(scope="module")
def found() -> Results:
    return results()


@pytest.fixture(scope="module")
def page(found: Results, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_page(tmp_path_factory.mktemp("study"), found, command=COMMAND)


@pytest.fixture(scope="module")
def chinese(found: Results) -> str:
    return render(replace(found, series={}), "zh", command=COMMAND)


def without_figures(found: Results) -> Results:
    return replace(found, study=replace(found.study, figures=()))


def words(page: str) -> str:
    body = re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body)).split())


def test_a_claim_has_its_verdict_numbers_line_and_source(page):
    text = words(page.read_text(encoding="utf-8"))
    for expected in (
        "✓ supported at this budget A deeper plain network trains worse. 0.1 published 13 % against 9 % training error "
        "measured here 1.41 nats 1.05 to 1.76, n = 3 the effect train_loss(plain-56) − train_loss(plain-20)",
        "the smallest effect that would matter, fixed beforehand > 0.1 nats · A tenth of a nat",
        "source: He et al. 2015, Fig. 6 and Table 6",
        "✕ contradicted A deeper residual network trains worse.",
        "? inconclusive At 44 layers",
        "−0.1 … 0.1 nats",
        "→ needs laptop At 110 layers the residual network is better still.",
    ):
        assert expected in text


def test_a_claim_says_its_effect_and_its_published_number_once(page):
    content = page.read_text(encoding="utf-8")
    first = words(content[content.index('id="claim-plain"') : content.index('id="claim-residual"')])
    for once in ("train_loss(plain-56) − train_loss(plain-20)", "1.41", "13 % against 9 %"):
        assert first.count(once) == 1
    assert "Supported: the interval lies wholly above 0.1, the smallest that would matter." in first


def test_arms_fairness_remarks_failures_and_the_command_are_there(page):
    text = words(page.read_text(encoding="utf-8"))
    for expected in (
        "plain-56 plain56 sgd, 6 epochs 0.1 (the grid’s largest) float32 3 / 3 not converged",
        "plain-44 plain44 sgd, 6 epochs 0.1 (the grid’s largest) float32 2 / 3 yes",
        "All arms: batch_size=64.",
        "Each arm’s learning rate was chosen from 0.03, 0.1.",
        "A better learning rate may lie beyond the edge of the grid that was chosen: plain-20 0.1 (the grid",
        "Every arm has the same small grid",
        "Six epochs on small images are no ImageNet.",
        "plain-44, seed 2 : no loss is a number <b>after</b> step 12",
        COMMAND,
        "2 cores, torch 2.8 · 0123abc",
    ):
        assert expected in text


def test_the_picture_of_a_verdict_has_the_places_of_its_numbers(page):
    content = page.read_text(encoding="utf-8")
    first = content[content.index('id="claim-plain"') : content.index('id="claim-residual"')]
    ((zone, width),) = re.findall(r'class="zone" x="([\d.]+)" y="6" width="([\d.]+)"', first)
    (line,) = re.findall(r'class="edge" x1="([\d.]+)"', first)
    ((bar, length),) = re.findall(r'class="bar" x="([\d.]+)" y="\d+" width="([\d.]+)"', first)
    assert zone == line
    assert float(zone) + float(width) == pytest.approx(400)
    assert float(line) < float(bar) < float(bar) + float(length) < 400
    assert first.count('class="dot"') == 3


def test_a_claim_that_was_not_run_has_no_picture(page):
    content = page.read_text(encoding="utf-8")
    last = content[content.index('id="claim-far"') : content.index('id="figures"')]
    assert "<svg" not in last
    assert 'class="claim waiting"' in content


def test_a_study_that_runs_reads_itself_again_and_a_finished_one_does_not(found):
    progress = Progress(done=8, trials=24, left="about 1 min left")
    running = render(without_figures(found), command=COMMAND, progress=progress)
    assert '<meta http-equiv="refresh" content="10">' in running
    assert "8 / 24 trials about 1 min left still running" in words(running)
    finished = render(without_figures(found), command=COMMAND)
    assert "refresh" not in finished
    assert "still running" not in finished


def test_an_interim_verdict_says_how_many_seeds_it_rests_on():
    text = words(render(without_figures(results(seeds=2)), command=COMMAND))
    assert "at this budget, 2 of 3 seeds" in text


def test_a_claim_without_numbers_is_waited_for_while_trials_are_open():
    text = words(render(without_figures(results(seeds=0)), command=COMMAND))
    assert "… not decided A deeper plain network" in text
    assert "– not run A deeper plain network" in words(
        render(replace(without_figures(results(seeds=0)), trials=()), command=COMMAND)
    )


def test_a_figure_without_numbers_is_left_out(found):
    assert render(replace(found, numbers={}, series={}), command=COMMAND).count("<figure") == 0
    assert render(replace(found, series={}), command=COMMAND).count("<figure") == 3  # a course draws numbers' names


def test_figures_and_tables_are_written_beside_a_finished_page(page):
    folder = page.parent
    figures = {f"degradation-{place}.{suffix}" for place in (1, 2, 3, 4) for suffix in ("svg", "png")}
    assert {path.name for path in (folder / "figures").iterdir()} == figures
    content = page.read_text(encoding="utf-8")
    links = set(re.findall(r'href="(tables/[^"]+)"', content))
    assert len(links) == 8
    assert all((folder / link).is_file() for link in links)


def test_in_chinese_every_word_of_the_page_but_names_and_sources_is_chinese(chinese):
    assert '<html lang="zh-Hans">' in chinese
    text = words(chinese)
    for claim in CLAIMS:
        assert claim.says.zh in text
    for english in ("supported", "published", "seeds", "The arms", "interval", "measured", "training loss"):
        assert english not in text
    assert "✓ 支持" in text
    assert "训练损失" in re.sub(r"<[^>]+>", "", chinese[chinese.index("<figure") :])


def test_a_figure_on_a_page_has_no_font_of_its_own(chinese, page):
    for content in (chinese, page.read_text(encoding="utf-8")):
        drawn = content[content.index("<figure") :]
        assert "<text" in drawn
        assert "DejaVu" not in drawn


def test_files_of_figures_keep_english_where_no_font_has_the_glyphs(found, tmp_path, monkeypatch):
    course = replace(found, study=replace(found.study, figures=found.study.figures[1:2]))
    monkeypatch.setattr("residua.report.study_figures.to_png", lambda figure: figure.axes[0].get_xlabel().encode())
    for font, expected in ((None, "depth"), ("DejaVu Sans", "深度")):
        monkeypatch.setattr("residua.report.study_figures.han_font", lambda font=font: font)
        write_page(tmp_path, course, "zh", command=COMMAND)
        assert (tmp_path / "figures" / "degradation-1.png").read_text(encoding="utf-8") == expected
        assert "深度" in (tmp_path / "figures" / "degradation-1.svg").read_text(encoding="utf-8")


def test_a_font_for_chinese_is_one_that_is_installed(monkeypatch):
    class Font:
        def __init__(self, name: str) -> None:
            self.name = name

    monkeypatch.setattr(font_manager.fontManager, "ttflist", [Font("SimHei"), Font("Noto Sans SC"), Font("Other")])
    assert style.han_font() == "Noto Sans SC"
    monkeypatch.setattr(font_manager.fontManager, "ttflist", [Font("Other")])
    assert style.han_font() is None


def test_the_same_results_give_the_same_page(found):
    one = replace(found, study=replace(found.study, figures=found.study.figures[2:3]))
    assert render(one, command=COMMAND) == render(one, command=COMMAND)


def test_a_place_that_cannot_be_written_is_said_in_one_line(found, tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BadSetting, match="cannot write .*choose a place with --out"):
        write_page(tmp_path / "file", without_figures(found), command=COMMAND)


@pytest.mark.browser
@pytest.mark.parametrize("width", [320, 1000])
def test_the_page_never_scrolls_sideways(opened, page, width):
    assert opened(page, width=width).evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_can_be_read(opened, page, scheme):
    rows = opened(page, scheme=scheme).evaluate(CONTRASTS)
    assert len(rows) > 200
    assert [row for row in rows if row["ratio"] < LEAST_CONTRAST] == []


@pytest.mark.browser
def test_every_figure_is_drawn_and_described(opened, page):
    shown = opened(page)
    boxes = shown.eval_on_selector_all("main svg", "all => all.map(one => one.getBoundingClientRect().width)")
    assert len(boxes) == 4 + 4
    assert all(width > 200 for width in boxes)
    assert shown.locator("main svg:not([role=img][aria-label])").count() == 0
