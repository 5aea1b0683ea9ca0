"""The page of a landscape: what it says, what it holds, what it never does; and the files beside it."""

import base64
import hashlib
import html
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.report.fabricated_surfaces import bowl, comparison, curvature, line, numbers, partial, rough, surface, traced

from residua.errors import BadSetting
from residua.report.landscape_page import Landscape, render, sections_of
from residua.report.landscape_sections import comparison_section

TWINS = Landscape(comparison=comparison(), curvature=curvature())


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    found = TWINS.write(tmp_path_factory.mktemp("page") / "page.html")
    assert found.page is not None
    return found.page.read_text(encoding="utf-8")


def words(page: str) -> str:
    body = re.sub(r"<(style|script)[^>]*>.*?</\1>", "", page, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body)).split())


def test_the_verdict_comes_before_the_figures_and_the_numbers_behind_them(page):
    text = words(page)
    places = [
        text.index(said)
        for said in (
            "The loss around cifar10-resnet56-1 and its plain twin",
            "the plain network’s surface is the rougher by all 4 numbers",
            "The surface in space",
            "The twins in numbers",
            "Where the surface curves down",
            "Curvature in all directions",
            "How this was measured",
        )
    ]
    assert places == sorted(places)


def test_every_policy_has_its_numbers_with_their_spread_over_draws(page):
    text = words(page)
    assert "With running statistics frozen number residual plain rougher median loss 4.05 (3.80 to 4.40)" in text
    assert "795 (310 to 1,210) plain" in text
    assert "With statistics recalibrated at every point number residual plain rougher median loss 1.90" in text
    assert "25 × 25 cells on 256 images" in text
    assert "9 × 9 cells on 256 images" in text


def test_how_it_was_measured_is_said(page):
    text = words(page)
    for expected in (
        "direction x Gaussian, seed 0, normalised by filter; −1 to 1, 25 points",
        "running statistics frozen; 55 norms folded into convolutions",
        "bfloat16; beside float32 on 15 cells the loss differs by 0.2\u202f% (median) and 1.2\u202f% (worst)",
        "5 min 12 s for all cells",
        "1.92, gradient norm 2.30, no minimum: the gradient’s norm is 2.3",
    ):
        assert " ".join(expected.split()) in text


def test_the_page_runs_two_scripts_by_digest_and_loads_nothing(page):
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page)
    assert policy is not None
    allowed = html.unescape(policy[1])
    assert allowed.startswith("default-src 'none'")
    script = re.findall(r"<script>(.*?)</script>", page, flags=re.DOTALL)
    assert len(script) == 1
    assert base64.b64encode(hashlib.sha256(script[0].encode()).digest()).decode() in allowed
    addresses = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert all(address.startswith(("data:", "#")) for address in addresses)
    assert "2.0 MB of it are plotly.js" in words(page)


def test_a_surface_under_way_says_how_far_it_is_and_loads_itself_anew(tmp_path: Path):
    text = render(Landscape(surface=partial()), seconds_left=41.0)
    assert '<meta http-equiv="refresh" content="4">' in text
    assert "49.9\u202f% of the cells are computed, about 41 s left" in html.unescape(text)
    assert "<script" not in text
    assert len(text) < 200_000


def test_what_nobody_computes_any_more_never_loads_itself_anew(page):
    """Finished; or some machines' parts put together, with others missing."""
    assert 'http-equiv="refresh"' not in page
    assert 'http-equiv="refresh"' not in render(Landscape(surface=partial()))


def test_a_line_has_no_surface_to_turn_and_so_no_script():
    text = render(Landscape(surface=line()))
    assert "<script" not in text
    assert "script-src" not in text


def test_names_are_text_not_html():
    named = replace(surface(bowl(5)), name="<b>猫</b>", remarks=("<i>a remark</i>",))
    text = render(Landscape(surface=named))
    assert "<b>猫" not in text
    assert "<i>a remark" not in text
    assert "<i>a remark</i>" in words(text)


def test_sections_follow_what_was_measured():
    def names(found: Landscape) -> list[str]:
        return [section.name for section in sections_of(found)]

    assert names(TWINS) == ["twins", "convexity", "cells", "curvature"]
    assert names(Landscape(surface=traced())) == ["numbers", "convexity", "trail", "cells"]
    assert names(Landscape(surface=replace(line(), numbers=None))) == []
    assert names(Landscape(curvature=curvature())) == ["curvature"]
    assert names(Landscape(surface=replace(surface(), plane=None, numbers=None))) == ["cells"]


