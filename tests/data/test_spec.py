"""What the specification refuses, and that it survives JSON."""

import json
import re
from dataclasses import replace

import pytest

from residua import configuration
from residua.data.sources import DataSpec
from residua.errors import BadSetting


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"validation_fraction": 1.0}, "validation_fraction is 1.0; allowed: 0 or above, below 1"),
        ({"test_fraction": -0.1}, "test_fraction is -0.1"),
        ({"source": " "}, "source is ' '; allowed: the name of a set, or a folder"),
        ({"image_size": 0}, "image_size is 0; allowed: 1 pixel or above"),
        ({"cache_gb": 0.0}, "cache_gb is 0.0; allowed: above 0"),
        ({"group": "("}, "group is '(', no regular expression"),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings: dict[str, object], said: str):
    with pytest.raises(BadSetting, match=re.escape(said)):
        DataSpec(**settings)  # type: ignore[arg-type]


@pytest.mark.usefixtures("unchecked")
def test_a_fit_that_is_none_is_refused():
    with pytest.raises(BadSetting, match="did you mean 'crop'"):
        DataSpec(fit="cropp")  # type: ignore[arg-type]


def test_a_specification_survives_json():
    spec = DataSpec(source="pics", group="a(b)", image_size=32, fit="pad")
    assert configuration.from_json(DataSpec, json.loads(json.dumps(configuration.to_json(spec)))) == spec
    assert replace(spec, image_size=None).image_size is None
