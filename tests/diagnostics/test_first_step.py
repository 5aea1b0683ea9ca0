"""What the first step moves, on networks of which it is known."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import nn

from residua.diagnostics.case import opened
from residua.diagnostics.diagnosis import diagnose
from residua.diagnostics.first_step import FirstStep, first_step
from residua.training.muon import Muon


class Block(nn.Module):
    def __init__(self, *branch: nn.Module) -> None:
        super().__init__()
        self.branch = nn.Sequential(*branch)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.branch(x)


class Cut(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.detach()


def linear(*, zero: bool = False) -> nn.Linear:
    made = nn.Linear(6, 6)
    if zero:
        nn.init.zeros_(made.weight)
        nn.init.zeros_(made.bias)
    return made


def still_norm() -> nn.BatchNorm1d:
    made = nn.BatchNorm1d(6)
    nn.init.zeros_(made.weight)
    return made


def measured(module: nn.Module, optimizer: torch.optim.Optimizer | None = None) -> FirstStep:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(16, 6, generator=generator)
    labels = torch.randint(0, 6, (16,), generator=generator)
    return first_step(opened(module, inputs, labels, optimizer=optimizer))


def seeded(*parts: nn.Module) -> nn.Sequential:
    return nn.Sequential(*parts)


@pytest.fixture(autouse=True)
def _seed():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


@pytest.mark.parametrize(
    "branch",
    [
        lambda: (linear(), nn.ReLU(), linear(zero=True)),
        lambda: (linear(), still_norm()),
        lambda: (nn.ReLU(), linear(zero=True)),
    ],
    ids=["last layer zero", "last norm zero", "only layer zero"],
)
def test_a_zero_branch_whose_last_weights_get_a_gradient_wakes(branch):
    found = measured(seeded(linear(), Block(*branch()), linear()))
    assert (found.waking, found.asleep) == (("1",), ())


@pytest.mark.parametrize(
    "branch",
    [
        lambda: (linear(zero=True), nn.ReLU(), linear(zero=True)),
        lambda: (linear(), still_norm(), nn.ReLU()),
        lambda: (linear(zero=True), nn.ReLU(), still_norm()),
    ],
    ids=["two zero layers", "a ReLU behind zero", "zero before zero"],
)
def test_a_zero_branch_that_only_biases_could_move_sleeps(branch):
    found = measured(seeded(linear(), Block(*branch()), linear()))
    assert (found.asleep, found.waking) == (("1",), ())


@pytest.mark.parametrize("make", [lambda: Block(linear(zero=True), nn.ReLU(), linear(zero=True))])
def test_what_sleeps_stays_the_identity_and_what_wakes_does_not(make):
    """The naive reference: many steps, and then whether two inputs leave the branch differently."""
    for block, stays in ((make(), True), (Block(linear(), nn.ReLU(), linear(zero=True)), False)):
        module = seeded(linear(), block, linear())
        found = measured(module)
        inputs, labels = torch.randn(16, 6), torch.randint(0, 6, (16,))
        optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
        for _ in range(20):
            optimizer.zero_grad()
            nn.functional.cross_entropy(module(inputs), labels).backward()
            optimizer.step()
        given = block.branch(inputs)
        assert bool((given - given[:1]).abs().max() == 0) == stays == bool(found.asleep)


class Attention(nn.Module):
    """Attention with itself, which reads the weights of a layer that it does not call."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(6, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.attention(x, x, x, need_weights=False)[0]


def attention(*, weights: bool) -> Attention:
    """Returns one that gives zero; ``weights``: for its output's projection alone, so that a gradient arrives there."""
    made = Attention()
    for name, one in made.named_parameters():
        if not weights or "out_proj" in name:
            nn.init.zeros_(one)
    return made


def normalised() -> nn.Module:
    """Returns one whose weight g · v / ‖v‖ has g = 0."""
    made = nn.utils.parametrizations.weight_norm(linear(zero=False))
    for name, one in made.named_parameters():
        if name.endswith(("original0", "bias")):
            nn.init.zeros_(one)
    return made


@pytest.mark.parametrize("make", [lambda: attention(weights=True), normalised])
def test_parameters_of_parts_that_are_not_called_wake_a_branch(make):
    found = measured(seeded(linear(), Block(make()), linear()))
    assert (found.waking, found.asleep) == (("1",), ())


@pytest.mark.parametrize("last", [lambda: linear(zero=True), lambda: attention(weights=False)])
def test_biases_of_any_name_wake_no_branch(last):
    """Here ``out_proj.bias`` and ``bias`` alone have a gradient; a table of biases would be no bias."""
    found = measured(seeded(linear(), Block(linear(zero=True), nn.ReLU(), last()), linear()))
    assert (found.asleep, found.waking) == (("1",), ())


