"""What `residua.diagnose` looks at: a run's own network and images, a network by name, a module with its inputs."""

import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import residua
from residua import artifact
from residua.diagnostics import diagnosis
from residua.diagnostics.case import Case
from residua.diagnostics.result import RunFacts
from residua.errors import BadNetwork, BadSetting, Interrupted, NonFiniteLoss
from residua.networks.network import build
from residua.report.diagnosis_page import Diagnosed
from residua.training import fit as fitting
from residua.training.plan import plan
from residua.training.record import Record
from residua.training.spec import TrainSpec
from tests.report.fabricated import diagnosis as fabricated
from tests.training.conftest import TINY, Watcher

FACTORY = """
from torch import nn
from residua.networks import catalogue
def small(): return catalogue.specification("resnet8")
def foreign(): return nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10))
def wide(): return nn.Sequential(nn.Conv2d(1, 2, 300), nn.Flatten(), nn.Linear(2, 10))
def words(): return nn.Sequential(nn.Linear(7, 3))
"""


@pytest.fixture(autouse=True)
def cases(monkeypatch: pytest.MonkeyPatch) -> list[Case]:
    """The cases that were diagnosed; nothing is measured, and no rule asked."""
    seen: list[Case] = []
    for name in diagnosis.PARTS:
        monkeypatch.setitem(diagnosis.MEASURES, name, lambda case, **sizes: (seen.append(case), _SIGNALS)[1])
    monkeypatch.setitem(diagnosis.MEASURES, "signals", lambda case, **sizes: (seen.append(case), _SIGNALS)[1])
    monkeypatch.setattr(diagnosis, "judge", lambda found: fabricated().findings)
    Path("own.py").write_text(FACTORY)
    return seen


_SIGNALS = fabricated().signals
ONLY = ("signals",)


def trained(run: Path, watcher: Watcher | None = None, **asked: Any) -> Record:
    """A run of a tiny network on the digits, as far as it comes."""
    spec = TrainSpec(**({"network": TINY, "epochs": 1, "settings": ("precision=float32",)} | asked))
    fitting.fit(plan(spec), out=run, observers=[] if watcher is None else [watcher])
    return Record(run)


def facts_of(found: Diagnosed) -> RunFacts:
    assert found.measurements.run is not None
    return found.measurements.run


def weights_of(case: Case) -> dict[str, torch.Tensor]:
    return case.module.state_dict()


def test_a_finished_run_is_its_trained_network_on_its_own_images(cases, tmp_path: Path):
    run = trained(tmp_path / "run", settings=("precision=float32", "stage_decay=0.5"))
    found = residua.diagnose(run.path, only=ONLY)
    (case,) = cases
    kept = artifact.load(run.model).weights
    assert all(torch.equal(kept[name], tensor) for name, tensor in weights_of(case).items())
    parts = run.read("data")["parts"]
    assert len(case.examples) == 1024 < parts["train"]["images"]
    assert len(case.held_out) == min(512, parts["validation"]["images"])
    assert case.is_cross_entropy
    assert abs(float(case.examples.args[0].mean())) < 0.05  # normalised by its preprocessing
    assert type(case.optimizer) is torch.optim.SGD
    rate = run.read("recipe")["optimizer"]["learning_rate"]
    assert sorted({group["lr"] / rate for group in case.optimizer.param_groups}) == pytest.approx([0.125, 0.25, 0.5, 1])
    assert found.page == run.path / "diagnosis.html"
    assert (run.path / "diagnosis.json").is_file()
    assert list((run.path / "figures").glob("diagnosis-variance.*"))


def test_a_finished_runs_facts_are_those_of_its_files(tmp_path: Path):
    run = trained(tmp_path / "run")
    facts = facts_of(residua.diagnose(run.path, only=ONLY))
    (row,), result = run.epochs(), run.read("result")
    assert facts.train_losses == (row["train_loss"],)
    assert facts.validation_accuracies == (row["validation_accuracy"],)
    assert facts.baseline == max(one["accuracy"] for one in result["baselines"].values())
    assert facts.training_examples == run.read("data")["parts"]["train"]["images"]
    assert facts.label_smoothing == run.read("recipe")["label_smoothing"]
    assert facts.finished


def test_the_test_part_is_not_looked_at_where_nothing_was_held_out_for_validation(cases, tmp_path: Path):
    run = trained(tmp_path / "run", settings=("precision=float32", "validation_fraction=0", "choose=last"))
    found = residua.diagnose(run.path, only=ONLY)
    assert cases[0].held_out is None
    assert any("test part is not for choosing" in remark for remark in found.measurements.remarks)


def test_a_stopped_run_is_its_newest_checkpoint_and_says_so(cases, tmp_path: Path):
    def stop(event: Any) -> None:
        if event.step == 3:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Interrupted):
        trained(tmp_path / "run", Watcher(stop))
    found = residua.diagnose(tmp_path / "run", only=ONLY)
    said = " ".join(found.measurements.remarks)
    assert "The run is stopped: its network is that of its newest checkpoint, after step 3." in said
    begun = build(replace(TINY, in_channels=1, classes=10), seed=0).state_dict()
    assert any(not torch.equal(begun[name], tensor) for name, tensor in weights_of(cases[0]).items())
    facts = facts_of(found)
    assert (facts.finished, facts.train_losses) == (False, ())
    assert facts.baseline == pytest.approx(0.1, abs=0.01)  # the commonest of ten classes


