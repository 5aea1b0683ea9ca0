"""What a network makes of one image: the data, the page, and the page in a browser."""

import base64
import io
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib import colormaps
from PIL import Image
from tests.report.conftest import AWKWARD_NAMES, CONTRASTS, LEAST_CONTRAST

from residua.artifact import Artifact
from residua.data.dataset import Preprocessing
from residua.errors import BadData, BadSetting
from residua.inference.predictor import Predictor
from residua.networks.network import build
from residua.networks.spec import NetworkSpec, Order, small_stem
from residua.report.features import Features, features_of
from residua.report.features_page import SIGNED, UNSIGNED, render, write_features

SIDE = 24
NAME = "猫 <b>one</b> & two.png"


def artifact(order: Order = "original") -> Artifact:
    spec = NetworkSpec(
        stem=small_stem(16),
        blocks=(1, 1),
        widths=(16, 32),
        order=order,
        norm_on_projection=order == "original",
        classes=len(AWKWARD_NAMES),
    )
    preprocessing = Preprocessing(image_size=(SIDE, SIDE), channels=3, mean=(0.5,) * 3, std=(0.25,) * 3)
    weights = build(spec, seed=0).state_dict()
    if order == "original":
        weights["stem.norm.bias"][:5] = -100.0
    return Artifact(specification=spec, classes=AWKWARD_NAMES, preprocessing=preprocessing, weights=weights)


@pytest.fixture(scope="module")
def photograph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Coloured noise of 40×30 pixels under a name that is no HTML, as far as a file's may be."""
    path = tmp_path_factory.mktemp("images") / NAME.replace("/", "-")
    pixels = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture(scope="module")
def found(photograph: Path) -> Features:
    return features_of(artifact(), photograph)


@pytest.fixture(scope="module")
def signed(photograph: Path) -> Features:
    return features_of(artifact("full_preactivation"), photograph)


def pages(*of: Features, folder: Path) -> list[Path]:
    return [
        write_features(one, folder / f"{index}.html", network="resnet<8>", run="a & b") for index, one in enumerate(of)
    ]


def maps_of(page: str) -> list[np.ndarray]:
    """Returns the pictures of maps and their colour bars, section by section, in the order of the page."""
    sections = re.findall(r'<section aria-labelledby="part.*?</section>', page, re.DOTALL)
    addresses = [address for one in sections for address in re.findall(r'src="data:image/png;base64,([^"]+)"', one)]
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(text))).convert("RGB")) for text in addresses]


def test_the_answer_is_the_predictors(found, photograph):
    expected = Predictor(artifact(), device="cpu").predict(photograph)
    assert found.prediction.classes == expected.classes
    assert found.prediction.probabilities == pytest.approx(expected.probabilities)
    assert found.file == photograph.name


def test_the_image_is_what_the_network_sees(found, photograph):
    expected = Image.open(photograph).resize((SIDE, SIDE), Image.Resampling.BILINEAR, box=(5, 0, 35, 30))
    assert np.array_equal(found.image.permute(1, 2, 0).numpy(), np.asarray(expected))


def test_places_have_their_receptive_fields(found, signed):
    assert [place.place for place in found.places] == ["stem", "stage1", "stage2"]
    assert found.receptive_fields == (3, 7, 13)
    assert [place.place for place in signed.places] == ["stem", "stage1", "stage2", "tail"]
    assert signed.receptive_fields == (3, 7, 13, 13)


def test_the_activation_map_is_for_the_answer(found):
    assert found.activation_map.shape == (SIDE, SIDE)
    assert found.activation_map.min() >= 0
    assert found.activation_map.max() == pytest.approx(1, abs=1e-5)
    made, batch = artifact().network(), artifact().preprocessing.normalise(found.image[None])
    label = AWKWARD_NAMES.index(found.prediction.label)
    with torch.no_grad():
        evidence = torch.einsum("c,chw->hw", made.head.weight[label], made.feature_maps(batch)[0]).clamp(min=0)
    enlarged = torch.nn.functional.interpolate(evidence[None, None], (SIDE, SIDE), mode="bilinear")[0, 0]
    assert found.activation_map.flatten().argmax() == enlarged.flatten().argmax()