class Biased(nn.Module):
    """Adds a number a channel, which goes by a name of its own, to what is zero."""

    def __init__(self) -> None:
        super().__init__()
        self.extra_bias = nn.Parameter(torch.zeros(6))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 0 * x + self.extra_bias


def test_a_bias_of_another_name_wakes_no_branch():
    assert measured(seeded(linear(), Block(Biased()), linear())).asleep == ("1",)


class Dropped(nn.Module):
    """A branch that is left out in a half of the passes, or for 19 of 20 examples."""

    def __init__(self, branch: nn.Module, *, rows: bool = False) -> None:
        super().__init__()
        self.branch, self.rows = branch, rows

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        kept = torch.rand(len(x), 1) < 0.05 if self.rows else torch.rand(()) < 0.5
        return x + self.branch(x) * kept


@pytest.mark.parametrize("rows", [False, True])
def test_what_stochastic_depth_leaves_out_of_some_passes_does_not_sleep(rows):
    found = measured(seeded(linear(), *(Dropped(linear(), rows=rows) for _ in range(8)), linear()))
    assert (found.asleep, found.waking) == ((), ())


def test_what_sleeps_beside_stochastic_depth_is_found_and_what_wakes_too():
    blocks = (Block(linear(zero=True), nn.ReLU(), linear(zero=True)), Dropped(linear(zero=True)), Dropped(linear()))
    found = measured(seeded(linear(), *blocks, linear()))
    assert (found.asleep, found.waking) == (("1",), ("2",))


def test_a_branch_that_is_not_zero_is_neither():
    found = measured(seeded(linear(), Block(linear()), linear()))
    assert (found.asleep, found.waking) == ((), ())


def test_frozen_layers_are_told_in_the_order_of_the_pass():
    module = seeded(linear(), nn.ReLU(), linear(), nn.ReLU(), linear())
    module[0].requires_grad_(False)
    module[2].requires_grad_(False)
    found = measured(module)
    assert (found.frozen, found.learning) == (("0", "2"), ("4",))


def test_what_lies_behind_a_detach_is_frozen_too():
    found = measured(seeded(linear(), Cut(), linear()))
    assert (found.frozen, found.learning) == (("0",), ("2",))


def test_a_diagnosis_measures_it_and_judges_by_it():
    module = seeded(linear(), linear())
    module[0].requires_grad_(False)
    case = opened(module, torch.randn(16, 6), torch.randint(0, 6, (16,)))
    found = diagnose(case, only=["first_step"])
    assert [one.rule for one in found.findings] == ["frozen layers"]


def test_a_frozen_bias_alone_freezes_no_layer():
    module = seeded(linear(), linear())
    module[0].bias.requires_grad_(False)
    assert measured(module).frozen == ()


def test_a_module_of_nothing_but_frozen_layers_learns_nothing():
    found = measured(seeded(linear(), linear()).requires_grad_(False))
    assert (found.frozen, found.learning) == (("0", "1"), ())


def test_coupled_decay_is_compared_with_the_gradient():
    """The step of plain SGD is −η(g + λw): its parts by hand."""
    module = seeded(linear(), nn.ReLU(), linear())
    found = measured(module, torch.optim.SGD(module.parameters(), lr=0.1, weight_decay=0.03))
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(16, 6, generator=generator)
    labels = torch.randint(0, 6, (16,), generator=generator)
    nn.functional.cross_entropy(module(inputs), labels).backward()
    weights = torch.cat([one.detach().flatten() for one in module.parameters()])
    gradients = torch.cat([one.grad.flatten() for one in module.parameters() if one.grad is not None])
    decay = 0.03 * weights.norm()
    assert found.decay_share == pytest.approx(float(decay / (decay + gradients.norm())), rel=1e-5)


def test_decoupled_decay_is_compared_with_the_sign_that_adam_first_steps_by():
    """Adam's first step is −η sign(g) but for ε; AdamW takes ηλw off beside it."""
    module = seeded(linear(), nn.Tanh(), linear())
    given = copy.deepcopy(module)
    found = measured(module, torch.optim.AdamW(module.parameters(), lr=1e-3, weight_decay=0.5))
    steps = []
    for decay in (0.0, 0.5):
        trained = copy.deepcopy(given)
        optimizer = torch.optim.AdamW(trained.parameters(), lr=1e-3, weight_decay=decay)
        generator = torch.Generator().manual_seed(0)
        inputs, labels = torch.randn(16, 6, generator=generator), torch.randint(0, 6, (16,), generator=generator)
        nn.functional.cross_entropy(trained(inputs), labels).backward()
        optimizer.step()
        moved = [(a - b).flatten() for a, b in zip(trained.parameters(), given.parameters(), strict=True)]
        steps.append(torch.cat(moved).detach())
    decay, other = (steps[1] - steps[0]).norm(), steps[0].norm()
    assert found.decay_share == pytest.approx(float(decay / (decay + other)), rel=1e-3)


