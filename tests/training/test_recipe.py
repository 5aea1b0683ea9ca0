import pytest
import torch
from torch import nn

from residua.configuration import with_settings
from residua.errors import BadSetting
from residua.training.optimizers import optimizer_for
from residua.training.recipe import RECIPES, Optimizer, Recipe, recipe


def test_the_papers_recipe_is_the_papers():
    """He et al. 2015, §4.2."""
    he = recipe("he2015")
    assert (he.batch_size, he.optimizer.learning_rate, he.optimizer.momentum) == (128, 0.1, 0.9)
    assert (he.optimizer.weight_decay, he.optimizer.decay_norm_and_bias) == (1e-4, True)
    assert (he.crop_padding, he.padding, he.flip, he.per_pixel_mean) == (4, "zero", "random", True)
    assert (he.validation_fraction, he.choose) == (0, "last")
    assert he.epochs is not None
    assert he.epochs * (50_000 // 128) == pytest.approx(64_000, rel=0.005)


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_says_whether_it_holds_out_a_validation_part(name: str):
    held_out = recipe(name).validation_fraction > 0
    text = " ".join((RECIPES[name].__doc__ or "").split())
    assert ("Holds out a validation part" in text) == held_out
    assert held_out or "Trains on all training images" in text or "Holds out no validation part" in text


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("lr", "optimizer.learning_rate"),
        ("optimizer.lr", "optimizer.learning_rate"),
        ("weight_decay", "optimizer.weight_decay"),
        ("optimizer.batch_size", "batch_size"),
        ("grad_clip", "gradient_clip_norm"),
        ("precise_bn", "recalibration_images"),
    ],
)
def test_the_words_of_other_tools_are_met_with_ours(word: str, meant: str):
    with pytest.raises(BadSetting, match=f"'{word}' is no setting; did you mean '{meant}'"):
        with_settings(recipe("default"), [f"{word}=1"])


def test_a_recipe_one_letter_off_is_met_with_the_right_one():
    with pytest.raises(BadSetting, match="did you mean 'he2015'"):
        recipe("he2016")


@pytest.mark.parametrize(
    "wrong", [{"batch_size": 0}, {"epochs": 0}, {"label_smoothing": 1.0}, {"gradient_clip_norm": 0.0}]
)
def test_a_recipe_that_cannot_be_is_refused(wrong: dict):
    with pytest.raises(BadSetting, match=next(iter(wrong))):
        Recipe(name="mine", **wrong)


@pytest.mark.parametrize(
    "wrong", [{"learning_rate": 0.0}, {"momentum": 1.0}, {"weight_decay": -1.0}, {"momentum": 0.0}]
)
def test_an_optimizer_that_cannot_be_is_refused(wrong: dict):
    with pytest.raises(BadSetting, match="optimizer."):
        Optimizer(**wrong)


def small_network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 2))


@pytest.mark.parametrize("kind", ["sgd", "adam", "adamw", "rmsprop"])
def test_norms_and_biases_are_not_decayed(kind):
    network = small_network()
    groups = optimizer_for(network, Optimizer(kind=kind, weight_decay=0.1)).param_groups
    decayed = {id(p) for group in groups if group["weight_decay"] for p in group["params"]}
    assert decayed == {id(p) for p in network.parameters() if p.ndim > 1}
    assert sum(len(group["params"]) for group in groups) == len(list(network.parameters()))


def test_the_paper_decays_everything():
    spec = Optimizer(weight_decay=0.1, decay_norm_and_bias=True)
    groups = optimizer_for(small_network(), spec).param_groups
    assert {group["weight_decay"] for group in groups} == {0.1}


@pytest.mark.parametrize("kind", ["sgd", "adam", "adamw", "rmsprop"])
def test_every_optimizer_takes_its_numbers_from_the_recipe(kind):
    spec = Optimizer(kind=kind, learning_rate=0.3, momentum=0.7, nesterov=False, second_moment_decay=0.8)
    made = optimizer_for(small_network(), spec)
    assert type(made).__name__.lower() == kind
    group = made.param_groups[0]
    assert group["lr"] == 0.3
    expected = {
        "sgd": {"momentum": 0.7, "nesterov": False},
        "adam": {"betas": (0.7, 0.8)},
        "adamw": {"betas": (0.7, 0.8)},
        "rmsprop": {"momentum": 0.7, "alpha": 0.8},
    }[kind]
    assert {name: group[name] for name in expected} == expected


def test_a_step_of_plain_sgd_is_the_gradient_times_the_rate():
    network = nn.Linear(2, 1, bias=False)
    before = network.weight.detach().clone()
    made = optimizer_for(network, Optimizer(learning_rate=0.5, momentum=0.0, nesterov=False, weight_decay=0.0))
    network(torch.tensor([[1.0, 2.0]])).sum().backward()
    made.step()
    assert torch.allclose(network.weight, before - 0.5 * torch.tensor([[1.0, 2.0]]))
