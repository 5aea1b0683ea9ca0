import copy
from math import isfinite, isnan, log
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from residua.diagnostics import questions as asking
from residua.diagnostics.case import Case, opened
from residua.diagnostics.questions import Questions, blanked, permuted, questions, smoothed
from residua.diagnostics.twins import copied, step
from residua.errors import BadNetwork

LABELS = torch.tensor([0, 0, 0, 1] * 16)
INPUTS = torch.randn(64, 6, generator=torch.Generator().manual_seed(1)) + 3 * functional.one_hot(LABELS, 6)


@pytest.fixture(autouse=True)
def _as_on_a_fast_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """The plan does not hang on the machine that tests run on; the timing itself has its own test."""
    monkeypatch.setattr(asking, "_seconds", lambda case: 1e-5)


def drawn(*layers: tuple[Any, ...]) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(*(kind(*given) for kind, *given in layers))


def linear() -> Any:
    return drawn((nn.Linear, 6, 2))


def deep() -> nn.Sequential:
    return drawn((nn.Linear, 6, 8), (nn.BatchNorm1d, 8), (nn.ReLU,), (nn.Dropout, 0.5), (nn.Linear, 8, 2))


def case_of(module: nn.Module, optimizer: Any = None, **given: Any) -> Case:
    return opened(module, INPUTS, LABELS, optimizer=optimizer, **given)


def quick(module: nn.Module, rate: float = 1.0, **given: Any) -> Questions:
    """At a rate that suits the module, on whole batches, so that labels come at one frequency in each."""
    return questions(case_of(module, torch.optim.SGD(module.parameters(), lr=rate), **given))


def test_a_network_that_knows_nothing_starts_at_ln_k():
    network = linear()
    for one in network.parameters():
        nn.init.zeros_(one)
    answers = questions(case_of(network))
    assert answers.first_loss == pytest.approx(log(2)) == answers.expected_first_loss
    assert answers.updates == ()  # a tensor of zeros has no ratio


def test_a_linear_model_learns_one_batch_by_heart():
    answers = quick(linear())
    assert answers.overfit_examples == 32
    assert answers.overfit[-1] < answers.overfit[0] / 20 <= answers.overfit[-2]
    assert len(answers.overfit) < 200


class Detached(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = linear()

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x).detach()


def test_a_broken_one_does_not():
    """Neither one whose outputs are cut off from the weights, nor one whose steps have no length."""
    for answers in (quick(Detached()), quick(linear(), rate=0.0)):
        assert set(answers.overfit) == {answers.overfit[0]}
        assert len(answers.overfit) == 200
        assert [one.ratio for one in answers.updates] == [0.0, 0.0]


def test_blanked_inputs_teach_the_labels_frequencies_alone():
    """A constant answer's cross-entropy is no less than the labels' entropy, and comes down to it."""
    entropy = -(0.75 * log(0.75) + 0.25 * log(0.25))
    answers = quick(linear(), rate=0.4)
    assert answers.learned is not None
    assert answers.blanked is not None
    assert answers.permuted is not None
    assert min(answers.blanked) >= entropy - 1e-6
    assert answers.blanked[-1] == pytest.approx(entropy, abs=0.01)
    assert answers.learned[-1] < 0.25 < answers.permuted[-1]
    assert len(answers.learned) == answers.steps == 40
    assert answers.size == 64


def test_what_is_blanked_and_permuted():
    tokens = torch.arange(64).reshape(64, 1)
    case = opened(lambda_module(lambda x, t: x), (INPUTS, tokens), LABELS)
    blank = blanked(case.examples)
    assert torch.allclose(blank.args[0], INPUTS.mean(0).expand(64, 6), atol=1e-6)
    assert torch.equal(blank.args[1], torch.zeros(64, 1, dtype=torch.int64))
    assert blank.labels is LABELS
    other = permuted(case.examples, 0)
    assert other.args is case.examples.args
    assert torch.equal(other.labels.sort().values, LABELS.sort().values)
    assert not torch.equal(other.labels, LABELS)
    assert not torch.equal(other.labels, permuted(case.examples, 1).labels)


def lambda_module(function: Any) -> nn.Module:
    class Given(nn.Module):
        def forward(self, *args: Tensor) -> Tensor:
            return function(*args)

    return Given()


def test_curves_are_smoothed_with_weights_that_sum_to_one():
    assert smoothed([3.0] * 5) == pytest.approx([3.0] * 5)
    assert smoothed([1.0, 0.0]) == pytest.approx([1.0, 0.8 / 1.8])
    assert smoothed([1.0, 0.0, 0.0])[2] == pytest.approx(0.64 / (1 + 0.8 + 0.64))
    assert isnan(smoothed([1.0, float("nan")])[-1])