def share(optimizer_of: Callable[[nn.Module], torch.optim.Optimizer], module: nn.Module) -> float:
    found = measured(module, optimizer_of(module)).decay_share
    assert found is not None
    return found


def test_a_group_counts_by_its_learning_rate():
    """The decay of a group that does not move is none of the step."""
    module = seeded(linear(), nn.Tanh(), linear())
    first, last = (
        {"params": list(module[i].parameters()), "weight_decay": decay} for i, decay in ((0, 9.0), (2, 0.01))
    )
    both = [{**first, "lr": 0.0}, {**last, "lr": 0.1}]
    assert share(lambda _: torch.optim.SGD(both), module) == pytest.approx(
        share(lambda _: torch.optim.SGD([last], lr=1.0), module), rel=1e-6
    )


def test_decay_that_an_optimizer_does_not_apply_is_none():
    def muon(decay: float) -> Muon:
        groups = [
            {"params": [module[0].weight], "weight_decay": decay, "orthogonal": True},
            {"params": [module[2].weight], "weight_decay": 0.01},
        ]
        return Muon(groups, lr=0.1)

    module = seeded(linear(), nn.Tanh(), linear())
    assert share(lambda _: muon(9.0), module) == pytest.approx(share(lambda _: muon(0.0), module), rel=1e-6)


class Half(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * (torch.arange(6) < 3)


def test_adam_turning_numbers_of_no_gradient_is_not_decay():
    """Weights of inputs that are always zero have no gradient; with decay in it Adam moves them by η all the same."""
    module = seeded(Half(), linear(), nn.Tanh(), linear())
    by_decay = [
        share(lambda _, decay=decay: torch.optim.Adam(module.parameters(), lr=1e-3, weight_decay=decay), module)
        for decay in (1e-4, 1.0)
    ]
    assert by_decay[0] < 0.01
    assert by_decay[1] > 0.2


def test_what_an_optimizer_has_learned_is_no_part_of_a_first_step():
    module = seeded(linear(), nn.Tanh(), linear())
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9, weight_decay=0.03)
    fresh = measured(module, optimizer).decay_share
    for parameter in module.parameters():
        optimizer.state[parameter]["momentum_buffer"] = torch.full_like(parameter, 100.0)
    assert measured(module, optimizer).decay_share == fresh
    assert all(bool((one["momentum_buffer"] == 100).all()) for one in optimizer.state.values())


def test_a_step_that_a_copy_cannot_take_has_no_share():
    class Asking(torch.optim.SGD):
        def step(self, closure):  # type: ignore[override]
            return closure()

    module = seeded(linear(), linear())
    assert measured(module, Asking(module.parameters(), lr=0.1, weight_decay=0.1)).decay_share is None


def test_a_module_in_evaluation_mode_is_measured_as_it_would_train():
    module = seeded(linear(), nn.BatchNorm1d(6), linear())
    nn.init.constant_(module.get_buffer("1.running_var"), 100.0)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1, weight_decay=0.1)
    assert measured(module.train(), optimizer) == measured(module.eval(), optimizer)


def test_without_an_optimizer_no_share_is_known_and_without_decay_it_is_zero():
    module = seeded(linear(), linear())
    assert measured(module).decay_share is None
    assert measured(module, torch.optim.SGD(module.parameters(), lr=0.1)).decay_share == 0.0


def test_the_module_comes_back_as_it_was():
    module = seeded(linear(), nn.BatchNorm1d(6), nn.Dropout(), linear()).eval()
    module[0].weight.grad = kept = torch.ones(6, 6)
    before, random = copy.deepcopy(module.state_dict()), torch.random.get_rng_state()
    measured(module)
    assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())
    assert not any(one.training for one in module.modules())
    assert module[0].weight.grad is kept
    assert torch.equal(random, torch.random.get_rng_state())


def test_no_other_device_is_seeded(monkeypatch):
    """`torch.manual_seed` seeds every device, and `undisturbed` puts one back."""
    monkeypatch.setattr(torch, "manual_seed", None)
    assert measured(seeded(linear(), nn.Dropout(), linear())).learning == ("0", "2")