def test_a_centre_that_is_no_minimum_and_an_unlike_path_are_said():
    found = comparison().plain
    assert "The centre is no minimum: the gradient’s norm is 2.3" in " ".join(Landscape(surface=found).sentences)
    text = " ".join(section.says for section in sections_of(Landscape(surface=traced())))
    assert "89.0\u202f% of the path’s variance lies in the plane" in text


def test_the_record_has_the_numbers_and_no_cells():
    known = Landscape(comparison=replace(comparison(), residual=surface(rough()))).to_json()
    text = json.dumps(known, allow_nan=False)
    assert len(text) < 12_000
    assert known["comparison"]["rows"][1]["numbers"][0]["median"] == 795
    assert known["comparison"]["residual"]["cells"][0]["infinite"] == 6
    assert known["comparison"]["residual"]["cells"][0]["largest"] == "inf"
    assert known["page"] is None


def test_saved_cells_come_back_to_the_bit(tmp_path: Path):
    found = Landscape(surface=replace(partial(), plane=surface().plane))
    found.save(tmp_path / "surface.npz")
    with np.load(tmp_path / "surface.npz") as kept:
        assert found.surface is not None
        np.testing.assert_array_equal(kept["loss_train"], found.surface.cells[0].loss)
        np.testing.assert_array_equal(kept["x"], found.surface.grid.axes[0].values)
        assert kept["plane_xx"].shape == (13, 13)
        assert json.loads(str(kept["about"]))["surface"]["done"] == pytest.approx(found.done)


def test_twins_are_saved_side_by_side(tmp_path: Path):
    TWINS.save(tmp_path / "twins.npz")
    with np.load(tmp_path / "twins.npz") as kept:
        np.testing.assert_array_equal(kept["plain_loss_train"], comparison().plain.cells[0].loss)
        assert "residual_loss_train" in kept


def test_the_twins_caption_says_how_sure_the_ranges_are_and_what_has_no_hessian():
    """The range of three independent draws holds the median of their distribution with 1 − 2⁻²."""
    found = comparison_section(comparison()).caption
    assert "3 draws of the directions (smallest to largest; with 75.0" in found
    assert "Statistics that are recalibrated have no Hessian" in found
    frozen = replace(comparison(), rows=tuple(row for row in comparison().rows if row.policy == "frozen"))
    assert "no Hessian" not in comparison_section(frozen).caption


def test_figures_are_files_in_place_of_those_of_before(tmp_path: Path):
    kept = ("loss.svg", "landscape-path.html", "landscape-twins.json")
    for name in ("landscape-old.svg", *kept):
        (tmp_path / name).write_text("")
    Landscape(surface=replace(surface(bowl(5)), plane=None)).write_figures(tmp_path)
    drawn = {f"landscape-{name}.{kind}" for name in ("contours", "cells", "errors") for kind in ("svg", "png")}
    assert {path.name for path in tmp_path.iterdir()} == {*kept, "landscape-relief.png", *drawn}


def test_a_place_that_cannot_be_written_is_said_in_one_line(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BadSetting, match="cannot write .*choose a place with --out"):
        Landscape(surface=line()).write(tmp_path / "file" / "page.html")


def test_the_same_landscape_gives_the_same_page():
    small = Landscape(surface=replace(surface(bowl(5)), plane=None))
    assert render(small) == render(small)


def test_how_much_is_done_counts_the_cells_of_both_twins():
    half = replace(comparison(), plain=partial())
    assert Landscape(comparison=half).done == pytest.approx((625 + 312) / 1250)


def test_a_notebook_shows_the_verdict_and_the_map_and_a_repr_the_names():
    card = TWINS._repr_html_()
    assert "rougher by all 4 numbers" in card
    assert "<script" not in card
    assert repr(TWINS) == "Landscape('cifar10-resnet56-1', 'cifar10-plain56-1', done 100%)"
    assert "rougher by all" in TWINS.says


def test_a_map_whose_rounding_would_be_measured_has_no_roughness():
    unknown = replace(surface(), numbers=numbers(roughness=float("nan")))
    found = Landscape(surface=unknown)
    assert "roughness" not in found.says
    assert "not a number" not in render(found)
