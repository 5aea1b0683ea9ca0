"""The public names: what users write, and so what may not change unnoticed."""

import pytest

import residua

PUBLIC = {
    "NetworkSpec",
    "ResiduaError",
    "Run",
    "__version__",
    "build",
    "deepen",
    "diagnose",
    "download",
    "draw_features",
    "draw_network",
    "evaluate",
    "feature_maps",
    "find_learning_rate",
    "inspect",
    "load",
    "list_networks",
    "predict",
    "pretrained",
    "write_report",
    "resume",
    "study",
    "train",
    "watch",
}


def test_the_public_names_are_these():
    assert set(residua.__all__) == PUBLIC
    for name in PUBLIC:
        assert getattr(residua, name) is not None


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="residua"):
        residua.trian  # noqa: B018
