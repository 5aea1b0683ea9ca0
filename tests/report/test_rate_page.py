"""The page of a learning-rate range test, and its line on the terminal."""

import html
import re
from pathlib import Path
from typing import Any

import numpy as np

from residua.report.rate_page import rate_curve, rate_line, write_rate_page
from residua.training.rate_finder import RateTest, TriedRate


def some_test(**changes: Any) -> RateTest:
    """A loss that falls from 2.3 to 1.1 and then explodes; smoothed and single losses are the same."""
    rates = [10 ** (-5 + i / 10) for i in range(60)]
    losses = [2.3 - 1.2 * min(1, i / 40) + (0 if i < 45 else 0.2 * (i - 45) ** 2) for i in range(60)]
    tried = tuple(TriedRate(rate=r, loss=x, smoothed=x) for r, x in zip(rates, losses, strict=True))
    return RateTest(**({"tried": tried, "recipe_rate": 0.2, "ended": "diverged"} | changes))


def written(found: RateTest, folder: Path) -> str:
    path = write_rate_page(folder / "rate.html", found, title="<b>net</b> on photos", command="residua train 'a b'")
    return path.read_text(encoding="utf-8")


def words(page: str) -> str:
    body = re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body)).split())


def test_the_line_has_the_suggested_rate_beside_the_recipes():
    assert rate_line(some_test()) == "suggested learning rate 0.010; the recipe’s is 0.20"
    assert "\n" not in rate_line(some_test(tried=()))
    assert "no learning rate lowered the loss (not finite after 0 steps)" in rate_line(
        some_test(tried=(), ended="not finite")
    )


def test_a_loss_that_still_falls_at_the_end_is_said():
    falling = some_test(tried=some_test().tried[:40], ended="all rates tried")
    assert "still falling at the largest rate" in rate_line(falling)


def test_the_curve_passes_through_the_losses_on_a_logarithmic_axis():
    rows = [{"rate": s.rate, "loss": s.loss, "smoothed": s.smoothed} for s in some_test().tried]
    axes = rate_curve(rows, suggested=0.01, recipe_rate=0.2).axes[0]
    lines = {str(line.get_label()): np.asarray(line.get_xydata()) for line in axes.lines}
    assert list(lines) == ["each step", "smoothed", "the recipe’s", "suggested"]
    assert lines["smoothed"].tolist() == [[row["rate"], row["smoothed"]] for row in rows]
    assert (lines["suggested"][0, 0], lines["the recipe’s"][0, 0]) == (0.01, 0.2)
    assert axes.get_xscale() == "log"
    assert axes.get_ylim()[1] < 3  # what diverges runs out of the figure


def test_the_page_is_complete_and_says_the_rule_with_its_source(tmp_path: Path):
    page = written(some_test(), tmp_path)
    assert "default-src 'none'" in page
    assert "<b>net</b>" not in page
    assert "var(--figure-held)" in page
    said = words(page)
    for expected in ("0.010 suggested", "the recipe’s is 0.20", "Smith 2017", "a tenth of that", "residua train 'a b'"):
        assert expected in said


def test_a_test_without_a_suggestion_has_a_page(tmp_path: Path):
    said = words(written(some_test(tried=(), ended="not finite"), tmp_path))
    assert "No learning rate lowered the loss" in said
    assert "To train with it" not in said
