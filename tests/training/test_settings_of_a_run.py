"""What single settings of a recipe change in a run."""

from dataclasses import replace
from math import prod
from pathlib import Path

import pytest
import torch
from tests.training.conftest import Watcher, fit

from residua.data import sources
from residua.data.dataset import Dataset
from residua.data.spec import DataSpec
from residua.errors import BadSetting, NonFiniteLoss
from residua.networks.network import build
from residua.networks.spec import NetworkSpec, small_stem, whitening_stem
from residua.networks.whitening import whiten
from residua.training import sitting
from residua.training.command import train_command
from residua.training.observers import RunStarted, StepEnded
from residua.training.plan import plan
from residua.training.recipe import default
from residua.training.record import Record
from residua.training.spec import TrainSpec


def test_patience_ends_a_run_that_no_longer_improves(tiny_digits: TrainSpec, tmp_path: Path):
    """At a rate of nearly 0 validation stays where it is: the first epoch is the best but for rounding."""
    settings = (*tiny_digits.settings, "patience=2", "optimizer.learning_rate=1e-12", "averaging.kind=none")
    fitted = fit(replace(tiny_digits, epochs=9, settings=settings), out=tmp_path / "run")
    losses = [row["validation_loss"] for row in fitted.record.epochs()]
    assert len(losses) - 1 - losses.index(min(losses)) == 2
    assert len(losses) < 9
    assert f"ended after epoch {len(losses)} of 9, 2 without a lower" in fitted.record.read("result")["chosen"]["by"]
    assert fitted.record.status == "finished"


def test_an_average_is_what_is_evaluated_and_kept(tiny_digits: TrainSpec, tmp_path: Path):
    """Where (1 + t)/(10 + t) is below the decay, T steps give Σ aₜwₜ: aₜ = 9·(t + 2)⋯(t + 9) / (T + 2)⋯(T + 10).

    The first weights, which nothing was averaged into, have 10/9 of that.
    """
    settings = (*tiny_digits.settings, "choose=last", "averaging.kind=ema", "averaging.decay=0.9999")
    walked: list[torch.Tensor] = []

    def keep(_event: StepEnded) -> None:
        [started] = watcher.of(RunStarted)
        walked.append(started.network.state_dict()["head.weight"].clone())

    watcher = Watcher(keep)
    averaged = fit(replace(tiny_digits, settings=settings), out=tmp_path / "averaged", observers=[watcher])
    first = build(averaged.plan.specification, seed=averaged.plan.asked.seed).state_dict()["head.weight"]
    steps = len(walked)
    shares = [9 * prod(range(t + 2, t + 10)) / prod(range(steps + 2, steps + 11)) for t in range(steps + 1)]
    shares[0] *= 10 / 9
    expected = sum(share * weight for share, weight in zip(shares, (first, *walked), strict=True))
    kept = averaged.network.state_dict()["head.weight"]
    torch.testing.assert_close(kept, expected, atol=1e-6, rtol=1e-5)
    assert not torch.allclose(kept, walked[-1], atol=1e-3)
    plain = fit(replace(tiny_digits, settings=(*settings[:-2], "averaging.kind=none")), out=tmp_path / "plain")
    assert torch.equal(plain.network.state_dict()["head.weight"], walked[-1])
    row, validation = averaged.record.epochs()[-1], averaged.record.read("result")["parts"]["validation"]
    assert row["validation_accuracy"] == pytest.approx(validation["accuracy"])
    assert row["train_loss"] == plain.record.epochs()[-1]["train_loss"]


def test_several_views_are_a_second_accuracy(tiny_digits: TrainSpec, tmp_path: Path):
    settings = (*tiny_digits.settings, "views=six", "flip=random")
    fitted = fit(replace(tiny_digits, settings=settings), out=tmp_path / "run")
    test = fitted.record.read("result")["parts"]["test"]
    assert test["views"]["kind"] == "six"
    assert test["views"]["interval"][0] < test["views"]["accuracy"] < test["views"]["interval"][1]
    assert fitted.record.read("result")["headline"]["accuracy"] == test["accuracy"]


def test_images_that_are_not_mirrored_in_training_are_not_mirrored_in_a_test(tiny_digits: TrainSpec, tmp_path: Path):
    fitted = fit(replace(tiny_digits, settings=(*tiny_digits.settings, "views=six")), out=tmp_path / "run")
    assert "views" not in fitted.record.read("result")["parts"]["test"]


def test_the_fast_recipe_takes_its_network_and_says_where_it_is_not_made_for_that():
    with pytest.raises(BadSetting, match="recipe fast is for images of 16 to 63 pixels a side, and these have 8; take"):
        plan(TrainSpec(source="digits", recipe="fast", epochs=1))
    decided = plan(TrainSpec(source="digits", recipe="fast", epochs=1, image_size=16))
    assert decided.network_name == "fast-resnet8"
    [few] = decided.remarks
    assert "steps here: 1, and --recipe default takes more" in few
    other = plan(TrainSpec(source="digits", recipe="fast", network="resnet8", epochs=200))
    [high] = other.remarks
    assert "made for fast-resnet8, and may be too high here" in high


def test_a_micro_batch_of_one_image_is_refused_where_a_norm_sees_one_number():
    shrinking = NetworkSpec(stem=small_stem(4), blocks=(1,) * 4, widths=(4,) * 4, in_channels=1, classes=10)
    decided = plan(TrainSpec(network=shrinking, epochs=1, settings=("batch_size=64", "micro_batches=64")))
    with pytest.raises(BadSetting, match="micro_batches=64 leaves 1 image of 64 at once"):
        sitting.Sitting.begin(decided, ())


