"""The heat map of a watched training, its page, its place in the run's report, its card."""

import html
import math
import re
from pathlib import Path

import numpy as np
import pytest
from tests.report.conftest import CONTRASTS, LEAST_CONTRAST

from residua import files
from residua.diagnostics.motion import BlockMotion, Sample
from residua.report.page import write_report
from residua.report.watch_figure import _NOT_FINITE, _ZERO, cells, columns_of, heat_map
from residua.report.watch_page import watch_card, write_watch_page


def sample(step: int, *motions: tuple[str, float | None, float]) -> Sample:
    """A step of blocks by name, gradient and ratio."""
    blocks = tuple(BlockMotion(block=name, gradient=g, weights=2.0, update=2.0 * ratio) for name, g, ratio in motions)
    return Sample(step=step, learning_rate=0.1, blocks=blocks)


def some_samples(count: int = 30, *, bad_from: int | None = None) -> list[Sample]:
    """Blocks ``stem``, ``<b>``, ``head``, the last frozen in the first ten samples."""
    found = []
    for i in range(count):
        bad = bad_from is not None and i >= bad_from
        rows = [("stem", None if bad else 1.0 + i, 1e-3), ("<b>", 0.5, 1e-3 if i else 0.0), ("head", 0.1, 1e-2)]
        found.append(sample(1 + 10 * i, *rows[: 2 if i < 10 else 3]))
    return found


def words(page: str) -> str:
    body = re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body)).split())


def test_a_cell_is_the_median_of_its_samples_infinite_with_any_and_empty_without():
    columns = [[sample(1, ("a", 1.0, 1.0)), sample(2, ("a", 3.0, 1.0))], [sample(3, ("a", None, 1.0), ("b", 2.0, 1.0))]]
    found = cells(columns, ["a", "b"], lambda one: math.inf if one.gradient is None else one.gradient)
    assert np.array_equal(found, [[2.0, math.inf], [math.nan, 2.0]], equal_nan=True)


@pytest.mark.parametrize("count", [1, 240, 241, 1000])
def test_many_samples_share_columns_and_none_is_left_out(count):
    found = some_samples(count)
    columns = columns_of(found)
    assert [one for column in columns for one in column] == found
    assert len(columns) <= 240


def test_the_map_shows_what_is_zero_not_finite_and_not_there():
    figure = heat_map(some_samples(bad_from=20))
    ratio, gradient = (axes.images[0].get_array() for axes in figure.axes[:2])
    assert ratio is not None
    assert gradient is not None
    assert ratio.shape == gradient.shape == (3, 30, 4)

    def colour(table: np.ndarray, row: int, column: int) -> str:
        return "#" + "".join(f"{round(255 * part):02x}" for part in table[row, column, :3])

    assert colour(gradient, 0, 20) == _NOT_FINITE
    assert colour(gradient, 0, 19) not in (_NOT_FINITE, _ZERO)
    assert colour(ratio, 1, 0) == _ZERO
    assert ratio[2, 9, 3] == 0
    assert ratio[2, 10, 3] == 1
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == ["stem", "<b>", "head"]


def test_a_block_that_learns_later_stands_where_it_belongs():
    late = [sample(1, ("b", 1.0, 1e-3)), sample(2, ("a", 1.0, 1e-3), ("b", 1.0, 1e-3))]
    assert [text.get_text() for text in heat_map(late).axes[0].get_yticklabels()] == ["a", "b"]


def test_the_map_is_marked_at_the_first_sign_alone():
    marked, plain = heat_map(some_samples(bad_from=20)), heat_map(some_samples())
    assert [np.asarray(axes.lines[0].get_xdata()).tolist() for axes in marked.axes[:2]] == [[20, 20], [20, 20]]
    assert [len(axes.lines) for axes in plain.axes[:2]] == [0, 0]


def test_steps_are_written_below_the_samples_that_hold_them():
    axes = heat_map(some_samples(101)).axes[0]
    at = {text.get_text(): place for place, text in zip(axes.get_xticks(), axes.get_xticklabels(), strict=True)}
    assert at["600"] == pytest.approx(59.9)
    assert "1,000" in at


def test_the_page_says_the_first_sign_and_escapes_what_is_a_name(tmp_path: Path):
    path = write_watch_page(tmp_path / "w.html", some_samples(bad_from=20), title="<i>Net</i>")
    page = path.read_text(encoding="utf-8")
    assert "First sign of trouble: step 201: the gradient is no finite number in stem." in words(page)
    assert "Every 10th step" in words(page)
    assert "<i>Net" not in page
    assert "<b>" not in page
    assert "default-src 'none'" in page
    assert "No sign of trouble in 30 samples" in words(
        write_watch_page(tmp_path / "w.html", some_samples(), title="Net").read_text(encoding="utf-8")
    )


def test_a_watch_without_samples_has_a_page_and_a_card(tmp_path: Path):
    page = write_watch_page(tmp_path / "w.html", (), title="Net").read_text(encoding="utf-8")
    assert "No step was sampled" in words(page)
    assert "No step was sampled" in watch_card(())
    assert "var(--figure-ink)" in watch_card(some_samples())


def test_the_report_of_a_run_has_the_section_where_it_was_watched(make_run):
    run = make_run()
    assert "While it trained" not in words(write_report(run).read_text(encoding="utf-8"))
    assert not (run / "figures" / "watch.svg").exists()
    files.write_json_lines(run / "watch.jsonl", [one.to_json() for one in some_samples()])
    assert "While it trained No sign of trouble in 30 samples." in words(write_report(run).read_text(encoding="utf-8"))
    assert {path.name for path in (run / "figures").glob("watch.*")} == {"watch.svg", "watch.png"}


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_can_be_read_and_never_scrolls_sideways(opened, tmp_path, scheme):
    path = write_watch_page(tmp_path / "w.html", some_samples(bad_from=20), title="Net")
    page = opened(path, scheme=scheme, width=390)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    rows = page.evaluate(CONTRASTS)
    assert len(rows) > 20
    assert [row for row in rows if row["ratio"] < LEAST_CONTRAST] == []
    assert page.locator("figure svg image").count() == 4
