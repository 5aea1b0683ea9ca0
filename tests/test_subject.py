"""What a NETWORK argument means."""

from pathlib import Path

import pytest
from torch import nn

from residua import configuration, files
from residua.errors import BadRun, BadSetting
from residua.networks import catalogue, cost
from residua.networks.cost import Inspection
from residua.networks.foreign import ForeignInspection
from residua.networks.network import build
from residua.subject import subject, trained

FACTORY = """
from torch import nn
from residua.networks import catalogue
from residua.networks.network import build
def data(): return catalogue.specification("resnet8", classes=3)
def built(): return build(data())
def foreign(): return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
"""


@pytest.fixture
def own() -> Path:
    Path("own.py").write_text(FACTORY)
    return Path("own.py").resolve()


@pytest.fixture
def run() -> Path:
    """A run that was stopped, under runs/ of the folder that the test works in."""
    spec = catalogue.specification("resnet8", classes=5, in_channels=1)
    path = Path("runs") / "digits-resnet8-1"
    files.write_json(path / "run.json", {"status": "stopped", "created": "2026-01-01"})
    files.write_json(path / "specification.json", configuration.to_json(spec))
    files.write_json(path / "network.json", cost.inspect(spec, (1, 24, 20)).to_json())
    return path


def test_a_name_is_a_network_of_the_catalogue():
    found = subject("resnet50")
    assert (found.network, found.has_name) == (catalogue.specification("resnet50"), True)
    inspection = found.inspect()
    assert isinstance(inspection, Inspection)
    assert (inspection.image, inspection.nearest) == ((3, 224, 224), None)


@pytest.mark.parametrize("text", ["digits-resnet8-1", "runs/digits-resnet8-1", "last"])
def test_a_run_is_found_by_name_folder_and_as_the_last_and_knows_its_images(run, text):
    for found in (subject(text), subject(run.resolve())):
        assert found.name == "digits-resnet8-1"
        inspection = found.inspect()
        assert isinstance(inspection, Inspection)
        assert inspection.image == (1, 24, 20)
        assert inspection.nearest is not None
        assert inspection.nearest.name == "resnet8"
        assert [one.field for one in inspection.nearest.differences] == ["in_channels", "classes"]


def test_a_factory_gives_a_specification_a_network_or_a_module(own):
    data, built, foreign = (subject(f"{own}:{name}") for name in ("data", "built", "foreign"))
    assert [one.name for one in (data, built, foreign)] == ["data", "built", "foreign"]
    assert data.specification == built.specification == catalogue.specification("resnet8", classes=3)
    assert foreign.specification is None
    for one in (data, built):
        inspection = one.inspect()
        assert isinstance(inspection, Inspection)
        assert inspection.nearest is not None
        assert inspection.parameters == subject("resnet8").resized(classes=3, in_channels=None).inspect().parameters
    traced = foreign.inspect((3, 8, 8))
    assert isinstance(traced, ForeignInspection)
    assert traced.image == (3, 8, 8)


def test_a_network_means_itself():
    spec = catalogue.specification("plain20")
    assert subject(spec).specification == subject(build(spec)).specification == spec
    assert subject(nn.Identity()).name == "Identity"


def test_only_data_can_be_resized(own):
    data = subject(f"{own}:data").resized(classes=9, in_channels=1)
    assert data.specification == catalogue.specification("resnet8", classes=9, in_channels=1)
    built = subject(f"{own}:built")
    assert built.resized(classes=None, in_channels=None) is built
    with pytest.raises(BadSetting, match="built is built already, and its classes cannot change"):
        built.resized(classes=9, in_channels=None)


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("resnet19", BadSetting, "did you mean 'resnet18'"),
        ("no/such/run", BadRun, "no/such/run is no run"),
        ("last", BadRun, "there is no run in"),
        ("own.py", BadSetting, "own.py:network"),
    ],
)
def test_what_is_no_network_is_one_line(text, error, message):
    with pytest.raises(error, match=message) as failure:
        subject(text)
    assert "\n" not in str(failure.value)


@pytest.mark.parametrize("text", ["resnet18", "own.py:net"])
def test_a_network_without_weights_is_no_trained_one(text):
    with pytest.raises(BadSetting, match="is a network without trained weights; give a run"):
        trained(text)


def test_an_unfinished_run_is_no_trained_network(run):
    with pytest.raises(BadRun, match="is stopped, not finished"):
        trained("last")
