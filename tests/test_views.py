"""The verbs that show a network, as Python calls them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from torch import nn

import residua
from residua import artifact, configuration, files
from residua.artifact import Artifact
from residua.data.dataset import Preprocessing
from residua.errors import BadNetwork, BadSetting
from residua.networks import catalogue, cost
from residua.networks.network import build

PIXELS = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)


@pytest.fixture
def run() -> Path:
    """As much of a finished run as showing it needs."""
    spec = catalogue.specification("resnet8", classes=3)
    kept = Artifact(
        specification=spec,
        classes=("a", "b", "c"),
        preprocessing=Preprocessing(image_size=(16, 16), channels=3, mean=(0.5,) * 3, std=(0.25,) * 3),
        weights=build(spec, seed=0).state_dict(),
    )
    path = Path("runs") / "photographs-resnet8-1"
    files.write_json(path / "run.json", {"status": "finished", "network": "resnet8", "created": "2026-01-01"})
    files.write_json(path / "specification.json", configuration.to_json(spec))
    files.write_json(path / "network.json", cost.inspect(spec, (3, 16, 16)).to_json())
    artifact.save(kept, path / "model.safetensors")
    return path


def test_a_specification_is_told_its_nearest_name():
    spec = replace(catalogue.specification("resnet20"), blocks=(3, 3, 4))
    nearest = residua.inspect(spec).nearest  # type: ignore[union-attr]
    assert nearest is not None
    assert nearest.name == "resnet20"
    assert nearest.differences == (("blocks", [3, 3, 3], [3, 3, 4]),)
    assert residua.inspect("resnet20", classes=3).nearest is None  # type: ignore[union-attr]


def test_a_module_of_another_library_is_inspected_too():
    found = residua.inspect(nn.Conv2d(3, 4, 3, bias=False), (3, 8, 8))
    assert (found.parameters, found.multiply_adds) == (108, 108 * 36)


def test_build_takes_a_factory_and_gives_its_module_as_it_is():
    Path("own.py").write_text("from torch import nn\nmade = nn.Flatten()\ndef net(): return made\n")
    assert isinstance(residua.build("own.py:net"), nn.Flatten)
    with pytest.raises(BadSetting, match="net is built already, and its classes cannot change"):
        residua.build("own.py:net", classes=3)
    with pytest.raises(BadSetting, match="net has its weights already; leave out seed"):
        residua.build("own.py:net", seed=1)


def test_a_drawing_is_named_after_its_network_or_as_it_is_asked():
    assert residua.draw_network("resnet8") == Path("resnet8.svg")
    assert "<title>resnet8</title>" in Path("resnet8.svg").read_text(encoding="utf-8")
    asked = residua.draw_network(catalogue.specification("resnet8"), "a/b.svg", input=(1, 48, 40), classes=4)
    text = asked.read_text(encoding="utf-8")
    assert "1×48×40" in text
    assert "4 logits" in text


def test_a_module_of_another_library_is_not_drawn():
    with pytest.raises(BadNetwork, match="Flatten has no specification to be drawn from"):
        residua.draw_network(nn.Flatten())
    assert not list(Path().iterdir())


def test_feature_maps_are_data_and_their_page_goes_into_the_run(run):
    found = residua.feature_maps(run, PIXELS)
    assert [place.shape for place in found.places] == [(16, 16, 16), (16, 16, 16), (32, 8, 8), (64, 4, 4)]
    assert sum(found.prediction.probabilities) == pytest.approx(1)
    page = residua.draw_features("last", PIXELS)
    assert page == run / "features-image.html"
    assert "What resnet8 makes of image" in page.read_text(encoding="utf-8")