class WithMemory(torch.optim.SGD):
    """Keeps what it needs by parameter in an attribute of its own."""

    def __init__(self, groups: Any, **given: Any) -> None:
        super().__init__(groups, **given)
        self.lengths = {one: 2.0 + i for i, one in enumerate(self.param_groups[0]["params"])}

    def step(self, closure: Any = None) -> Any:
        for one, length in self.lengths.items():
            if one.grad is not None:
                one.grad.mul_(length)
        return super().step(closure)


OPTIMIZERS = {
    "SGD": lambda groups: torch.optim.SGD(groups, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
    "AdamW": lambda groups: torch.optim.AdamW(groups, lr=0.1),
    "RMSprop": lambda groups: torch.optim.RMSprop(groups, lr=0.1, centered=True),
    "WithMemory": lambda groups: WithMemory(groups, lr=0.1),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_copy_takes_the_step_that_the_module_would(name: str):
    """Groups with rates of their own, and the momentum of steps before: the same to the bit."""
    network = drawn((nn.Linear, 6, 8), (nn.ReLU,), (nn.Linear, 8, 2))
    groups = [{"params": network[0].parameters(), "lr": 0.3}, {"params": network[2].parameters()}]
    optimizer = OPTIMIZERS[name](groups)
    case = case_of(network, optimizer)
    for _ in range(2):
        step(case, case.loss_of(case.examples))
    answers, before = questions(case), copy.deepcopy(network.state_dict())
    twin = copied(case)
    step(twin, twin.loss_of(case.examples))
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())
    step(case, case.loss_of(case.examples))
    after = network.state_dict()
    assert all(torch.equal(after[key], value) for key, value in twin.module.state_dict().items())
    ratios = {one.name: one.ratio for one in answers.updates}
    assert ratios == pytest.approx(
        {key: float((after[key] - before[key]).norm() / before[key].norm()) for key in before}, rel=1e-3
    )
    assert answers.optimizer == f"{name}, as given"


def test_a_scheduler_and_hooks_are_left_behind():
    """A scheduler puts a step on the optimizer that moves the one that was given."""
    network, calls = linear(), []
    optimizer = torch.optim.SGD(network.parameters(), lr=0.5)
    torch.optim.lr_scheduler.StepLR(optimizer, 5)
    assert "step" in vars(optimizer)
    optimizer.register_step_post_hook(lambda *given: calls.append(given))
    case = case_of(network, optimizer)
    twin = copied(case)
    before = copy.deepcopy(twin.module.state_dict())
    step(twin, twin.loss_of(case.examples))
    assert not torch.equal(before["0.weight"], twin.module.state_dict()["0.weight"])
    assert torch.equal(before["0.weight"], network[0].weight)
    assert calls == []


def test_the_module_and_its_optimizer_stay_as_they_are():
    """To the bit, gradients included, with a loss that reads the module's own weights."""
    network = deep()
    network[1].eval()
    optimizer = torch.optim.Adam(network.parameters(), lr=0.1)
    functional.cross_entropy(network(INPUTS), LABELS).backward()
    optimizer.step()
    gradients = [one.grad for one in network.parameters()]
    values = [one.grad.clone() for one in network.parameters() if one.grad is not None]
    kept = copy.deepcopy((network.state_dict(), optimizer.state_dict()))
    modes, chance = [one.training for one in network.modules()], torch.get_rng_state()

    def loss(output: Tensor, labels: Tensor) -> Tensor:
        return functional.cross_entropy(output, labels) + 0.01 * sum(one.square().sum() for one in network.parameters())

    questions(case_of(network, optimizer, loss=loss))
    now = (network.state_dict(), optimizer.state_dict())
    assert all(torch.equal(kept[0][name], value) for name, value in now[0].items())
    assert kept[1]["param_groups"] == now[1]["param_groups"]
    for place, state in kept[1]["state"].items():
        assert all(torch.equal(value, now[1]["state"][place][name]) for name, value in state.items())
    assert all(one.grad is before for one, before in zip(network.parameters(), gradients, strict=True))
    assert all(torch.equal(one, before) for one, before in zip(gradients, values, strict=True) if one is not None)
    assert [one.training for one in network.modules()] == modes
    assert torch.equal(torch.get_rng_state(), chance)


def test_a_curve_is_that_of_a_hand_written_loop():
    """Twenty examples are the one batch; gradients do not pile up from step to step."""
    network, images, labels = linear(), INPUTS[:20], LABELS[:20]
    answers = questions(opened(network, images, labels, optimizer=torch.optim.SGD(network.parameters(), lr=0.1)))
    weight, bias = (one.detach().clone().requires_grad_() for one in network.parameters())
    for loss in answers.overfit[:30]:
        expected = functional.cross_entropy(images @ weight.T + bias, labels)
        assert loss == pytest.approx(float(expected.detach()), rel=1e-4)
        slopes = torch.autograd.grad(expected, (weight, bias))
        with torch.no_grad():
            weight -= 0.1 * slopes[0]
            bias -= 0.1 * slopes[1]
    assert (answers.overfit_examples, answers.size) == (20, 20)


def test_every_example_comes_once_before_any_comes_again():
    orders = asking._orders(10, 4, 0)
    first, second, third, fourth = (next(orders).tolist() for _ in range(4))
    assert len({*first, *second}) == len({*third, *fourth}) == 8
    assert (first, second) != (third, fourth)


def test_a_loss_with_a_state_is_copied_too():
    criterion = nn.BatchNorm1d(2)
    network = linear()
    questions(case_of(network, loss=Criterion(criterion)))
    assert criterion.num_batches_tracked == 0


class Criterion(nn.Module):
    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, output: Tensor, labels: Tensor) -> Tensor:
        return functional.cross_entropy(self.norm(output), labels)