def test_a_failed_run_without_checkpoint_is_the_network_as_it_began(cases, tmp_path: Path):
    with pytest.raises(NonFiniteLoss):
        trained(tmp_path / "run", settings=("precision=float32", "optimizer.learning_rate=1e30"))
    found = residua.diagnose(tmp_path / "run", only=ONLY)
    assert "The run is failed and has no checkpoint: its network is as it began" in " ".join(found.measurements.remarks)
    begun = build(replace(TINY, in_channels=1, classes=10), seed=0).state_dict()
    assert all(torch.equal(begun[name], tensor) for name, tensor in weights_of(cases[0]).items())


def test_a_network_alone_is_shown_digits_as_training_would_and_says_so(cases):
    found = residua.diagnose("resnet8", only=ONLY, seed=3)
    decided = plan(TrainSpec(network="resnet8", weights="none"))
    shape = (decided.dataset.preprocessing.channels, *decided.dataset.preprocessing.image_size)
    assert cases[0].examples.args[0].shape[1:] == shape
    drawn = build(decided.specification, seed=3).state_dict()
    assert all(torch.equal(drawn[name], tensor) for name, tensor in weights_of(cases[0]).items())
    said = found.measurements.remarks[0]
    assert "digits was taken, for no images were named" in said
    assert "drawn with seed 3" in said
    assert found.page == Path("resnet8-diagnosis.html")
    assert Path("resnet8-diagnosis.html").is_file()


def test_images_are_enlarged_for_a_network_for_photographs_and_it_is_said(cases):
    found = residua.diagnose("resnet18", only=ONLY)
    assert cases[0].examples.args[0].shape[1:] == (1, 224, 224)
    assert any("enlarged to 224×224" in remark for remark in found.measurements.remarks)


def test_the_same_seed_draws_the_same_images(cases):
    for seed in (0, 0, 1):
        residua.diagnose("resnet8", only=ONLY, seed=seed)
    first, again, other = (case.examples.args[0] for case in cases)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_factorys_specification_is_built_and_its_module_is_shown_images_that_it_takes(cases):
    residua.diagnose("own.py:small", only=ONLY)
    found = residua.diagnose("own.py:foreign", only=ONLY)
    assert cases[1].examples.args[0].shape[1:] == (3, 32, 32)
    assert "digits, as 3×32×32" in found.measurements.remarks[-1]
    assert found.page == Path("foreign-diagnosis.html")


def test_a_factorys_module_that_takes_no_images_is_for_python():
    for name in ("words", "wide"):
        with pytest.raises(BadNetwork, match=r"call residua.diagnose\(module, images, labels\) from Python"):
            residua.diagnose(f"own.py:{name}", only=ONLY)


def test_a_module_is_shown_what_is_given_and_no_page_is_written(cases, tmp_path: Path):
    module = nn.Linear(4, 3)
    images, labels = torch.ones(6, 4), torch.arange(6) % 3
    optimizer = torch.optim.Adam(module.parameters())
    found = residua.diagnose(module, images, labels, optimizer=optimizer, held_out=(images, labels), only=ONLY)
    assert (cases[0].module, cases[0].optimizer, len(cases[0].held_out)) == (module, optimizer, 6)
    assert found.page is None
    assert found.findings == fabricated().findings
    assert list(Path().glob("*.html")) == []
    assert found.write(tmp_path / "page.html").page == tmp_path / "page.html"
    assert (tmp_path / "page.html").is_file()


@pytest.mark.parametrize(
    ("what", "given", "message"),
    [
        ("resnet8", {"only": ("gradient",)}, "did you mean 'gradients'"),
        ("resnet8", {"images": torch.ones(2, 2)}, "images would be for a module"),
        ("resnt8", {}, "did you mean 'resnet8'"),
        (nn.Linear(2, 2), {}, "a module needs inputs"),
        (nn.Linear(2, 2), {"images": torch.ones(2, 2), "source": "digits"}, "leave out source"),
    ],
)
def test_what_does_not_go_together_is_said_before_anything_is_read(what, given, message, monkeypatch):
    monkeypatch.setattr("residua.opening.plan", None)
    with pytest.raises(BadSetting, match=message):
        residua.diagnose(what, **given)


def test_a_run_takes_no_other_images(tmp_path: Path):
    run = trained(tmp_path / "run")
    with pytest.raises(BadSetting, match="looked at on its own images; leave out digits"):
        residua.diagnose(run.path, source="digits")


def test_lazy_layers_without_weights_are_said_in_one_line():
    with pytest.raises(BadNetwork, match="run it once on its inputs first"):
        residua.diagnose(nn.LazyLinear(3), torch.ones(4, 2), torch.arange(4) % 3)
