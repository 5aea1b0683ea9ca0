"""The page of all studies: a card a claim, readable from afar, on a phone, in the dark and on paper."""

import html
import re
from dataclasses import replace
from pathlib import Path

import pytest
from tests.report.conftest import CONTRASTS, LEAST_CONTRAST
from tests.report.studied import CLAIMS, results

from residua.errors import BadSetting
from residua.report.study_index import render_index, write_index
from residua.studies.claim import Text

COMMAND = "residua study --all"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    first = results()
    second = replace(first, study=replace(first.study, name="twin", title=Text("A <twin>", "孪生")))
    return write_index(tmp_path_factory.mktemp("index"), [first, second], command=COMMAND)


def words(page: str) -> str:
    body = re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body)).split())


def test_there_is_a_card_for_every_claim_of_every_study(page):
    content = page.read_text(encoding="utf-8")
    assert content.count("<article") == 2 * (len(CLAIMS) - 1)
    assert content.count('<li><p class="badge') + content.count('<li><span class="badge') >= 2
    assert content.index('class="later"') > content.rindex("<article")
    assert content.count('class="effect"') == 2 * (len(CLAIMS) - 1)
    assert "A &lt;twin&gt;" in content
    assert set(re.findall(r'href="([^"]+)"', content)) == {
        f"{study}.html#claim-{claim.name}" for study in ("degradation", "twin") for claim in CLAIMS
    }


def test_the_tally_counts_each_verdict(page):
    text = words(page.read_text(encoding="utf-8"))
    assert "✓ 4 supported ✕ 2 contradicted ? 2 inconclusive … 2 not decided" in text


def test_a_card_has_claim_published_number_ours_and_verdict(page):
    assert (
        "✓ supported at this budget A deeper plain network trains worse. 0.1 published 13 % against 9 % training error "
        "measured here 1.41 nats 1.05 to 1.76, n = 3 Degradation · He et al. 2015, Fig. 6 and Table 6"
    ) in words(page.read_text(encoding="utf-8"))


def test_the_table_of_all_claims_lies_beside_it(page):
    rows = (page.parent / "tables" / "claims.csv").read_text(encoding="utf-8").splitlines()
    assert len(rows) == 1 + 2 * len(CLAIMS)


def test_it_speaks_chinese():
    text = words(render_index([results()], "zh", command=COMMAND))
    assert "论断的检验" in text
    assert "✓ 2 支持 ✕ 1 不支持 ? 1 尚无定论" in text


def test_an_index_of_nothing_is_a_page():
    assert "<article" not in render_index([], command=COMMAND)


def test_a_place_that_cannot_be_written_is_said_in_one_line(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BadSetting, match="cannot write .*choose a place with --out"):
        write_index(tmp_path / "file", [results()], command=COMMAND)


@pytest.mark.browser
@pytest.mark.parametrize("width", [320, 420, 1400])
def test_the_page_never_scrolls_sideways(opened, page, width):
    assert opened(page, width=width).evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_can_be_read(opened, page, scheme):
    rows = opened(page, scheme=scheme, width=1400).evaluate(CONTRASTS)
    assert len(rows) > 80
    assert [row for row in rows if row["ratio"] < LEAST_CONTRAST] == []


@pytest.mark.browser
def test_claims_and_verdicts_are_large_enough_for_a_wall(opened, page):
    """Eighteen points on paper are 24 px: letters of about 4.5 mm, which an eye of 6/6 reads at three metres."""
    shown = opened(page, width=1400)
    shown.emulate_media(media="print")
    for selector, least in ((".card h2", 24), (".card .badge", 29)):
        sizes = shown.eval_on_selector_all(
            selector, "all => all.map(one => parseFloat(getComputedStyle(one).fontSize))"
        )
        assert len(sizes) == 2 * (len(CLAIMS) - 1)  # one of each study was not measured
        assert min(sizes) >= least
