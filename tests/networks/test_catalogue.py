"""The names: each means one network, and what its line says is so."""

import re
from collections.abc import Callable

import pytest

from residua.errors import BadSetting
from residua.networks import catalogue, cost
from residua.networks.spec import deep_stem, photograph_stem, small_stem

IMAGES = {"photograph": (3, 224, 224), "resnet34-no-norm": (3, 64, 64), "resnet18-textbook": (1, 96, 96)}


def test_the_names_are_those_of_the_papers_and_their_twins() -> None:
    residual = list(catalogue.PRESETS)
    assert residual == [
        *("resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "resnet200"),
        *("resnet8", "resnet14", "resnet20", "resnet32", "resnet44", "resnet56", "resnet110", "resnet1202"),
        *("resnet8-average-pooled", "resnet14-average-pooled", "resnet20-average-pooled"),
        *("resnet164", "resnet1001", "resnet164-preactivation", "resnet1001-preactivation"),
        *("wide_resnet50_2", "wide_resnet101_2", "resnext50_32x4d", "resnext101_32x8d", "resnext101_64x4d"),
        *("resnet50c", "resnet50d", "se_resnet18", "se_resnet34", "se_resnet50", "se_resnet101"),
        *("wrn-16-4", "wrn-16-8", "wrn-28-10", "wrn-40-4"),
        *("fast-resnet8", "fast-resnet8-narrow"),
        *("resnet18-small-stem", "resnet18-textbook", "resnet34-no-norm", "resnet34-pooled"),
    ]
    twins = catalogue.names()[len(residual) :]
    assert catalogue.names()[: len(residual)] == tuple(residual)
    assert [name for name in twins if "wrn" not in name and "resnext" not in name] == [
        name.replace("resnet", "plain") for name in residual if "wrn" not in name and "resnext" not in name
    ]
    assert {"plain-wrn-28-10", "plain-resnext50_32x4d", "wide_plain50_2", "se_plain50"} < set(twins)
    assert len(set(catalogue.names())) == 2 * len(residual)


@pytest.mark.parametrize("name", catalogue.names())
def test_the_number_in_a_name_is_the_depth(name: str) -> None:
    """Weighted layers as the papers count them: 6n+2, 9n+2, and those of Table 1.

    Wide networks for small images are counted with their three projections and without the head (Zagoruyko and
    Komodakis 2016, Table 1: 6n+4), and three layers in place of one in the stem do not change a name.
    """
    found = re.search(r"\d+", name)
    assert found is not None
    spec = catalogue.specification(name)
    projections_for_head = 3 - 1 if "wrn" in name else 0
    assert spec.depth - (spec.stem.convolutions - 1) + projections_for_head == int(found.group())


@pytest.mark.parametrize("name", sorted(catalogue.PRESETS))
def test_an_error_in_a_listing_is_one_that_its_family_cites(name: str) -> None:
    """He et al. 2019 give accuracies: 100 − 77.16."""
    quoted = re.search(r"error ([\d.]+)", catalogue.summary(name))
    if quoted is not None:
        text = catalogue.description(name).removeprefix(catalogue.summary(name))
        assert quoted.group(1) in text or f"{100 - float(quoted.group(1)):.2f}" in text


@pytest.mark.parametrize("name", sorted(catalogue.PRESETS))
def test_the_numbers_of_a_listing_are_those_of_the_network(name: str) -> None:
    line, spec = catalogue.summary(name), catalogue.specification(name)
    images = IMAGES.get(name) or (IMAGES["photograph"] if spec.for_photographs else (3, 32, 32))
    inspection = cost.inspect(spec, images)
    assert f"{inspection.parameters / 1e6:.2f} M parameters" in line
    unit, size = ("G", 1e9) if "G multiply-adds" in line else ("M", 1e6)
    digits = 2 if unit == "G" else 1
    assert f"{inspection.multiply_adds / size:.{digits}f} {unit} multiply-adds" in line


@pytest.mark.parametrize("name", catalogue.names())
def test_every_name_is_described(name: str) -> None:
    line = catalogue.summary(name)
    assert 20 < len(line) < 130
    assert "\n" not in line
    description = catalogue.description(name)
    assert description.startswith(line)
    assert "Returns" in description


def test_a_plain_twin_names_its_own_error() -> None:
    """He et al. 2015, Table 2."""
    assert "28.54" in catalogue.summary("plain34")
    assert "24.52" not in catalogue.summary("plain34")


@pytest.mark.parametrize("name", sorted(catalogue.PRESETS))
def test_twins_are_the_same_but_for_the_shortcut(name: str) -> None:
    twin = catalogue.specification(catalogue.plain_name(name))
    assert twin == catalogue.specification(name).plain_twin()
    assert twin.is_plain
    assert catalogue.residual_name(catalogue.plain_name(name)) == name


def test_the_stems_are_for_photographs_or_keep_the_size() -> None:
    assert catalogue.specification("resnet50").stem == photograph_stem(64)
    assert catalogue.specification("resnet20").stem == small_stem(16)
    assert catalogue.specification("resnet18-small-stem").stem == small_stem(64)
    assert catalogue.specification("resnet18-textbook").stem == photograph_stem(64, bias=True)
    assert catalogue.specification("resnet50d").stem == deep_stem(64)
    assert catalogue.specification("wrn-28-10").stem == small_stem(16)


def test_classes_and_channels_can_be_chosen_and_are_kept_otherwise() -> None:
    chosen = catalogue.specification("plain20", classes=7, in_channels=1)
    assert (chosen.classes, chosen.in_channels) == (7, 1)
    kept = catalogue.specification("resnet18-textbook")
    assert (kept.classes, kept.in_channels) == (10, 1)
    assert catalogue.specification("resnet34-no-norm").classes == 200


def test_no_classes_at_all_are_refused() -> None:
    with pytest.raises(BadSetting, match="classes is 0"):
        catalogue.specification("resnet20", classes=0)


@pytest.mark.parametrize("ask", [catalogue.specification, catalogue.summary, catalogue.description])
@pytest.mark.parametrize(
    ("name", "nearest"),
    [("resnet18_textbook", "resnet18-textbook"), ("plain34-nonorm", "plain34-no-norm"), ("resnet-50", "resnet50")],
)
def test_an_unknown_name_is_refused_with_the_nearest(ask: Callable[[str], object], name: str, nearest: str) -> None:
    with pytest.raises(BadSetting, match=f"'{name}' is no network; did you mean '{nearest}'"):
        ask(name)
