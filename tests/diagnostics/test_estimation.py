"""Cosines within a stage: closed forms, and which places make a stage."""

import math
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from residua.diagnostics.case import opened
from residua.diagnostics.estimation import iterative_estimation


@pytest.fixture(autouse=True)
def _the_same_weights() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def drawn(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


class Adding(nn.Module):
    """y = x + Wx, a ReLU in place behind it if asked for."""

    def __init__(self, weight: Tensor, *, rectified: bool = False) -> None:
        super().__init__()
        self.part = nn.Linear(*weight.shape[::-1], bias=False)
        self.part.load_state_dict({"weight": weight})
        self.rectified = rectified

    def forward(self, x: Tensor) -> Tensor:
        y = x + self.part(x)
        return y.relu_() if self.rectified else y


def turning(degrees: float) -> Tensor:
    """I + W turns the plane."""
    angle = math.radians(degrees)
    turn = [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
    return torch.tensor(turn) - torch.eye(2)


def test_blocks_that_turn_the_plane_have_the_cosines_of_what_is_left_to_turn():
    module = nn.Sequential(*(Adding(turning(20)) for _ in range(4)))
    (stage,) = iterative_estimation(opened(module, drawn(40, 2))).stages
    assert stage.names == ("0", "1", "2", "3")
    assert stage.cosines == pytest.approx([math.cos(math.radians(20 * left)) for left in (3, 2, 1, 0)], abs=1e-5)
    assert stage.rises


@pytest.mark.parametrize(("back", "rises"), [(5.0, True), (20.0, False)])
def test_a_stage_rises_where_it_falls_by_a_hundredth_at_most(back, rises):
    """Turned away and back, 1° before the end: the cosine falls from cos 1° to cos (back − 1°)."""
    module = nn.Sequential(Adding(turning(30)), Adding(turning(back)), Adding(turning(-back)), Adding(turning(1)))
    (stage,) = iterative_estimation(opened(module, drawn(40, 2))).stages
    expected = [math.cos(math.radians(one)) for one in (1, back - 1, 1, 0)]
    assert stage.cosines == pytest.approx(expected, abs=1e-5)
    assert stage.rises == rises


def test_the_sum_is_compared_as_it_was_before_it_was_overwritten_and_each_example_counts_once():
    """More examples than go into one pass, the last part smaller."""
    blocks = [Adding(0.7 * drawn(6, 6, seed=seed), rectified=True) for seed in (1, 2, 3)]
    x = drawn(37, 6)
    (stage,) = iterative_estimation(opened(nn.Sequential(*blocks), x)).stages
    sums, h = [], x
    with torch.no_grad():
        for block in blocks:
            sums.append(h + block.part(h))
            h = sums[-1].relu()
    expected = [float(functional.cosine_similarity(one, sums[-1], dim=1).mean()) for one in sums]
    assert stage.cosines == pytest.approx(expected, abs=1e-5)


def test_stages_are_runs_of_one_shape():
    class Widening(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.other = nn.Linear(2, 3), nn.Linear(2, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.one(x) + self.other(x).relu()

    narrow, wide = (
        [Adding(0.1 * drawn(2, 2, seed=i)) for i in range(3)],
        [Adding(0.1 * drawn(3, 3, seed=i)) for i in (7,)],
    )
    module = nn.Sequential(*narrow, Widening(), *wide, nn.Linear(3, 2), Adding(drawn(2, 2)))
    found = iterative_estimation(opened(module, drawn(10, 2)))
    assert [one.names for one in found.stages] == [("0", "1", "2"), ("3", "4")]
    assert [one.cosines[-1] for one in found.stages] == pytest.approx([1, 1])


def test_a_network_without_additions_is_looked_at_by_its_layers():
    module = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    x = drawn(20, 3)
    (stage,) = iterative_estimation(opened(module, x)).stages
    with torch.no_grad():
        first, second = module[0](x), module[:3](x)
    assert stage.names == ("0", "2")
    assert stage.cosines[0] == pytest.approx(float(functional.cosine_similarity(first, second).mean()), abs=1e-5)


def test_a_network_of_one_layer_has_no_stage():
    assert iterative_estimation(opened(nn.Linear(3, 2), drawn(5, 3))).stages == ()


def test_it_is_evaluation_mode_and_the_module_comes_back_as_it_was():
    """Dropout of everything would leave no cosine."""
    module = nn.Sequential(Adding(turning(20)), nn.Dropout(1.0), Adding(turning(20)), nn.BatchNorm1d(2))
    before = {name: one.clone() for name, one in module.state_dict().items()}
    (stage,) = iterative_estimation(opened(module, drawn(40, 2))).stages
    assert stage.cosines[0] == pytest.approx(math.cos(math.radians(20)), abs=1e-5)
    assert all(one.training for one in module.modules())
    assert all(torch.equal(one, before[name]) for name, one in module.state_dict().items())
