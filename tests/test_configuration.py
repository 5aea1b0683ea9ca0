from dataclasses import dataclass, field
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from residua.configuration import check_choices, from_json, setting_names, to_json, with_settings
from residua.errors import BadSetting
from residua.networks import catalogue
from residua.training.recipe import recipe


@dataclass(frozen=True, kw_only=True)
class Inner:
    rate: float = 0.1
    kind: Literal["sgd", "adam"] = "sgd"
    betas: tuple[float, float] = (0.9, 0.99)


@dataclass(frozen=True, kw_only=True)
class Outer:
    name: str = "a"
    epochs: int | None = None
    widths: tuple[int, ...] = (1, 2)
    fast: bool = False
    inner: Inner = field(default_factory=Inner)

    def __post_init__(self) -> None:
        check_choices(self)


@given(
    st.text('a9 "\\\n\té漢😀'),
    st.none() | st.integers(),
    st.lists(st.integers()),
    st.booleans(),
    st.floats(allow_nan=False, allow_infinity=False, width=32),
)
def test_json_and_back_is_the_identity(name: str, epochs: int | None, widths: list[int], fast: bool, rate: float):
    configuration = Outer(name=name, epochs=epochs, widths=tuple(widths), fast=fast, inner=Inner(rate=rate))
    assert from_json(Outer, to_json(configuration)) == configuration


def test_a_dotted_setting_changes_that_field_alone():
    changed = with_settings(Outer(), ["inner.rate=0.5", "epochs=3", "widths=4,5,6", "fast=true", "inner.kind=adam"])
    assert changed == Outer(epochs=3, widths=(4, 5, 6), fast=True, inner=Inner(rate=0.5, kind="adam"))


def test_none_takes_a_value_back():
    assert with_settings(Outer(epochs=3), ["epochs=none"]).epochs is None


def test_one_value_makes_a_list_of_one():
    assert with_settings(Outer(), ["widths=7"]).widths == (7,)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("inner.rat=1", r"did you mean 'inner.rate'"),
        ("innner.rate=1", r"'innner.rate' is no setting; did you mean 'inner.rate'"),
        ("rate=1", r"'rate' is no setting; did you mean 'inner.rate'\?"),
        ("inner=1", r"inner is a group; its settings: inner.rate, inner.kind"),
        ("inner.rate", r"--set takes name=value, got 'inner.rate'"),
        ("inner.rate=fast", r"inner.rate takes a number, got 'fast'"),
        ("inner.kind=adamm", r"did you mean 'adam'"),
        ("inner.betas=1", r"inner.betas takes 2 values"),
        ("epochs=2.5", r"epochs takes a whole number or none, got 2.5"),
        ("fast=1", r"fast takes true or false, got 1"),
        ("inner.rate=true", r"inner.rate takes a number, got True"),
        ("name.deep=1", r"'name.deep' is no setting"),
    ],
)
def test_a_setting_that_does_not_fit_says_what_does(setting: str, message: str):
    with pytest.raises(BadSetting, match=message):
        with_settings(Outer(), [setting])


def test_a_choice_made_in_python_is_checked_too():
    with pytest.raises(BadSetting, match="did you mean 'adam'"):
        check_choices(Inner(kind="adan"))  # type: ignore[arg-type]


def test_names_are_those_that_settings_take():
    names = setting_names(Outer())
    assert "inner.rate" in names
    assert "inner" not in names


def test_none_is_a_word_where_a_field_has_it():
    """``--set network.shortcut=none`` means the plain network, ``flip=none`` no flip; elsewhere none is absence."""
    assert with_settings(recipe("default"), ["flip=none", "averaging.kind=none"]).flip == "none"
    assert with_settings(recipe("he2015"), ["epochs=none"]).epochs is None
    assert with_settings(catalogue.specification("resnet20"), ["shortcut=none"]).shortcut == "none"
