"""All parts run in turn: what fails is said, what was asked for is measured, and JSON holds it."""

import json
from dataclasses import replace
from math import inf, nan
from typing import Any

import pytest
import torch
from tests.report.fabricated import diagnosis as fabricated
from tests.report.fabricated import gradients
from torch import nn

from residua.diagnostics import diagnosis
from residua.diagnostics.case import Case, opened
from residua.diagnostics.measured import Measured
from residua.diagnostics.result import Diagnosis
from residua.diagnostics.sizes import FULL
from residua.errors import BadNetwork, BadSetting


@pytest.fixture
def case() -> Case:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(12, 4, generator=generator)
    return opened(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)), images, torch.arange(12) % 3)


@pytest.fixture
def measures(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Takes the place of the parts and of the rules; each part remembers the sizes that it was given."""
    given: dict[str, Any] = {}

    def measure(name: str):
        return lambda case, **sizes: (given.update({name: sizes}), getattr(fabricated(), name))[1]

    for name in diagnosis.PARTS:
        monkeypatch.setitem(diagnosis.MEASURES, name, measure(name))
    monkeypatch.setattr(diagnosis, "judge", lambda found: fabricated().findings if found.signals else ())
    return given


def test_every_part_has_a_field_and_sizes():
    assert set(FULL) == set(diagnosis.PARTS) <= set(Diagnosis.__dataclass_fields__)


def test_only_what_is_asked_for_is_measured_and_in_full(case, measures):
    found = diagnosis.diagnose(case, only=("paths", "gradients"))
    assert measures == {"gradients": FULL["gradients"], "paths": FULL["paths"]}
    assert (found.gradients, found.paths) == (fabricated().gradients, fabricated().paths)
    assert (found.signals, found.lesions, found.remarks) == (None, None, ())


def test_without_names_all_parts_are_measured_where_the_network_is_small(case, measures):
    found = diagnosis.diagnose(case)
    assert all(getattr(found, name) is not None for name in diagnosis.PARTS)
    assert (found.parameters, found.layers, found.additions, found.examples) == (4 * 8 + 8 + 8 * 3 + 3, 2, 0, 12)


def test_a_part_that_cannot_be_measured_is_said_and_the_others_go_on(case, measures, monkeypatch):
    def refuses(case: Case, **sizes: int) -> None:
        raise BadNetwork("it has no additions")

    monkeypatch.setitem(diagnosis.MEASURES, "paths", refuses)
    found = diagnosis.diagnose(case)
    assert found.paths is None
    assert found.questions is not None
    assert "paths: it has no additions" in found.remarks


def test_whatever_a_foreign_module_raises_in_a_part_lets_the_others_go_on(case, measures, monkeypatch):
    monkeypatch.setitem(diagnosis.MEASURES, "paths", lambda case, **sizes: 1 / 0)
    found = diagnosis.diagnose(case)
    assert found.paths is None
    assert found.questions is not None
    assert "paths: division by zero (ZeroDivisionError)" in found.remarks


def test_an_unknown_name_is_told_the_nearest(case):
    with pytest.raises(BadSetting, match="did you mean 'gradients'"):
        diagnosis.diagnose(case, only=("gradient",))


def test_the_rules_judge_what_was_measured(case, measures):
    assert diagnosis.diagnose(case, only=("signals",)).findings == fabricated().findings


def test_progress_is_told_before_each_part_and_grows_to_the_last(case, measures):
    told: list[tuple[str, int, int]] = []
    diagnosis.diagnose(case, told=lambda *event: told.append(event))
    assert [name for name, _, _ in told] == list(diagnosis.PARTS)
    behind = [done for _, done, _ in told]
    assert behind == sorted(behind)
    assert behind[0] == 0
    assert all(done <= total for _, done, total in told)


def test_the_module_comes_back_as_it_was(measures):
    module = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Dropout()).eval()
    module[0].weight.grad = torch.ones(3, 4)
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    drawn = torch.get_rng_state()
    diagnosis.diagnose(
        opened(module, torch.randn(8, 4, generator=torch.Generator().manual_seed(1)), torch.arange(8) % 3)
    )
    assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())
    assert not module.training
    assert torch.equal(module[0].weight.grad, torch.ones(3, 4))
    assert torch.equal(torch.get_rng_state(), drawn)


def test_json_holds_everything_and_says_what_is_not_finite():
    kept = fabricated()
    text = json.dumps(kept.to_json(), allow_nan=False)
    assert json.loads(text)["gradients"]["ratio"]["values"] == list(gradients().ratio.values)
    assert json.loads(text)["findings"][0]["severity"] == "serious"


@pytest.mark.parametrize(("value", "written"), [(nan, "nan"), (inf, "inf"), (-inf, "-inf"), (0.5, 0.5)])
def test_a_number_that_is_not_finite_becomes_a_word(value, written):
    kept = fabricated()
    changed = replace(kept, gradients=replace(gradients(), ratio=Measured((value,))))
    assert changed.to_json()["gradients"]["ratio"]["values"] == [written]
