"""Surfaces that are known, the slow obvious one beside the fast one, and what existing tools get wrong."""

import copy
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from tests.diagnostics.landscape.surveyed import direction, line, naive, network, normal, pictures, plane
from torch import Tensor, nn

from residua import machine
from residua.diagnostics.case import opened
from residua.diagnostics.landscape import evaluating
from residua.diagnostics.landscape.directions import Direction
from residua.diagnostics.landscape.grid import Axis, Grid
from residua.diagnostics.landscape.surface import Surface
from residua.diagnostics.landscape.survey import survey
from residua.errors import BadData, BadSetting


class Weights(nn.Module):
    """Gives its two numbers to every example, so that a loss of them is known at every point."""

    def __init__(self, x: float = 0.0, y: float = 0.0) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor([x, y], dtype=torch.float64))

    def forward(self, images: Tensor) -> Tensor:
        return self.w.expand(len(images), 2)


def along(*vector: float) -> Direction:
    return Direction(kind="random", says="by hand", vector=torch.tensor(vector))


def of_weights(module: nn.Module, xs: tuple[float, ...], ys: tuple[float, ...], loss, **options) -> Surface:
    grid = Grid(axes=(Axis(direction=along(1, 0), values=xs), Axis(direction=along(0, 1), values=ys)))
    return survey(opened(module, normal(4, 3), loss=loss), grid, **options)


def bowl(given: Tensor, _labels: object) -> Tensor:
    """3 x² + x y + 2 y², and 0 at the centre exactly."""
    x, y = given.mean(0)
    return 3 * x**2 + x * y + 2 * y**2


XS, YS = (-1.0, -0.25, 0.0, 0.5, 2.0), (-2.0, 0.0, 1.5)


def test_a_quadratic_loss_has_the_surface_that_is_known():
    """Exact in float64, at a centre that is not 0."""
    found = of_weights(Weights(0.5, -0.25), XS, YS, bowl)
    x, y = np.meshgrid(0.5 + np.array(XS), -0.25 + np.array(YS))
    np.testing.assert_array_equal(found.cells[0].loss, 3 * x**2 + x * y + 2 * y**2)
    assert found.done == 1
    assert found.precision.name == "float64"


def test_rows_are_not_shifted_and_grids_need_not_be_square():
    """Cell [j, i] is (x_i, y_j): a loss that is the coordinates themselves says which cell is which."""
    found = of_weights(Weights(), XS, YS, lambda given, _: given.mean(0) @ given.new_tensor([100.0, 1.0]))
    assert found.cells[0].loss.shape == (3, 5)
    np.testing.assert_allclose(found.cells[0].loss, [[100 * x + y for x in XS] for y in YS], rtol=0, atol=1e-12)


@pytest.mark.parametrize("xs", [(0.0, 0.5, 1.0), (-1.0, 0.0), (2.0, 3.0)])
def test_a_range_may_end_at_0_or_leave_it_out(xs: tuple[float, ...]):
    found = of_weights(Weights(), xs, (0.0, 1.0), bowl)
    np.testing.assert_array_equal(found.cells[0].loss, [[3 * x**2 + x * y + 2 * y**2 for x in xs] for y in (0.0, 1.0)])


def test_a_loss_of_0_has_been_computed(tmp_path, monkeypatch):
    """Zeros and losses below 0 are losses; what is missing is NaN, and a second sitting computes nothing."""
    first = of_weights(Weights(), XS, YS, lambda given, _: bowl(given, _) - 1.0, store=tmp_path / "s.npz")
    assert (first.cells[0].loss < 0).any()
    zero = of_weights(Weights(), XS, YS, bowl, store=tmp_path / "zero.npz")
    assert zero.cells[0].loss[1, 2] == 0.0
    assert zero.done == 1
    asked: list[Tensor] = []
    monkeypatch.setattr(evaluating.Question, "_on", _counting(asked))
    again = of_weights(Weights(), XS, YS, bowl, store=tmp_path / "zero.npz")
    np.testing.assert_array_equal(again.cells[0].loss, zero.cells[0].loss)
    assert len(asked) == 1  # the centre, to know that the loss is the same


