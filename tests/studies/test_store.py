"""What is kept comes back as it was."""

import importlib.util
from math import inf, isnan, nan
from pathlib import Path

import pytest

from residua.errors import BadRun, BadSetting, NonFiniteLoss
from residua.studies.address import measured
from residua.studies.measures.course import COURSE
from residua.studies.store import Store
from residua.studies.trial import Measure, Measurement
from tests.studies.tiny import LAST_LOSS


def test_measurements_come_back_infinities_and_all(tmp_path: Path):
    store = Store(tmp_path)
    found = Measurement(numbers={"a": 0.1, "b": inf, "c": nan}, series={"s": ((1.0, -inf), (2.0, 3.0))})
    store.keep("address", LAST_LOSS, found, seconds=2.0)
    kept, seconds = store.measured("address", LAST_LOSS)
    assert (kept.numbers["a"], kept.numbers["b"], kept.series, seconds) == (0.1, inf, found.series, 2.0)
    assert isnan(kept.numbers["c"])


def test_another_version_of_a_measure_has_not_been_made(tmp_path: Path):
    store = Store(tmp_path)
    store.keep("address", LAST_LOSS, Measurement(), seconds=0.0)
    assert store.is_measured("address", LAST_LOSS)
    assert not store.is_measured("address", Measure("last_loss", LAST_LOSS.function, version=2))
    assert not store.is_measured("other", LAST_LOSS)


def test_what_diverged_is_not_tried_again_and_what_failed_otherwise_is(tmp_path: Path):
    store = Store(tmp_path)
    for address, error in (("a", NonFiniteLoss("the loss is\nnan")), ("b", BadSetting("no")), ("c", KeyError("x"))):
        store.fail(address, error)
        store.forget_failure(address)
    found = store.failure("a")
    assert found is not None
    assert (found.error, found.diverged) == ("the loss is nan", True)
    assert store.failure("b") is None
    assert store.failure("c") is None


def test_a_bug_keeps_its_name_and_its_traceback(tmp_path: Path):
    store = Store(tmp_path)
    with pytest.raises(KeyError) as caught:
        {}["x"]
    failure = store.fail("a", caught.value, measure="m")
    assert (failure.error, failure.measure) == ("KeyError: 'x'", "m")
    assert "test_a_bug_keeps_its_name" in (tmp_path / "failures" / "a.json").read_text()


def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BadRun, match="--store"):
        Store(tmp_path / "file").require_writable()


def test_a_users_measure_is_made_anew_where_its_file_has_changed(tmp_path: Path):
    """Ours are told apart by their version; nobody raises the version of a function that he is still writing."""

    def written(text: str) -> Measure:
        file = tmp_path / "mine.py"
        file.write_text(f"from residua.studies.trial import Measurement\n\n\ndef mine(trial):\n    {text}\n")
        spec = importlib.util.spec_from_file_location("mine", file)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return Measure("course", module.mine)

    store = Store(tmp_path / "store")
    first = written("return Measurement(numbers={'a': 1.0})")
    store.keep("x", first, Measurement(numbers={"a": 1.0}), seconds=0.0)
    assert store.is_measured("x", first)
    assert not store.is_measured("x", COURSE)
    assert not store.is_measured("x", written("return Measurement(numbers={'a': 2.0})"))
    assert measured(COURSE) == "course-1"
