"""What a name opens: a network with weights from a file or a run, and the images it is shown."""

from pathlib import Path

import pytest
import torch

from residua import artifact
from residua.errors import BadRun, BadSetting, BadWeights
from residua.networks.network import build
from residua.opening import Asked, Opened, opened_by_name
from residua.training import fit as fitting
from residua.training.plan import plan
from residua.training.spec import TrainSpec
from tests.training.conftest import TINY

FACTORY = """
from torch import nn
def foreign(): return nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10))
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a tiny network on the digits that holds no validation part out."""
    place = tmp_path_factory.mktemp("opening") / "run"
    settings = ("precision=float32", "validation_fraction=0", "choose=last")
    fitting.fit(plan(TrainSpec(network=TINY, epochs=1, settings=settings)), out=place)
    return place


def by_name(what: object, *, source: str | None = None, **asked: object) -> Opened:
    spec = TrainSpec(source=source or "digits", weights="none")
    defaults = {"verb": "residua.landscape", "examples": 32, "held_out": 16, **asked}
    return opened_by_name(Asked(what=what, seen=spec, sourced=source is not None, **defaults), lambda *_: None)


def test_a_network_takes_the_weights_of_a_run_and_its_eyes(run: Path):
    found = by_name(TINY, weights=str(run))
    kept = artifact.load(run / "model.safetensors")
    for name, tensor in found.case.module.state_dict().items():
        assert torch.equal(tensor, kept.weights[name])
    assert found.plan is not None
    assert found.plan.dataset.preprocessing == kept.preprocessing
    assert "are those of" in found.case.remarks[0]


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_a_network_takes_a_file_of_weights(suffix: str, tmp_path: Path):
    from safetensors.torch import save_file

    state, place = build(TINY, seed=7).state_dict(), tmp_path / f"other{suffix}"
    torch.save(state, place) if suffix == ".pt" else save_file(state, place)
    found = by_name(TINY, weights=str(place))
    assert all(torch.equal(tensor, state[name]) for name, tensor in found.case.module.state_dict().items())


def test_a_network_without_weights_says_that_it_has_learned_nothing():
    assert "has not learned anything" in by_name(TINY).case.remarks[0]


def test_weights_of_another_architecture_name_the_first_tensor_that_does_not_fit(run: Path):
    with pytest.raises(BadWeights, match=r"stem\.convolution\.weight of the weights has shape"):
        by_name("resnet8", weights=str(run))


def test_weights_that_tell_other_classes_apart_are_refused(run: Path, coloured_folder: Path):
    with pytest.raises(BadWeights, match=r"\(10 classes\) apart and .* \(2 classes\); name the images"):
        by_name(TINY, source=str(coloured_folder), weights=str(run))


def test_a_factorys_module_takes_weights_under_its_own_names(tmp_path: Path):
    Path("own.py").write_text(FACTORY)
    state = by_name("own.py:foreign").case.module.state_dict()
    doubled = {name: 2 * tensor for name, tensor in state.items()}
    torch.save(doubled, tmp_path / "doubled.pt")
    found = by_name("own.py:foreign", weights=str(tmp_path / "doubled.pt")).case.module.state_dict()
    assert all(torch.equal(found[name], doubled[name]) for name in doubled)
    torch.save({"1.weight": torch.ones(1)}, tmp_path / "other.pt")
    with pytest.raises(BadWeights, match=r"lack 0\.weight"):
        by_name("own.py:foreign", weights=str(tmp_path / "other.pt"))


def test_a_run_has_its_own_weights(run: Path):
    with pytest.raises(BadSetting, match="has its own weights; leave out"):
        by_name(str(run), weights=str(run))


def test_weights_that_are_nowhere_are_one_line():
    with pytest.raises(BadRun, match=r"away\.pt is no run"):
        by_name(TINY, weights="away.pt")


def test_the_test_part_is_shown_where_nothing_is_chosen(run: Path):
    shown, kept = by_name(str(run), shows_test=True), by_name(str(run))
    assert (shown.part, len(shown.case.held_out or ())) == ("test", 16)
    assert kept.case.held_out is None
    assert not any("not for choosing" in one for one in shown.case.remarks)