def _counting(asked: list[Tensor]):
    inside = evaluating.Question._on

    def on(self, module, part):
        asked.append(module)
        return inside(self, module, part)

    return on


def test_a_loss_that_is_no_number_is_infinite_and_not_missing():
    found = of_weights(Weights(), (-1.0, 1.0), (0.0, 1.0), lambda given, _: given.mean(0)[0].sqrt())
    np.testing.assert_array_equal(found.cells[0].loss, [[np.inf, 1.0], [np.inf, 1.0]])
    assert found.done == 1


@pytest.mark.parametrize("of", [plane, line])
def test_every_cell_is_that_of_the_naive_way(of):
    """The state dict set by hand, the full model, no folding; all parameters and running statistics move."""
    module = network()
    case, grid = pictures(module), of(module, buffers=0.05)
    found = survey(case, grid)
    assert found.folded > 0
    np.testing.assert_allclose(found.cells[0].loss, naive(case, grid), rtol=1e-10)


def attention() -> nn.Module:
    layer = nn.TransformerEncoderLayer(6, 2, 8, dropout=0.1, batch_first=True, dtype=torch.float64)
    return nn.Sequential(layer, nn.Flatten(), nn.Linear(24, 3, dtype=torch.float64))


class Tied(nn.Module):
    """The last layer is the first one's weight, turned round."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(24, 24, bias=False, dtype=torch.float64)
        self.last = nn.Linear(24, 24, bias=False, dtype=torch.float64)
        self.last.weight = self.first.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.first(x.flatten(1)).relu())[:, :3]


@pytest.mark.parametrize("make", [attention, Tied])
def test_any_module_with_any_inputs(make):
    torch.manual_seed(0)
    module = make()
    case = opened(module, normal(8, 4, 6), torch.arange(8) % 3)
    grid = plane(module)
    found = survey(case, grid, policy="recalibrated")
    np.testing.assert_allclose(found.cells[0].loss, naive(case, grid), rtol=1e-10)
    assert found.cells[0].error is not None
    assert found.folded == 0


def test_the_module_is_left_where_it_was():
    """Not moved, gradients not off, modes, buffers and random states as before."""
    module = network().train()
    module.get_submodule("head").requires_grad_(False)
    gradients = {name: torch.ones_like(one) for name, one in module.named_parameters()}
    for name, one in module.named_parameters():
        one.grad = gradients[name]
    before = copy.deepcopy(module.state_dict())
    needs = {name: one.requires_grad for name, one in module.named_parameters()}
    drawn = torch.get_rng_state(), str(np.random.get_state(legacy=False)["state"])
    for policy in ("frozen", "batch", "recalibrated"):
        survey(pictures(module), line(module, x=(-1.0, 1.0)), policy=policy)
    for name, one in module.state_dict().items():
        assert torch.equal(one, before[name]), name
    assert {name: one.requires_grad for name, one in module.named_parameters()} == needs
    assert all(one.grad is gradients[name] for name, one in module.named_parameters())
    assert all(one.training for one in module.modules())
    assert torch.equal(drawn[0], torch.get_rng_state())
    assert drawn[1] == str(np.random.get_state(legacy=False)["state"])


def test_two_parts_in_one_go():
    module = network()
    case, grid = pictures(module, held_out=9), plane(module)
    found = survey(case, grid, parts=("train", "validation"))
    assert [(one.part, one.images) for one in found.cells] == [("train", 12), ("validation", 9)]
    assert case.held_out is not None
    unseen = opened(module, case.held_out.args[0], case.held_out.labels)
    np.testing.assert_allclose(found.cells[1].loss, naive(unseen, grid), rtol=1e-10)


def test_the_picture_fills_from_coarse_to_fine_and_the_time_left_falls_to_0():
    module = Weights()
    values = tuple(0.1 * place for place in range(-4, 5))
    grid = Grid(axes=(Axis(direction=along(1, 0), values=values), Axis(direction=along(0, 1), values=values)))
    seen: list[tuple[float, float]] = []
    surfaces: list[Surface] = []

    def told(surface: Surface, left: float) -> None:
        seen.append((surface.done, left))
        surfaces.append(surface)

    survey(opened(module, normal(4, 3), loss=bowl), grid, told=told)
    assert seen[0][0] == pytest.approx(1 / 81)
    assert seen[0][1] > 0
    assert seen[-1] == (1.0, 0.0)
    assert not np.isnan(surfaces[0].cells[0].loss[4, 4])  # the middle first
    assert np.isnan(surfaces[0].cells[0].loss).sum() == 80


@pytest.mark.skipif(not machine.has_bfloat16(torch.device("cpu")), reason="this processor has no bfloat16")
def test_a_map_is_in_bfloat16_and_says_how_far_it_is_from_float32():
    module = network().float()
    case = opened(module, normal(12, 2, 6, 6).float(), torch.arange(12) % 3)
    found, exact = survey(case, plane(module)), survey(case, plane(module), precision="float32")
    assert (found.precision.name, found.precision.cells) == ("bfloat16", 1)
    assert 0 < found.precision.worst < 0.05
    assert (exact.precision.name, exact.precision.cells, exact.precision.worst) == ("float32", 0, 0.0)
    assert not np.array_equal(found.cells[0].loss, exact.cells[0].loss)
    np.testing.assert_allclose(found.cells[0].loss, exact.cells[0].loss, rtol=0.05)
    assert asdict(found.cells[0].centre) == asdict(exact.cells[0].centre)
    assert survey(case, line(module)).precision.name == "float32"
    assert survey(case, plane(module, x=(-0.01, 0.0, 0.01))).precision.name == "float32"


def test_what_cannot_be_surveyed_is_one_line():
    module = network()
    case = pictures(module)
    with pytest.raises(BadSetting, match="'frosen' is no policy for norms; did you mean 'frozen'"):
        survey(case, plane(module), policy="frosen")  # type: ignore[arg-type]
    with pytest.raises(BadSetting, match="'float8' is no precision of a surface"):
        survey(case, plane(module), precision="float8")  # type: ignore[arg-type]
    with pytest.raises(BadSetting, match="images is 0; give how many"):
        survey(case, plane(module), images=0)
    with pytest.raises(BadSetting, match="share is 4/3; give one of 1/3 to 3/3"):
        survey(case, plane(module), share=(4, 3))
    with pytest.raises(BadSetting, match=r"a direction has 2 numbers, and the module [\d,]+ parameters"):
        survey(case, Grid(axes=(Axis(direction=along(1, 0), values=(0.0, 1.0)),)))
    empty = replace(case, examples=case.examples.take(slice(0, 0)))
    with pytest.raises(BadData, match="the train part has no images"):
        survey(empty, plane(module))


def test_images_are_drawn_alike_and_their_number_is_told():
    module = network()
    found = survey(pictures(module), line(module), images=5)
    assert found.cells[0].images == 5
    assert "5 of 12 images" in found.remarks[0]
    np.testing.assert_array_equal(found.cells[0].loss, survey(pictures(module), line(module), images=5).cells[0].loss)
    whole = survey(pictures(module), line(module), images=None)
    assert whole.cells[0].images == 12
    assert whole.remarks == ()


def test_a_direction_that_moves_nothing_gives_the_centre_everywhere():
    module = network()
    zero = Direction(kind="random", says="none", vector=torch.zeros_like(direction(module, 1).vector))
    found = survey(pictures(module), Grid(axes=(Axis(direction=zero, values=(-1.0, 0.0, 1.0)),)))
    np.testing.assert_allclose(found.cells[0].loss, found.cells[0].centre.loss, rtol=1e-12)
