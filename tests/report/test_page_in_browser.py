"""The page in headless Chromium: nothing fetched, everything drawn, readable on a phone and in the dark."""

import pytest
from playwright.sync_api import Page
from tests.report.conftest import CONTRASTS, LEAST_CONTRAST

from residua import files
from residua.report import numbers

pytestmark = pytest.mark.browser


def data_values(page: Page, selector: str) -> list[float]:
    return page.eval_on_selector_all(f"{selector} data", "all => all.map(one => Number(one.value))")


@pytest.mark.parametrize("width", [320, 390, 1000])
def test_the_page_never_scrolls_sideways(opened, awkward_page, large_page, width):
    for path in (awkward_page, large_page):
        page = opened(path, width=width)
        page.eval_on_selector_all("details", "all => all.forEach(one => one.open = true)")
        assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_can_be_read(opened, awkward_page, large_page, scheme):
    for path in (awkward_page, large_page):
        rows = opened(path, scheme=scheme).evaluate(CONTRASTS)
        assert len(rows) > 100
        assert [row for row in rows if row["ratio"] < LEAST_CONTRAST] == []


def test_the_two_schemes_differ(opened, awkward_page):
    grounds = [
        opened(awkward_page, scheme=scheme).evaluate("getComputedStyle(document.body).backgroundColor")
        for scheme in ("light", "dark")
    ]
    assert grounds[0] != grounds[1]


def test_every_figure_and_picture_is_drawn(opened, awkward_page):
    page = opened(awkward_page)
    boxes = page.eval_on_selector_all(
        "main svg", "all => all.map(one => [one.getBoundingClientRect().width, one.getBoundingClientRect().height])"
    )
    assert len(boxes) == 4
    assert all(width > 200 and height > 80 for width, height in boxes)
    drawn = page.eval_on_selector_all(
        "main svg path", "all => all.filter(one => one.getBoundingClientRect().width > 100).length"
    )
    assert drawn >= 7
    sizes = page.eval_on_selector_all("main img", "all => all.map(one => [one.naturalWidth, one.clientWidth])")
    assert len(sizes) == 8 + 2 * 2
    assert all(natural == 24 and shown > 20 for natural, shown in sizes)


def test_the_matrix_of_many_classes_is_drawn(opened, large_page):
    box = opened(large_page).locator("figure.matrix svg image").bounding_box()
    assert box is not None
    assert box["width"] > 200


def test_the_headline_is_the_number_in_the_result(opened, awkward_page):
    head = files.read_json(awkward_page.parent / "result.json")["headline"]
    page = opened(awkward_page)
    assert data_values(page, "#headline") == [head["accuracy"]]
    assert data_values(page, ".spread") == head["interval"]
    assert page.inner_text("#headline data") == numbers.percent(head["accuracy"], head["images"])


def test_the_class_table_is_the_one_in_the_result(opened, awkward_page):
    rows = files.read_json(awkward_page.parent / "result.json")["parts"]["test"]["per_class"]
    page = opened(awkward_page)
    expected = [row[key] for row in rows for key in ("precision", "recall", "f1", "images") if row[key] is not None]
    assert data_values(page, "table.classes") == expected
    assert page.locator("table.classes tbody th").all_inner_texts() == [row["class"] for row in rows]


def test_the_confusion_table_is_the_one_in_the_result(opened, awkward_page):
    matrix = files.read_json(awkward_page.parent / "result.json")["parts"]["test"]["confusion"]
    cells = opened(awkward_page).locator("table.confusion tbody td").all_text_contents()
    assert [int(cell) for cell in cells] == [number for row in matrix for number in row]


def test_bars_are_as_long_as_their_accuracy(opened, awkward_page):
    result = files.read_json(awkward_page.parent / "result.json")
    shares = opened(awkward_page).eval_on_selector_all(
        ".track i",
        "all => all.map(one => one.getBoundingClientRect().width / one.parentElement.getBoundingClientRect().width)",
    )
    simple = result["baselines"]
    expected = [
        result["headline"]["accuracy"],
        simple["logistic_regression"]["accuracy"],
        simple["majority"]["accuracy"],
    ]
    assert shares == pytest.approx(expected, abs=0.01)


def test_figures_and_pictures_are_described(opened, awkward_page):
    page = opened(awkward_page)
    assert page.locator("main svg:not([role=img][aria-label])").count() == 0
    assert page.locator("main img:not([alt])").count() == 0
    assert page.locator("main img[alt='An image of 猫']").count() == 2
    assert page.locator("main section:not([aria-labelledby])").count() == 0
