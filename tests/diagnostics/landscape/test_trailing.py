"""The loss along a path of training, at its points and at their projections."""

import copy

import numpy as np
import pytest
import torch
from tests.diagnostics.landscape.surveyed import line, network, pictures
from torch import nn

from residua.diagnostics.landscape.directions import Direction
from residua.diagnostics.landscape.grid import Axis, Grid
from residua.diagnostics.landscape.layout import flat
from residua.diagnostics.landscape.survey import survey
from residua.diagnostics.landscape.trailing import losses_along
from residua.errors import BadWeights


def towards(module: nn.Module, other: nn.Module, *, buffers: bool) -> Grid:
    """A line whose coordinate 1 is another network, with or without its statistics."""
    theirs = dict(other.named_buffers())
    moved = [(name, theirs[name] - one) for name, one in module.named_buffers() if one.is_floating_point()]
    step = Direction(
        kind="between",
        says="to the other",
        vector=(flat(other) - flat(module)).float(),
        buffers=tuple(moved) if buffers else (),
    )
    return Grid(axes=(Axis(direction=step, values=(0.0, 1.0)),))


def others() -> list[nn.Module]:
    """Networks whose weights are float32 numbers, so that a direction holds their differences exactly enough."""
    return [network(seed=seed) for seed in (1, 2)]


def test_the_true_loss_is_each_states_own_and_the_projected_one_is_on_the_plane():
    module, (one, two) = network(), others()
    case, grid = pictures(module), towards(module, one, buffers=False)
    before = copy.deepcopy(module.state_dict())
    states = (state for state in (one.state_dict(), two.state_dict(), module.state_dict()))
    true, projected = losses_along(case, states, grid, coordinates=[(1.0,), (0.5,), (0.0,)])
    assert true[0] == pytest.approx(float(_loss(one, case)), rel=1e-12)
    assert true[1] == pytest.approx(float(_loss(two, case)), rel=1e-12)
    assert true[2] == projected[2] == pytest.approx(float(_loss(module, case)), rel=1e-12)
    on_plane = survey(case, Grid(axes=(Axis(direction=grid.axes[0].direction, values=(0.5, 1.0)),))).cells[0].loss[0]
    np.testing.assert_allclose(projected[:2], on_plane[::-1], rtol=1e-10)
    assert all(torch.equal(one, before[name]) for name, one in module.state_dict().items())


def test_a_projection_has_the_centres_statistics_unless_the_direction_moves_them():
    module, one = network(), network(seed=1)
    for norm in (other for other in one.modules() if isinstance(other, nn.BatchNorm2d)):
        assert norm.running_mean is not None
        norm.running_mean += 0.5
    case, state = pictures(module), one.state_dict()
    for buffers, alike in ((True, True), (False, False)):
        (true,), (projected,) = losses_along(case, [state], towards(module, one, buffers=buffers), coordinates=[(1.0,)])
        assert (true == pytest.approx(projected, rel=1e-4)) is alike
    (true,), (anew,) = losses_along(
        case, [state], towards(module, one, buffers=False), coordinates=[(1.0,)], policy="recalibrated"
    )
    assert true != pytest.approx(anew, rel=1e-3)


def test_a_state_of_another_architecture_is_one_line():
    module = network()
    case, grid = pictures(module), line(module)
    state = network().state_dict()
    with pytest.raises(BadWeights, match=r"a kept state has shape \(3,\) for head.weight, which is \(3, 6\)"):
        losses_along(case, [{**state, "head.weight": torch.zeros(3)}], grid, coordinates=[(0.0,)])
    with pytest.raises(BadWeights, match=r"a kept state has nothing for stem"):
        losses_along(case, [{}], grid, coordinates=[(0.0,)])


def _loss(module: nn.Module, case) -> torch.Tensor:
    with torch.no_grad():
        return case.loss(module.eval()(*case.examples.args), case.examples.labels)
