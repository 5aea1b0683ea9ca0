"""Every study of the catalogue is whole: bilingual, sound, and honest about what it can decide."""

import dataclasses
import pickle
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from residua.errors import BadSetting
from residua.studies import catalogue
from residua.studies.claim import Text
from residua.studies.design import SCALES
from residua.studies.schedule import Schedule
from residua.studies.store import Store


def texts(value: Any) -> Iterator[Text]:
    if isinstance(value, Text):
        yield value
    elif isinstance(value, tuple):
        for one in value:
            yield from texts(one)
    elif dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            yield from texts(getattr(value, field.name))


def test_names_come_in_the_stated_order_and_are_files():
    names = catalogue.names()
    assert [name for name in names if name in catalogue.ORDER] == [one for one in catalogue.ORDER if one in names]
    assert {"degradation", "causes", "deepening"} <= set(names)
    assert all(catalogue.study(name).name.replace("-", "_") == name for name in names)


def test_a_name_that_is_not_there_gets_the_nearest():
    with pytest.raises(BadSetting, match="did you mean 'degradation'"):
        catalogue.study("degradatoin")


@pytest.mark.parametrize("name", catalogue.names())
def test_a_study_says_everything_in_both_languages(name: str):
    for text in texts(catalogue.study(name)):
        assert text.en
        assert re.search("[\\u4e00-\\u9fff]", text.zh) or not re.search("[a-z]{5}", text.en)


@pytest.mark.parametrize("name", catalogue.names())
def test_a_study_is_sound_at_every_scale_it_has(name: str, tmp_path: Path):
    study = catalogue.study(name)
    assert study.budgets
    for scale in (one for one in SCALES if one in study.budgets):
        budget = Schedule(study, scale, store=Store(tmp_path)).budget
        assert budget.minutes > 0
    assert {claim.name for claim in study.claims} == {one for b in study.budgets.values() for one in b.decides}


@pytest.mark.parametrize("name", catalogue.names())
def test_a_study_can_be_sent_to_a_worker(name: str):
    study = catalogue.study(name)
    sent = pickle.loads(pickle.dumps(study))
    assert (sent.name, sent.claims, sent.measures) == (study.name, study.claims, study.measures)


def test_studies_of_trained_networks_share_their_trials(tmp_path: Path):
    """Why degradation is asked of the very networks that degradation trains."""
    addresses = []
    for name in ("degradation", "causes"):
        made = Schedule(catalogue.study(name), "quick", store=Store(tmp_path))
        found = [made.assignment(arm, 0, 0.1) for arm in made.budget.arms]
        addresses.append([one.address for one in found if one])
    assert addresses[0] == addresses[1]
    assert len(set(addresses[0])) == 4


def test_growing_spends_what_starting_deep_does(tmp_path: Path):
    """Within a tenth, at the scale whose images are at hand."""
    made = Schedule(catalogue.study("deepening"), "quick", store=Store(tmp_path))
    spent = {arm.name: made.cost(arm) for arm in made.budget.arms}
    grown = spent["8"] + spent["8 → 20"] + spent["8 → 20 → 56"]
    assert grown == pytest.approx(spent["56"], rel=0.1)
