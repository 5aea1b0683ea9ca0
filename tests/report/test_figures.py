"""Figures, and how they become files and parts of a page."""

import io
import re
from typing import Any
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from PIL import Image

from residua.report import figures
from residua.report.style import PALETTE, can_draw, inline, to_png, to_svg


def epochs(number: int, **changed: Any) -> list[dict[str, Any]]:
    def row(epoch: int) -> dict[str, Any]:
        both = {f"{part}_{what}": epoch / 10 for part in ("train", "validation") for what in ("loss", "accuracy")}
        return {"epoch": epoch, "learning_rate": 0.1, **both, **changed}

    return [row(epoch) for epoch in range(1, number + 1)]


def texts(figure: Figure) -> list[str]:
    return [
        element.text or ""
        for element in ElementTree.fromstring(to_svg(figure)).iter("{http://www.w3.org/2000/svg}text")
    ]


def test_curves_pass_through_the_numbers():
    axes = figures.loss_curve(epochs(5), kept=3).axes[0]
    lines = {str(line.get_label()): line for line in axes.lines}
    assert list(lines) == ["training", "validation", "kept: epoch 3"]
    assert np.asarray(lines["validation"].get_xydata()).tolist() == [[epoch, epoch / 10] for epoch in range(1, 6)]


def test_one_epoch_has_one_number_below_it():
    figure = figures.loss_curve(epochs(1), kept=None)
    to_svg(figure)
    axes = figure.axes[0]
    low, high = axes.get_xlim()
    assert [tick for tick in axes.get_xticks() if low <= tick <= high] == [1]


def test_validation_is_drawn_at_the_epochs_that_have_it():
    rows = epochs(4)
    for row in rows[::2]:
        row["validation_accuracy"] = None
    lines = figures.accuracy_curve(rows, kept=None).axes[0].lines
    assert np.asarray(lines[1].get_xdata()).tolist() == [2, 4]


@pytest.mark.parametrize("number", [0, 1, 200])
def test_any_number_of_epochs_can_be_drawn(number):
    assert to_png(figures.curves(epochs(number), kept=1)).startswith(b"\x89PNG")


def test_all_three_curves_are_in_the_exported_figure():
    assert {"Loss", "Accuracy", "Learning rate"} <= set(texts(figures.curves(epochs(3), kept=2)))


def test_a_dot_stands_at_confidence_and_accuracy_with_an_area_that_follows_its_images():
    rows = [{"confidence": 0.3, "accuracy": 0.2, "images": 10}, {"confidence": 0.9, "accuracy": 0.95, "images": 90}]
    (dots,) = [part for part in figures.calibration(rows).axes[0].collections if isinstance(part, PathCollection)]
    assert np.asarray(dots.get_offsets()).tolist() == [[0.3, 0.2], [0.9, 0.95]]
    small, large = dots.get_sizes()
    assert large > 3 * small


def test_counts_and_names_are_written_into_a_small_matrix():
    drawn = texts(figures.confusion([[5, 1], [0, 7]], ("ants", "bees")))
    assert {"5", "1", "7", "ants", "bees"} <= set(drawn)
    assert "0" not in drawn


def test_names_without_glyphs_become_numbers():
    drawn = texts(figures.confusion([[5, 1], [0, 7]], ("猫", "dog")))
    assert "dog" not in drawn
    assert {"0", "1", "predicted class, by number"} <= set(drawn)


def test_dollars_and_backslashes_in_names_are_no_mathematics():
    assert "$x$ \\frac" in texts(figures.confusion([[5, 1], [0, 7]], ("$x$ \\frac", "dog")))


def test_long_names_are_cut():
    assert "a very long nam…" in texts(figures.confusion([[5, 1], [0, 7]], ("a very long name of a class", "b")))


def test_a_large_matrix_shows_each_row_by_its_shares():
    matrix = np.diag(np.arange(1, 61))
    matrix[0] = [1, 3] + [0] * 58
    (image,) = figures.confusion(matrix.tolist(), [str(n) for n in range(60)]).axes[0].images
    alpha = np.asarray(image.get_array())[..., 3]
    assert alpha[0, :3] == pytest.approx([0.45, 0.9 * 0.75**0.5, 0])
    assert alpha[5, 5] == alpha[59, 59] == pytest.approx(0.9)


def test_a_class_without_images_leaves_its_row_empty():
    (image,) = figures.confusion([[0, 0], [1, 1]], ("a", "b")).axes[0].images
    assert np.asarray(image.get_array())[0, :, 3].tolist() == [0, 0]


def test_a_figure_follows_the_page_and_carries_no_fixed_colour():
    element = inline(to_svg(figures.curves(epochs(3), kept=2)), "curves", "Curves")
    assert "var(--figure-train)" in element
    assert "var(--figure-held)" in element
    assert set(re.findall(r"#[0-9a-f]{6}\b", element)) == set()


def test_an_inlined_figure_is_described_and_keeps_its_references():
    element = inline(to_svg(figures.loss_curve(epochs(1), kept=None)), "a", 'Loss & "more" <i>')
    root = ElementTree.fromstring(element)
    assert root.attrib["aria-label"] == 'Loss & "more" <i>'
    known = {part.attrib["id"] for part in root.iter() if "id" in part.attrib}
    asked = re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', element)
    assert asked
    assert {one or other for one, other in asked} <= known
    assert all(name.startswith("a-") for name in known)


def test_the_same_figure_gives_the_same_bytes():
    first, second = (to_svg(figures.curves(epochs(4), kept=2)) for _ in range(2))
    assert first == second


def test_text_in_a_figure_is_text():
    assert "Loss" in texts(figures.loss_curve(epochs(2), kept=None))


def test_drawing_leaves_the_settings_of_matplotlib_alone():
    before = dict(matplotlib.rcParams)
    to_svg(figures.curves(epochs(2), kept=1))
    to_png(figures.calibration([]))
    assert dict(matplotlib.rcParams) == before


def test_an_exported_png_is_on_paper():
    with Image.open(io.BytesIO(to_png(figures.calibration([])))) as image:
        assert image.convert("RGB").getpixel((0, 0)) == tuple(bytes.fromhex(PALETTE["paper"][1:]))


@pytest.mark.parametrize(("names", "drawable"), [(("ant", "Käfer", "ель"), True), (("猫",), False), (("a\nb",), False)])
def test_the_font_is_asked_for_every_glyph(names, drawable):
    assert can_draw(names) is drawable
