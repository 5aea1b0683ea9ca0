"""The drawing as a file, and in a browser: everything inside its place, and readable in light and dark."""

import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from residua.errors import BadSetting
from residua.networks import catalogue, cost
from residua.networks.spec import NetworkSpec, small_stem
from residua.report.anatomy import Box
from residua.report.columns import HUES
from residua.report.diagram import write_diagram
from residua.report.dissection import dissect

SVG = "{http://www.w3.org/2000/svg}"
LEAST_CONTRAST = 4.5
"""Of text against the box it stands in (WCAG 2.2, 1.4.3)."""

SPECS = {
    "resnet34": catalogue.specification("resnet34"),
    "resnet152": catalogue.specification("resnet152"),
    "plain34": catalogue.specification("plain34"),
    "resnet1202": catalogue.specification("resnet1202"),
    "resnet164-preactivation": catalogue.specification("resnet164-preactivation"),
    "resnext101_32x8d": catalogue.specification("resnext101_32x8d"),
    "se_resnet50": catalogue.specification("se_resnet50"),
    "fixup": replace(
        catalogue.specification("resnet50"), norm="none", norm_on_projection=False, initialization="fixup"
    ),
    "gates of six stages": NetworkSpec(
        stem=small_stem(8), blocks=(1, 2, 3, 7, 1, 1), widths=(8, 16, 32, 32, 64, 64), shortcut="exclusive_gating"
    ),
    'a run with a long name of 猫 & <b>dogs</b> "quoted" in the garden, once more in spring, and in autumn again': (
        catalogue.specification("resnet18")
    ),
}

MISPLACED = """() => {
  const page = document.documentElement.viewBox.baseVal, found = [];
  const texts = [...document.querySelectorAll('text')].map(one => [one, one.getBBox()]);
  const rects = [...document.querySelectorAll('rect:not(.paper)')].map(one => one.getBBox());
  const inside = (a, b) => a.x >= b.x && a.y >= b.y
    && a.x + a.width <= b.x + b.width && a.y + a.height <= b.y + b.height;
  const overlap = (a, b) => a.x < b.x + b.width - 1 && b.x < a.x + a.width - 1
    && a.y < b.y + b.height - 4 && b.y < a.y + a.height - 4;
  for (const [one, box] of texts) {
    if (!inside(box, page)) found.push(`${one.textContent} leaves the page`);
    if (one.matches('.row, .small') && !rects.some(rect => inside(box, rect)))
      found.push(`${one.textContent} leaves its box`);
    for (const [other, its] of texts)
      if (one !== other && overlap(box, its)) found.push(`${one.textContent} lies on ${other.textContent}`);
  }
  for (const rect of rects) if (!inside(rect, page)) found.push('a box leaves the page');
  return found;
}"""

TEXT_CONTRASTS = """() => {
  const numbers = colour => colour.match(/[\\d.]+/g).slice(0, 3).map(Number);
  const luminance = colour => numbers(colour).map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const rects = [...document.querySelectorAll('rect')];
  return [...document.querySelectorAll('text')].map(one => {
    const box = one.getBBox(), x = box.x + box.width / 2, y = box.y + box.height / 2;
    const under = rects.filter(rect => {
      const b = rect.getBBox(); return b.x <= x && x <= b.x + b.width && b.y <= y && y <= b.y + b.height;
    }).at(-1);
    const [a, b] = [luminance(getComputedStyle(one).fill), luminance(getComputedStyle(under).fill)];
    return {text: one.textContent, ratio: (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)};
  });
}"""


def drawn(folder: Path, name: str) -> Path:
    spec = SPECS[name]
    side = 224 if spec.for_photographs else 64
    return write_diagram(folder / "a.svg", spec, cost.inspect(spec, (spec.in_channels, side, side)), name=name)


@pytest.mark.parametrize("name", SPECS)
def test_it_is_an_image_with_a_title_and_a_description(tmp_path, name):
    root = ElementTree.parse(drawn(tmp_path, name)).getroot()
    title, description = root.find(f"{SVG}title"), root.find(f"{SVG}desc")
    assert title is not None
    assert title.text == name
    assert description is not None
    assert "weighted layers" in str(description.text)
    width, height = map(float, root.attrib["viewBox"].split()[2:])
    assert (float(root.attrib["width"]), float(root.attrib["height"])) == (width, height)


@pytest.mark.parametrize("name", SPECS)
def test_it_draws_a_way_round_every_block_that_has_one(tmp_path, name):
    spec, root = SPECS[name], ElementTree.parse(drawn(tmp_path, name)).getroot()
    shown = dissect(spec, cost.inspect(spec, (3, 224, 224)), name=name)
    blocks = [item for column in shown.columns for item in column.items if isinstance(item, Box)]
    for line in ("identity", "changed"):
        paths = [path for path in root.iter(f"{SVG}path") if path.attrib["class"] == line]
        own = sum(block.shortcut == line for block in blocks)
        in_legend = sum(sign == line or (sign == "weighed" and line == "identity") for sign, _ in shown.legend)
        assert len(paths) == own + in_legend + (shown.inside.line == line)


def test_every_part_has_its_style_and_every_hue_its_dark_one(tmp_path):
    for name in SPECS:
        text = drawn(tmp_path, name).read_text(encoding="utf-8")
        style = re.search(r"<style>(.*?)</style>", text, re.DOTALL)
        assert style
        light, dark = style[1].split("@media (prefers-color-scheme: dark)")
        used = {part for kinds in re.findall(r'class="([^"]+)"', text) for part in kinds.split()} - {"head"}
        styled = set(re.findall(r"\.([a-z][a-z0-9-]*)", light))
        assert used <= styled
        assert {f"hue{number + 1}" for number in range(HUES)} <= set(re.findall(r"\.(hue\d)", dark))


def test_it_needs_nothing_from_outside_and_runs_nothing(tmp_path):
    text = drawn(tmp_path, "resnet34").read_text(encoding="utf-8")
    assert re.findall(r"(?:href|src|url)\W", text) == []
    assert "<script" not in text
    assert re.findall(r'\bid="', text) == []


def test_the_same_network_gives_the_same_file(tmp_path):
    assert drawn(tmp_path, "resnet34").read_bytes() == drawn(tmp_path, "resnet34").read_bytes()


def test_a_place_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    spec = SPECS["resnet1202"]
    with pytest.raises(BadSetting, match="cannot write .*; name another file"):
        write_diagram(tmp_path / "file" / "a.svg", spec, cost.inspect(spec, (3, 32, 32)), name="a")


@pytest.mark.browser
@pytest.mark.parametrize("name", SPECS)
def test_nothing_overlaps_or_leaves_its_place(tmp_path, opened, name):
    assert opened(drawn(tmp_path, name)).evaluate(MISPLACED) == []


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["gates of six stages", "resnet164-preactivation"])
def test_all_text_can_be_read_on_its_box(tmp_path, opened, name, scheme):
    rows = opened(drawn(tmp_path, name), scheme=scheme).evaluate(TEXT_CONTRASTS)
    assert len(rows) > 50
    assert [row for row in rows if row["ratio"] < LEAST_CONTRAST] == []


@pytest.mark.browser
def test_the_two_schemes_differ(tmp_path, opened):
    path = drawn(tmp_path, "resnet34")
    fills = [
        opened(path, scheme=scheme).evaluate("getComputedStyle(document.querySelector('.paper')).fill")
        for scheme in ("light", "dark")
    ]
    assert fills[0] != fills[1]
