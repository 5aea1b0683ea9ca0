"""The page of a landscape in headless Chromium, with WebGL and without: drawn, quiet, offline, readable."""

import io
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, expect
from tests.report.conftest import CONTRASTS, LEAST_CONTRAST
from tests.report.fabricated_surfaces import bowl, comparison, curvature, line, rough, surface

from residua.report.landscape_page import Landscape

pytestmark = pytest.mark.browser

_WITHOUT_WEBGL = """const given = HTMLCanvasElement.prototype.getContext;
HTMLCanvasElement.prototype.getContext = function (kind, ...rest) {
  return kind.startsWith('webgl') ? null : given.call(this, kind, ...rest);
};"""
_WITHIN_MILLISECONDS = 120_000
"""Software draws WebGL slowly, and many tests run at once."""

Shown = Callable[..., Page]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = comparison()
    residual = replace(surface(bowl(7)), plane=None)
    plain = replace(found.plain, grid=residual.grid, plane=None, cells=surface(rough(7)).cells)
    place = tmp_path_factory.mktemp("page") / "twins.html"
    Landscape(comparison=replace(found, residual=residual, plain=plain), curvature=curvature()).write(place)
    return place


@pytest.fixture
def shown(browser: Browser, page: Path) -> Iterator[Shown]:
    """Opens the page in a fresh context; fails the test on an error, or when the page asks for anything but itself."""
    contexts, heard = [], []

    def open_page(*, script: str = "", width: int = 480, **more: Any) -> Page:
        context = browser.new_context(viewport={"width": width, "height": 400}, **more)
        contexts.append(context)
        if script:
            context.add_init_script(script)
        made, address = context.new_page(), page.as_uri()
        made.on("console", lambda message: heard.append(message.text) if message.type == "error" else None)
        made.on("pageerror", lambda error: heard.append(str(error)))
        made.on("request", lambda asked: heard.append(asked.url) if is_foreign(asked.url, address) else None)
        made.goto(address)
        return made

    yield open_page
    for context in contexts:
        context.close()
    assert heard == []


def is_foreign(asked: str, address: str) -> bool:
    return asked != address and not re.match("data:|blob:", asked)


def painted(element: Locator) -> int:
    """Returns how many saturated colours an element shows: none of an empty page, dozens of a surface."""
    pixels = np.asarray(Image.open(io.BytesIO(element.screenshot())).convert("RGB")).astype(int)
    vivid = pixels[np.ptp(pixels, axis=2) > 60] // 8
    return len(np.unique(vivid, axis=0))


@pytest.mark.slow
def test_the_surface_is_drawn_when_it_is_seen_and_the_switch_shows_one_on_the_same_scale(shown):
    opened = shown()
    assert opened.evaluate("typeof Plotly") == "undefined"
    assert opened.locator("#relief-picture").is_visible()
    opened.locator("#relief").evaluate("one => one.scrollIntoView()")
    opened.wait_for_selector("#relief[data-drawn=yes]", timeout=_WITHIN_MILLISECONDS)
    assert not opened.locator("#relief-picture").is_visible()
    assert painted(opened.locator("#relief-drawn")) > 40
    ranges = "['scene', 'scene2'].map(one => document.getElementById('relief-drawn').layout[one]?.zaxis.range)"
    first, second = opened.evaluate(ranges)
    assert first == second
    opened.get_by_role("button", name="plain: cifar10-plain56-1").click()
    expect(opened.locator("#relief[data-scenes='1']")).to_be_visible(timeout=_WITHIN_MILLISECONDS)
    assert opened.evaluate(ranges) == [first, None]
    assert opened.evaluate("document.getElementById('relief-drawn').data[0].name") == "plain: cifar10-plain56-1"
    assert opened.locator("[aria-pressed=true]").inner_text() == "plain: cifar10-plain56-1"


def test_without_webgl_the_picture_stays_and_the_page_says_why(shown):
    opened = shown(script=_WITHOUT_WEBGL)
    opened.locator("#relief").evaluate("one => one.scrollIntoView()")
    expect(opened.locator("#relief-said")).to_contain_text("no WebGL")
    assert painted(opened.locator("#relief-picture")) > 40
    assert opened.evaluate("typeof Plotly") == "undefined"


def test_without_scripts_the_picture_stands_there(shown):
    opened = shown(java_script_enabled=False)
    assert opened.locator("#relief-picture").is_visible()
    assert painted(opened.locator("#relief-picture")) > 40


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_can_be_read(shown, scheme):
    opened = shown(script=_WITHOUT_WEBGL, color_scheme=scheme)
    opened.eval_on_selector_all("details", "all => all.forEach(one => one.open = true)")
    opened.eval_on_selector_all("svg", "all => all.forEach(one => one.remove())")
    rows = opened.evaluate(CONTRASTS)
    assert len(rows) > 60
    assert [row for row in rows if row["ratio"] < LEAST_CONTRAST] == []


@pytest.mark.parametrize("width", [320, 1000])
def test_the_page_never_scrolls_sideways(shown, width):
    opened = shown(script=_WITHOUT_WEBGL, width=width)
    opened.eval_on_selector_all("details", "all => all.forEach(one => one.open = true)")
    assert opened.evaluate("document.documentElement.scrollWidth") <= width


def test_every_figure_is_drawn_and_described(shown):
    opened = shown(script=_WITHOUT_WEBGL)
    widths = opened.eval_on_selector_all("main svg", "all => all.map(one => one.getBoundingClientRect().width)")
    assert len(widths) == 5
    assert all(width > 200 for width in widths)
    assert opened.locator("main svg:not([role=img][aria-label]), main img:not([alt])").count() == 0


def test_a_page_without_a_surface_to_turn_is_quiet(opened, tmp_path: Path):
    written = Landscape(surface=line()).write(tmp_path / "line.html").page
    assert written is not None
    assert opened(written).locator("main svg").count() == 1
