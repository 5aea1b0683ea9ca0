"""The statistics of one forward pass, beside closed forms and the same statistics written by hand."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from residua.diagnostics.case import opened
from residua.diagnostics.signals import Signals, signals


@pytest.fixture(autouse=True)
def _the_same_weights() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def drawn(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def layer(made: nn.Module, seed: int = 2) -> nn.Module:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for one in made.parameters():
            one.copy_(torch.randn(one.shape, generator=generator) * 0.3)
    return made


def seen(module: nn.Module, inputs: Tensor) -> Signals:
    return signals(opened(module, inputs))


class Does(nn.Module):
    """Does what a function says, with parts of its own."""

    def __init__(self, forward: Callable[[Any, Tensor], Tensor], **parts: nn.Module) -> None:
        super().__init__()
        self.does = forward
        for name, part in parts.items():
            self.add_module(name, part)

    def forward(self, x: Tensor) -> Tensor:
        return self.does(self, x)


def adding(part: nn.Module) -> Does:
    return Does(lambda self, x: self.part(x) + x, part=part)


def test_a_branch_twice_its_shortcut_holds_four_fifths_of_the_moment_and_of_the_variance():
    """F(x) = 2x: F² / (F² + x²) = 4/5, and y = 3x has nine times the variance and the squared mean of x."""
    twice = nn.Linear(3, 3, bias=False)
    with torch.no_grad():
        twice.weight.copy_(2 * torch.eye(3))
    x = drawn(50, 3) + torch.tensor([0.0, 1.0, -2.0])
    (place,) = seen(adding(twice), x).stream
    assert place.share_of_moment == pytest.approx(0.8)
    assert place.share_of_variance == pytest.approx(0.8)
    assert place.variance == pytest.approx(9 * float(x.var(0, correction=0).mean()))
    assert place.squared_mean == pytest.approx(9 * float(x.mean(0).square().mean()))
    assert (place.branch_variance, place.shortcut_variance) == pytest.approx(
        (place.variance * 4 / 9, place.variance / 9)
    )
    assert (place.name, place.kind) == ("forward", "identity")


def test_the_means_of_channels_are_no_variance():
    """A branch that gives one constant a channel has a share of the moment and none of the variance."""
    constant = nn.Linear(3, 3)
    constant.load_state_dict({"weight": torch.zeros(3, 3), "bias": torch.tensor([3.0, -1.0, 2.0])})
    x = drawn(40, 3)
    (place,) = seen(adding(constant), x).stream
    second = 40 * 14.0
    assert place.share_of_variance == 0
    assert place.share_of_moment == pytest.approx(second / (second + float(x.square().sum())), rel=1e-5)


@pytest.mark.parametrize(
    ("part", "shape", "axis"),
    [
        (nn.Linear(4, 4), (9, 4), 1),
        (nn.Linear(4, 4), (9, 5, 4), 2),
        (nn.Conv1d(4, 4, 3, padding=1), (9, 4, 5), 1),
        (nn.Conv2d(4, 4, 3, padding=1), (9, 4, 5, 6), 1),
        (nn.Sequential(nn.Flatten(2), nn.Linear(6, 6), nn.Unflatten(2, (2, 3))), (9, 4, 2, 3), 1),
    ],
)
def test_channels_are_where_the_layers_have_them(part, shape, axis):
    x = drawn(*shape)
    stem = nn.Identity() if len(shape) == 2 else part[1] if isinstance(part, nn.Sequential) else part
    if isinstance(part, nn.Sequential):
        stem = nn.Conv2d(4, 4, 1)
    module = layer(Does(lambda self, x: (h := self.stem(x)) + self.part(h), stem=stem, part=part))
    with torch.no_grad():
        y = module(x)
    rest = tuple(one for one in range(y.dim()) if one != axis)
    (place,) = seen(module, x).stream
    assert place.squared_mean == pytest.approx(float(y.mean(rest).square().mean()), rel=1e-4)
    assert place.variance == pytest.approx(float(y.var(rest, correction=0).mean()), rel=1e-4)


def test_patches_made_tokens_keep_their_channels():
    """[b, c, h, w] to [b, h·w, c] by views: the channels of the stream are the last axis of the tokens."""
    module = layer(
        Does(
            lambda self, x: (h := self.patch(x).flatten(2).transpose(1, 2)) + self.mix(h.transpose(1, 2)).mT,
            patch=nn.Conv2d(3, 5, 2, stride=2),
            mix=nn.Linear(4, 4),
        )
    )
    x = drawn(8, 3, 4, 4)
    with torch.no_grad():
        y = module(x)
    (place,) = seen(module, x).stream
    assert y.shape == (8, 4, 5)
    assert place.variance == pytest.approx(float(y.var((0, 1), correction=0).mean()), rel=1e-4)


def test_statistics_are_of_the_sum_before_it_is_overwritten():
    """A ReLU in place, after the addition, changes the sum but not its statistics."""
    part = layer(nn.Linear(6, 6))
    x = drawn(30, 6)
    (kept,) = seen(adding(part), x).stream
    (overwritten,) = seen(Does(lambda self, x: (self.part(x) + x).relu_(), part=part), x).stream
    assert overwritten == kept


def test_dead_and_saturated_units_are_counted():
    """Units 0 and 2 are always negative; the sigmoid is flat beyond |x| = 4.36: at all of unit 3, some of unit 1."""
    push = nn.Linear(4, 4, bias=True)
    with torch.no_grad():
        push.weight.copy_(torch.eye(4))
        push.bias.copy_(torch.tensor([-100.0, 0.0, -100.0, 100.0]))
    x = drawn(32, 4)
    module = Does(lambda self, x: torch.sigmoid(self.relu(self.push(x)) * 6), push=push, relu=nn.ReLU(inplace=True))
    relu, sigmoid = seen(module, x).activations
    assert (relu.name, relu.op, relu.units, relu.dead, relu.saturated) == ("relu", "relu", 4, 0.5, 0.0)
    before = (push(x).relu() * 6).detach()
    derivative = torch.sigmoid(before) * (1 - torch.sigmoid(before))
    assert sigmoid.name == "sigmoid"
    assert sigmoid.dead == 0
    assert sigmoid.saturated == pytest.approx(float((derivative < 0.25 / 20).double().mean()))
    assert 0.25 < sigmoid.saturated < 0.5


def test_a_channel_is_dead_only_if_it_is_at_all_positions():
    first = nn.Conv2d(1, 2, 1, bias=True)
    first.load_state_dict({"weight": torch.ones(2, 1, 1, 1), "bias": torch.tensor([0.0, -100.0])})
    x = torch.full((4, 1, 3, 3), -1.0)
    x[2, 0, 1, 1] = 1.0
    (relu,) = seen(nn.Sequential(first, nn.ReLU()), x).activations
    assert (relu.units, relu.dead) == (2, 0.5)


@pytest.mark.parametrize(
    ("activation", "inputs", "flat", "dead"),
    [
        (nn.Tanh(), (-5.0, 0.0, 5.0, 1.0), 0.5, 0),
        (nn.Softsign(), (-50.0, 0.0, 50.0, 1.0), 0.5, 0),
        (nn.Hardtanh(), (-5.0, 0.0, 5.0, 0.5), 0.5, 0),
        (nn.Hardsigmoid(), (-5.0, 0.0, 5.0, 1.0), 0.5, 0),
        (nn.ReLU6(), (-5.0, 1.0, 7.0, 3.0), 0.25, 0.25),
        (nn.Hardswish(), (-5.0, 1.0, 7.0, 3.0), 0, 0.25),
        (nn.GELU(), (-50.0, 0.0, 50.0, 1.0), 0, 0),
    ],
)
def test_what_is_flat_depends_on_the_activation(activation, inputs, flat, dead):
    through = nn.Linear(4, 4, bias=False)
    with torch.no_grad():
        through.weight.copy_(torch.eye(4))
    x = torch.tensor([inputs, inputs])
    (found,) = seen(nn.Sequential(through, activation), x).activations
    assert (found.saturated, found.dead) == (flat, dead)


def test_an_activation_called_twice_is_two_places():
    module = Does(lambda self, x: self.act(self.part(self.act(x))), act=nn.ReLU(), part=layer(nn.Linear(3, 3)))
    assert [one.name for one in seen(module, drawn(5, 3)).activations] == ["act #1", "act #2"]


def test_running_statistics_are_compared_as_they_were_before_the_pass():
    """Running mean 0, variance 1; the examples have mean 3 and standard deviation 2, so 1.5 and 1/4 before the pass."""
    x = drawn(64, 2, 8, 8)
    x = (x - x.mean((0, 2, 3), keepdim=True)) / x.std((0, 2, 3), keepdim=True) * 2 + 3
    module = nn.Sequential(nn.BatchNorm2d(2), nn.Flatten(), layer(nn.Linear(128, 3)))
    (norm,) = seen(module, x).norms
    assert (norm.name, norm.tracked, norm.in_eval) == ("0", 0, False)
    assert norm.mean_shift == pytest.approx(1.5, rel=1e-4)
    assert norm.variance_ratio == pytest.approx(0.25, rel=1e-4)
    module.train()
    with torch.no_grad():
        for _ in range(3):
            module(x)
    (trained,) = seen(module, x).norms
    assert trained.tracked == 3
    assert trained.mean_shift == pytest.approx(1.5 * 0.9**3, rel=1e-4)
    assert trained.variance_ratio == pytest.approx((0.9**3 + (1 - 0.9**3) * 4) / 4, rel=1e-4)


@pytest.mark.parametrize("training", [True, False])
def test_only_a_norm_that_does_not_follow_its_module_is_in_evaluation(training):
    norms = (nn.BatchNorm1d(3), nn.BatchNorm1d(3), nn.BatchNorm1d(3, track_running_stats=False))
    module = nn.Sequential(*norms).train(training)
    if training:
        norms[1].eval()
    found = seen(module, drawn(20, 3)).norms
    assert [(one.name, one.in_eval) for one in found] == [("0", False), ("1", training)]


def test_norms_called_as_functions_are_met():
    module = Does(
        lambda self, x: torch.batch_norm(
            functional.batch_norm(x, self.norm.running_mean, self.norm.running_var),
            *(None, None, None, None, True, 0.1, 1e-5, False),
        ),
        norm=nn.BatchNorm1d(3),
    )
    (norm,) = seen(module, drawn(20, 3)).norms
    assert (norm.name, norm.in_eval) == ("", True)


def test_the_first_that_is_not_finite_is_named():
    x = drawn(6, 3)
    parts = {"first": layer(nn.Linear(3, 3)), "second": layer(nn.Linear(3, 3))}
    overflowing = Does(lambda self, x: self.second(self.first(x) * 1e38 * 1e38), **parts)
    assert (seen(nn.Sequential(*parts.values()), x).first_bad, seen(overflowing, x).first_bad) == (None, "mul")
    with torch.no_grad():
        parts["second"].bias[1] = math.nan  # type: ignore[index]
    found = seen(nn.Sequential(*parts.values()), x)
    assert (found.is_finite, found.first_bad) == (False, "1")
    x[3, 1] = math.inf
    assert seen(nn.Sequential(*parts.values()), x).first_bad == "input"


def test_a_mask_of_minus_infinity_is_no_fault():
    def attend(self: Any, x: Tensor) -> Tensor:
        scores = self.part(x).masked_fill(torch.eye(4, dtype=torch.bool)[: len(x)], -math.inf)
        return scores.softmax(-1) * x

    assert seen(Does(attend, part=layer(nn.Linear(4, 4))), drawn(4, 4)).first_bad is None


def test_probabilities_are_told_from_logits():
    part = layer(nn.Linear(3, 4))
    x = drawn(6, 3)
    assert seen(nn.Sequential(part, nn.Softmax(1)), x).are_probabilities
    assert not seen(nn.Sequential(part, nn.Sigmoid()), x).are_probabilities
    assert not seen(part, x).are_probabilities
    assert not seen(nn.Sequential(layer(nn.Linear(3, 1)), nn.Softmax(1)), x).are_probabilities


def test_numbers_of_input_output_and_layers():
    x = drawn(32, 3) * 5 + 7
    module = nn.Sequential(layer(nn.Linear(3, 4)), nn.ReLU(), layer(nn.Linear(4, 2)))
    found = seen(module, x)
    with torch.no_grad():
        hidden, output = module[0](x), module(x)
    assert (found.input_mean, found.input_deviation) == pytest.approx((float(x.mean()), float(x.std(correction=0))))
    assert found.output_deviation == pytest.approx(float(output.std(correction=0)))
    assert dict(found.layer_deviations) == pytest.approx(
        {"0": float(hidden.std(correction=0)), "2": float(output.std(correction=0))}
    )
    assert (found.stream, found.norms, found.has_whole_numbers) == ((), (), False)


def test_tokens_are_whole_numbers():
    tokens = torch.randint(0, 9, (6, 5), generator=torch.Generator().manual_seed(0))
    found = seen(nn.Sequential(nn.Embedding(9, 4), nn.Linear(4, 4)), tokens)
    assert found.has_whole_numbers
    assert found.input_mean == pytest.approx(float(tokens.double().mean()))
    assert found.is_finite


def test_dropout_draws_the_same_and_the_module_comes_back_as_it_was():
    module = nn.Sequential(layer(nn.Linear(8, 8)), nn.BatchNorm1d(8), nn.Dropout(0.5), layer(nn.Linear(8, 8))).eval()
    before = {name: one.clone() for name, one in module.state_dict().items()}
    x = drawn(16, 8)
    state = torch.get_rng_state()
    first = seen(module, x)
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(5)
    assert seen(module, x) == first
    assert not any(one.training for one in module.modules())
    assert all(torch.equal(one, before[name]) for name, one in module.state_dict().items())


@pytest.mark.parametrize(
    ("norm", "batch_norms"),
    [(nn.BatchNorm1d(4), 1), (nn.LayerNorm(4), 0), (nn.GroupNorm(2, 4), 0), (nn.RMSNorm(4), 0), (nn.Tanh(), None)],
    ids=["batch", "layer", "group", "rms", "none"],
)
def test_a_norm_of_any_kind_is_met(norm, batch_norms):
    found = seen(nn.Sequential(nn.Linear(4, 4), norm, nn.Linear(4, 4)), drawn(8, 4))
    assert found.has_norms == (batch_norms is not None)
    assert len(found.norms) == (batch_norms or 0)
