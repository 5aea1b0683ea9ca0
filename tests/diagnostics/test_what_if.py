import copy

import pytest
import torch
from torch import nn

from residua.diagnostics import what_if as file
from residua.diagnostics.case import Case, opened
from residua.diagnostics.questions import questions
from residua.diagnostics.what_if import WhatIf, what_if
from residua.errors import BadNetwork
from residua.networks.network import build
from residua.networks.spec import NetworkSpec, small_stem

SPEC = NetworkSpec(stem=small_stem(4), blocks=(2,), widths=(4,), in_channels=1, classes=3, shortcut="none")


def case_of(network: nn.Module, *, shape: tuple[int, ...] = (1, 8, 8), rate: float | None = None) -> Case:
    images = torch.randn(24, *shape, generator=torch.Generator().manual_seed(0))
    optimizer = None if rate is None else torch.optim.SGD(network.parameters(), lr=rate, momentum=0.9)
    return opened(network, images, torch.arange(24) % 3, optimizer=optimizer)


def sigmoids() -> nn.Sequential:
    torch.manual_seed(0)
    layers = [part for _ in range(6) for part in (nn.Linear(6, 6), nn.Sigmoid())]
    return nn.Sequential(nn.Flatten(), nn.Linear(6, 6), nn.Sigmoid(), *layers, nn.Linear(6, 3))


def names(rows: tuple[WhatIf, ...]) -> list[str]:
    return [row.name for row in rows]


@pytest.fixture
def answered(monkeypatch: pytest.MonkeyPatch):
    """Has every variant answered as one of them did: for tests of which are asked, not of what is learned."""
    answers = questions(case_of(sigmoids(), shape=(6,)))
    monkeypatch.setattr(file, "questions", lambda case: answers)


def test_the_network_as_it_is_comes_first_and_rates_are_tried_where_it_has_one(answered):
    rows = what_if(case_of(sigmoids(), shape=(6,), rate=0.1))
    assert names(rows) == ["as it is", "residual twin", "activation", "norm", "initialisation", "rate", "rate"]
    assert names(what_if(case_of(sigmoids(), shape=(6,)))) == names(rows)[:5]


def test_the_numbers_are_those_of_the_variants():
    """Gradients of seven sigmoids vanish; with norms, or shortcuts, they hardly do."""
    rows = {row.name: row for row in what_if(case_of(sigmoids(), shape=(6,)))}
    as_it_is = rows["as it is"].ratio
    assert as_it_is is not None
    assert as_it_is < 1e-3
    for name in ("residual twin", "norm"):
        ratio = rows[name].ratio
        assert ratio is not None
        assert ratio > 30 * as_it_is


def test_a_rate_changes_what_is_learned_and_not_the_gradient_before():
    rows = [row for row in what_if(case_of(sigmoids(), shape=(6,), rate=0.1)) if row.name in ("as it is", "rate")]
    assert len({row.ratio for row in rows}) == 1
    assert len({row.first_loss for row in rows}) == 1
    assert len({row.last_loss for row in rows}) == 3


def test_a_network_that_has_learned_is_beside_itself_drawn_anew(answered):
    """Its variants have learned nothing; one that is as the seed drew it stands there once."""
    network = build(SPEC, seed=0)
    assert "drawn anew" not in names(what_if(case_of(network), seed=0))
    assert "drawn anew" in names(what_if(case_of(network), seed=1))


def test_what_is_made_by_a_recipe_is_asked_for_each_variants_optimizer(answered):
    made: list[int] = []

    def make(network: nn.Module) -> torch.optim.Optimizer:
        made.append(sum(one.numel() for one in network.parameters()))
        return torch.optim.SGD(network.parameters(), lr=0.01)

    rows = what_if(case_of(build(SPEC, seed=0), rate=0.1), make=make)
    assert len(made) == sum(row.name not in ("as it is", "rate") for row in rows)


def test_the_network_and_its_optimizer_are_left_as_they_are():
    network = sigmoids()
    case = case_of(network, shape=(6,), rate=0.1)
    before = copy.deepcopy(network.state_dict())
    assert case.optimizer is not None
    state = torch.get_rng_state()
    what_if(case)
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    assert case.optimizer.param_groups[0]["lr"] == 0.1
    assert not case.optimizer.state
    assert all(parameter.grad is None for parameter in network.parameters())
    assert torch.equal(torch.get_rng_state(), state)


def test_the_time_is_told_once_the_first_has_measured_it():
    told: list[tuple[str, int, bool]] = []
    what_if(
        case_of(sigmoids(), shape=(6,)),
        told=lambda variant, left, seconds: told.append((variant.name, left, seconds is not None)),
    )
    assert told[0] == ("as it is", 5, False)
    assert told[1:] == [
        ("residual twin", 4, True),
        ("activation", 3, True),
        ("norm", 2, True),
        ("initialisation", 1, True),
    ]


class Fixed(nn.Module):
    """Cannot be copied."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x)

    def __deepcopy__(self, memo: object) -> "Fixed":
        raise TypeError("holds a file")


def test_what_cannot_be_copied_is_one_line():
    with pytest.raises(BadNetwork, match="cannot be copied"):
        what_if(case_of(Fixed(), shape=(6,)))