def test_a_rule_asks_for_no_more_images_a_step_than_there_are():
    """Nor for the rate of more."""

    def few(spec: DataSpec, progress: None = None) -> Dataset:
        data = sources.load(spec, progress=progress)
        return replace(data, parts=(data.train.only(torch.arange(5)), *data.parts[1:]))

    decided = plan(TrainSpec(network="resnet8", epochs=1), load=few)
    assert decided.recipe.batch_size == 5
    assert decided.recipe.optimizer.learning_rate == pytest.approx(default().optimizer.learning_rate * 5 / 256)


def test_nothing_held_out_means_the_last_epoch_whichever_room_says_so():
    for setting in ("validation_fraction=0", "data.validation_fraction=0.0"):
        decided = plan(TrainSpec(network="resnet8", epochs=1, settings=(setting,)))
        assert (decided.recipe.validation_fraction, decided.recipe.choose) == (0, "last")
        assert decided.dataset.validation is None


def test_a_source_with_validation_images_of_its_own_chooses_by_them():
    """Also where the recipe holds none out; what needs some is refused only where there are none."""

    def own(spec: DataSpec, progress: None = None) -> Dataset:
        return sources.load(replace(spec, validation_fraction=0.2), progress=progress)

    asked = TrainSpec(network="resnet8", epochs=1, settings=("validation_fraction=0", "patience=2"))
    decided = plan(asked, load=own)
    assert (decided.recipe.choose, decided.recipe.patience) == ("best", 2)
    with pytest.raises(BadSetting, match="patience is 2; allowed: none, where no validation part is held out"):
        plan(asked)


def test_what_a_setting_does_not_change_is_said():
    unread = ("averaging.decay=0.9", "schedule.factor=0.5", "crop_smallest_area=0.5", "crop_padding=3")
    decided = plan(TrainSpec(network="resnet8", epochs=1, settings=unread))
    assert decided.remarks == (
        "averaging.decay changes nothing here, for averaging.kind is none",
        "schedule.factor changes nothing here, for schedule.kind is one_cycle",
        "crop_padding changes nothing here, for crop_smallest_area is set",
    )
    normless = TrainSpec(network="resnet8", epochs=1, settings=("recalibration_images=9", "network.norm=group"))
    assert plan(normless).remarks == ("recalibration_images changes nothing here, for the network's norm is group",)
    read = ("averaging.decay=0.9", "averaging.kind=ema", "schedule.factor=0.5", "schedule.kind=step")
    assert plan(TrainSpec(network="resnet8", epochs=1, settings=read)).remarks == ()


@pytest.mark.parametrize("held_out", [(), ("data.test_fraction=0",)])
def test_weights_that_the_last_step_made_infinite_are_one_line(tmp_path: Path, held_out: tuple[str, ...]):
    """A step's loss is read before it changes the weights; without a validation part nothing reads the last ones'."""
    settings = ("batch_size=1000", "optimizer.learning_rate=1e300", "precision=float32", *held_out)
    asked = TrainSpec(network="resnet8", recipe="textbook", epochs=1, settings=settings)
    with pytest.raises(NonFiniteLoss, match=r"is (not finite|nan|inf) after epoch 1; usual remedies"):
        fit(asked, out=tmp_path / "run")
    assert Record(tmp_path / "run").status == "failed"


def test_a_space_before_a_setting_changes_nothing():
    decided = plan(TrainSpec(network="resnet8", epochs=1, settings=(" optimizer.learning_rate=0.3",)))
    assert decided.recipe.optimizer.learning_rate == 0.3


@pytest.mark.parametrize("name", ["optimizer.learning_rate", "recipe.optimizer.learning_rate"])
def test_a_command_with_another_rate_has_no_two(name: str):
    words = train_command(TrainSpec(settings=(f"{name}=0.3",)), learning_rate=0.05)
    assert words == ["residua", "train", "digits", "--set", "optimizer.learning_rate=0.05"]


def test_a_whitening_stem_knows_all_classes_of_images_in_their_order(monkeypatch: pytest.MonkeyPatch):
    """A folder's images are sorted by class: the first 200 of a large one are of one class."""
    monkeypatch.setattr(sitting, "_WHITENED_FROM", 200)
    network = NetworkSpec(stem=whitening_stem(1), blocks=(1,), widths=(4,), in_channels=1, classes=10)
    decided = plan(TrainSpec(network=network, epochs=1, settings=("precision=float32",)))
    train = decided.dataset.train
    ordered = replace(decided.dataset, parts=(train.only(train.labels.argsort()), *decided.dataset.parts[1:]))
    begun = sitting.Sitting.begin(replace(decided, dataset=ordered), ())
    layer = begun.network.stem.get_submodule("convolution")
    with torch.no_grad():
        given = layer(ordered.preprocessing.normalise(ordered.train.images)).pow(2).mean((0, 2, 3))
    assert given.sub(1).abs().max() < 0.3


def test_a_whitening_stem_is_set_from_the_training_images(tmp_path: Path):
    network = NetworkSpec(stem=whitening_stem(1), blocks=(1,), widths=(4,), in_channels=1, classes=10)
    asked = TrainSpec(network=network, epochs=1, settings=("precision=float32",))
    fitted = fit(asked, out=tmp_path / "run")
    expected = build(network, seed=0)
    images = fitted.plan.dataset.train.images[:5000]
    whiten(expected, fitted.plan.dataset.preprocessing.normalise(images))
    found = fitted.network.stem.get_parameter("convolution.weight")
    torch.testing.assert_close(found, expected.stem.get_parameter("convolution.weight"))
