"""The page in headless Chromium: nothing fetched, everything drawn, readable on a phone and in the dark."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from residua import files
from residua.report import numbers

pytestmark = pytest.mark.browser

LEAST_CONTRAST = 4.5
"""Of text against what is behind it (WCAG 2.2, 1.4.3)."""

CONTRASTS = """() => {
  const context = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const painted = (colour, under) => {
    context.fillStyle = `rgb(${under.join(' ')})`; context.fillRect(0, 0, 1, 1);
    context.fillStyle = colour; context.fillRect(0, 0, 1, 1);
    return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const behind = element => element === null ? [255, 255, 255]
    : painted(getComputedStyle(element).backgroundColor, behind(element.parentElement));
  const luminance = colour => colour.map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const rows = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement, text = walker.currentNode.textContent.trim();
    if (!text || !element.checkVisibility() || element.closest('style, defs')) continue;
    const style = getComputedStyle(element), ground = behind(element);
    const colour = element instanceof SVGElement ? style.fill : style.color;
    if (colour === 'rgba(0, 0, 0, 0)') continue;
    const [a, b] = [luminance(painted(colour, ground)), luminance(ground)];
    rows.push({text, ratio: (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)});
  }
  return rows;
}"""


@pytest.fixture
def opened(browser: Browser) -> Iterator[Any]:
    """Opens a page in a fresh context and fails the test if it complains or asks for anything."""
    contexts, complaints = [], []

    def complain(of: str) -> None:
        if of and not of.startswith("data:"):
            complaints.append(of)

    def open_page(path: Path, *, width: int = 1000, scheme: Any = "light") -> Page:
        context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
        contexts.append(context)
        page, address = context.new_page(), path.resolve().as_uri()
        page.on("console", lambda message: complain(message.text))
        page.on("pageerror", lambda error: complain(str(error)))
        page.on("request", lambda asked: complain("" if asked.url == address else asked.url))
        page.goto(address)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


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