def test_the_copy_trains_but_for_what_the_user_holds_in_evaluation_mode():
    network = deep()
    network[1].eval()
    assert [one.training for one in copied(case_of(network)).module] == [True, False, True, True, True]  # type: ignore[union-attr]
    assert all(one.training for one in copied(case_of(network.eval())).module.modules())
    assert not network.training


def test_the_same_every_time():
    """With dropout, whatever state torch's generator is in; another seed orders the examples otherwise."""
    first = questions(case_of(deep()), size=16)
    torch.rand(3)
    assert questions(case_of(deep()), size=16) == first
    assert questions(case_of(deep()), size=16, seed=1).learned != first.learned
    assert first.optimizer == "Adam 1e-3, none was given"


def test_a_loss_that_is_no_number_ends_a_curve():
    answers = quick(drawn((nn.Linear, 6, 8), (nn.Linear, 8, 2)), rate=1e30)
    for curve in (answers.overfit, answers.learned):
        assert curve is not None
        assert 1 < len(curve) < 10
        assert not isfinite(curve[-1])
        assert all(map(isfinite, curve[:-1]))


def test_without_labels_nothing_is_blanked_or_permuted():
    answers = questions(opened(linear(), INPUTS))
    assert (answers.blanked, answers.permuted, answers.expected_first_loss) == (None, None, None)
    case = opened(linear(), INPUTS)
    assert answers.first_loss == pytest.approx(float(case.loss_of(case.examples).detach()), abs=1e-5)
    assert len(answers.updates) == 2
    other = questions(opened(linear(), INPUTS, torch.rand(64, 5)))  # labels that its linear functional does not read
    assert (other.blanked, other.permuted) == (None, None)


def test_what_cannot_be_asked_is_one_line():
    with pytest.raises(BadNetwork, match=r"no parameter of Sequential needs a gradient; .*$"):
        questions(case_of(linear().requires_grad_(False)))
    network = linear()
    network.kept = network[0].weight * 2  # type: ignore[assignment]
    with pytest.raises(BadNetwork, match=r"^Sequential cannot be copied: .* questions need a copy: .*$"):
        questions(case_of(network))


def test_an_optimizer_that_asks_for_a_closure_is_replaced():
    network = linear()
    answers = questions(case_of(network, torch.optim.LBFGS(network.parameters())))
    assert answers.optimizer == "Adam 1e-3, for LBFGS asks for a closure"
    assert answers.overfit[-1] < answers.overfit[0]


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (1e-5, (64, 40, 32, 200)),  # all
        (20 * 2 / 9 / (20 * 64), (64, 20, 32, 60)),  # 20 steps of 64 fit exactly; 60 of 32 are a third of the time
        (20 * 2 / 9 / (5 * 32), (32, 5, 32, 10)),
        (10.0, (16, 5, 16, 10)),  # the least
    ],
)
def test_fewer_steps_then_fewer_examples_where_time_is_short(seconds: float, expected: Any, monkeypatch: Any):
    monkeypatch.setattr(asking, "_seconds", lambda case: seconds)
    plan = asking._planned(case_of(linear()), 40, 64)
    assert (plan.size, plan.steps, plan.overfit_examples, plan.overfit_steps) == expected
    assert 3 * plan.steps * plan.size * seconds <= 20 * 2 / 3 + 1e-9 or plan.size == 16


def test_a_step_is_timed(monkeypatch: pytest.MonkeyPatch):
    """On 4 examples, once to warm up, 16 and 64, until one takes long."""
    monkeypatch.undo()
    ticks = iter([0, 5, 5, 5.1, 6, 6.5, 9, 9, 9])
    monkeypatch.setattr(asking, "perf_counter", lambda: next(ticks))
    assert asking._seconds(case_of(linear())) == 0.5 / 16