def test_an_array_and_a_missing_file(photograph):
    assert features_of(artifact(), np.zeros((9, 9), dtype=np.uint8)).file == "image"
    with pytest.raises(BadData, match=r"no\.png"):
        features_of(artifact(), "no.png")


def test_every_pixel_of_a_map_has_the_colour_of_its_value(found, signed):
    for features in (found, signed):
        pictures = iter(maps_of(render(features, network="a", run="b")))
        for place in features.places:
            values = place.maps.numpy()
            high = np.abs(values).max()
            low = -high if place.signed else 0.0
            colours = colormaps[SIGNED if place.signed else UNSIGNED]
            for one in values:
                expected = colours(np.round((one - low) / (high - low) * 255).astype(int), bytes=True)[..., :3]
                assert np.array_equal(next(pictures), expected)
            bar = next(pictures)[0]
            assert np.array_equal(bar, colours(np.arange(256), bytes=True)[:, :3])
        assert next(pictures, None) is None
    assert {place.signed for place in found.places} == {False}
    assert {place.signed for place in signed.places} == {True, False}


def test_scale_dead_channels_and_shape_are_stated(found):
    page = render(found, network="a", run="b")
    assert "5 of 16 channels dead" in page
    assert page.count("no channel is dead") + page.count("channels dead") == 3
    assert "32×12×12" in page
    assert "depends on 13×13 pixels" in page
    assert UNSIGNED in page
    assert SIGNED not in page
    high = float(found.places[0].maps.max())
    assert f"<span>{high:#.3g}</span>" in page


def test_names_are_text_and_the_page_is_complete(found, photograph):
    page = render(found, network="resnet<8>", run="a & b")
    assert "resnet&lt;8&gt;" in page
    assert "<b>one</b>" not in page
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert set(re.findall(r'src="([a-z]+:)', page)) == {"data:"}


def test_at_most_five_answers_are_named(found):
    page = render(found, network="a", run="b")
    assert "The 5 most probable of 6 classes" in page
    assert page.count('class="track"') == 5


def test_a_place_that_cannot_be_written_is_one_line(found, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BadSetting, match="cannot write .*; choose another --out"):
        write_features(found, tmp_path / "file" / "a.html", network="a", run="b")


@pytest.mark.browser
@pytest.mark.parametrize("width", [320, 390, 1200])
def test_the_page_never_scrolls_sideways(opened, tmp_path, found, signed, width):
    for path in pages(found, signed, folder=tmp_path):
        assert opened(path, width=width).evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_can_be_read(opened, tmp_path, found, signed, scheme):
    for path in pages(found, signed, folder=tmp_path):
        rows = opened(path, scheme=scheme).evaluate(CONTRASTS)
        assert len(rows) > 50
        assert [row for row in rows if row["ratio"] < LEAST_CONTRAST] == []


@pytest.mark.browser
def test_every_picture_is_drawn_sharply_and_described(opened, tmp_path, found):
    (path,) = pages(found, folder=tmp_path)
    page = opened(path)
    images = page.eval_on_selector_all(
        "main img",
        """all => all.map(one => ({natural: one.naturalWidth, shown: one.clientWidth, alt: one.alt,
           drawn: getComputedStyle(one).imageRendering, map: one.closest('.maps') !== null}))""",
    )
    maps = [one for one in images if one["map"]]
    assert [one["natural"] for one in maps] == [place.shape[2] for place in found.places for _ in place.channels]
    assert len(images) == len(maps) + len(found.places) + 3
    assert all(one["shown"] > 40 and one["drawn"] == "pixelated" for one in images)
    assert all(one["alt"] for one in images)
    assert {
        page.eval_on_selector_all(".maps", "all => getComputedStyle(all[0]).gridTemplateColumns.split(' ').length")
    } == {6}
