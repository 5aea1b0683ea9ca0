"""The names: each means one network, and what its line says is so."""

import os
import re
import subprocess
import sys
from collections.abc import Callable

import pytest

from residua.errors import BadSetting
from residua.networks import catalogue, cost
from residua.networks.spec import photograph_stem, small_stem

IMAGES = {"photograph": (3, 224, 224), "resnet34-no-norm": (3, 64, 64), "resnet18-textbook": (1, 96, 96)}


def test_the_names_are_those_of_the_papers_and_their_twins() -> None:
    residual = [name for name in catalogue.names() if name.startswith("resnet")]
    assert residual == [
        *("resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "resnet200"),
        *("resnet8", "resnet14", "resnet20", "resnet32", "resnet44", "resnet56", "resnet110", "resnet1202"),
        *("resnet8-average-pooled", "resnet14-average-pooled", "resnet20-average-pooled"),
        *("resnet164", "resnet1001", "resnet164-preactivation", "resnet1001-preactivation"),
        *("resnet18-small-stem", "resnet18-textbook", "resnet34-no-norm", "resnet34-pooled"),
    ]
    assert list(catalogue.names()[len(residual) :]) == [name.replace("resnet", "plain") for name in residual]


@pytest.mark.parametrize("name", catalogue.names())
def test_the_number_in_a_name_is_the_depth(name: str) -> None:
    """Weighted layers as the papers count them: 6n+2, 9n+2, and those of Table 1."""
    found = re.search(r"\d+", name)
    assert found is not None
    assert catalogue.specification(name).depth == int(found.group())


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


def test_listing_the_networks_needs_no_torch() -> None:
    """A command line that only names networks starts at once."""
    program = (
        "import sys\n"
        "from residua.networks import catalogue\n"
        "[(catalogue.summary(name), catalogue.specification(name)) for name in catalogue.names()]\n"
        "assert 'torch' not in sys.modules, 'torch was imported'\n"
    )
    subprocess.run(
        [sys.executable, "-c", program], check=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    )
