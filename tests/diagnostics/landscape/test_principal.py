"""The plane through a path, against a singular value decomposition of the dense matrix."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from residua.diagnostics.landscape import principal as principals
from residua.diagnostics.landscape.layout import flat, layout_of
from residua.diagnostics.landscape.principal import principal
from residua.errors import BadRun, BadWeights


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 5, 3), nn.BatchNorm2d(5), nn.Flatten(), nn.Linear(5, 3)).double()


def states(module: nn.Module, rows: Tensor) -> list[dict[str, Tensor]]:
    """The states θ_T + row for rows [n, p]; running statistics are anything."""
    own = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    return [
        {**own, **layout_of(module).parts(flat(module) + row), "1.running_mean": torch.randn(5).double()}
        for row in rows
    ]


def walk(module: nn.Module, points: int) -> Tensor:
    """Steps of a random walk towards 0, far from centred at it."""
    generator = torch.Generator().manual_seed(1)
    return torch.randn(points, len(flat(module)), generator=generator).double().cumsum(0).flip(0)


def test_axes_shares_and_coordinates_are_those_of_the_dense_matrix(monkeypatch):
    """In float64 and by blocks that no tensor's size is a multiple of."""
    monkeypatch.setattr(principals, "_BLOCK", 7)
    module = network()
    rows = walk(module, 9)
    found = principal(module, states(module, rows))
    u, s, vh = torch.linalg.svd(rows, full_matrices=False)
    for place, axis in enumerate(found.axes):
        sign = torch.sign(u[0, place])
        torch.testing.assert_close(axis.vector.double(), sign * vh[place], rtol=1e-5, atol=1e-6)
        assert axis.explained == pytest.approx(float(s[place] ** 2 / s.square().sum()))
        assert float(axis.vector.norm()) == pytest.approx(1)
    torch.testing.assert_close(
        torch.tensor([found.x, found.y]).double(), (rows @ (vh[:2] * torch.sign(u[0, :2, None])).T).T
    )
    assert found.explained == tuple(axis.explained for axis in found.axes)
    assert found.x[0] > 0
    assert found.y[0] > 0
    assert abs(float(found.axes[0].vector @ found.axes[1].vector)) < 1e-6


def test_the_plane_is_the_nearest_one_through_the_final_weights():
    """Centred at the path's mean, as statistics packages do it, the plane through θ_T leaves more of the path out."""
    module = network()
    rows = walk(module, 9)
    found = principal(module, states(module, rows))
    centred = torch.linalg.svd(rows - rows.mean(0), full_matrices=False).Vh[:2]
    left_out = [float((rows - rows @ plane.T @ plane).square().sum()) for plane in (axes(found), centred)]
    assert left_out[0] < 0.99 * left_out[1]
    assert sum(found.explained) == pytest.approx(1 - left_out[0] / float(rows.square().sum()), abs=1e-6)


def axes(found: principals.Principal) -> Tensor:
    return torch.stack([axis.vector.double() for axis in found.axes])


def test_a_path_in_a_plane_is_explained_whole_and_lies_where_it_was_put():
    module = network()
    basis = torch.linalg.qr(walk(module, 2).T).Q.T
    inside = torch.tensor([[5.0, 1.0], [4.0, -1.0], [2.0, 1.0], [0.0, 0.0]]).double()
    found = principal(module, states(module, inside @ basis))
    assert sum(found.explained) == pytest.approx(1, abs=1e-9)
    placed = torch.tensor([found.x, found.y]).double().T @ axes(found)
    torch.testing.assert_close(placed, inside @ basis, rtol=1e-4, atol=1e-5)
    assert (found.x[-1], found.y[-1]) == pytest.approx((0, 0), abs=1e-12)


def test_the_origin_is_the_modules_own_weights_also_where_they_are_no_point_of_the_path():
    """A run that chose an earlier epoch: its last point is not at 0."""
    module = network()
    rows = walk(module, 5) + 3
    found = principal(module, states(module, rows))
    assert abs(found.x[-1]) > 1
    lengths = torch.tensor([found.x, found.y]).norm(dim=0)
    assert bool((lengths <= rows.norm(dim=1) * (1 + 1e-6)).all())


def test_the_ranges_hold_the_path_and_the_final_weights():
    module = network()
    found = principal(module, states(module, walk(module, 5) + 3))
    for values, (low, high) in zip((found.x, found.y), found.ranges(0.1), strict=True):
        edges = min(*values, 0), max(*values, 0)
        width = edges[1] - edges[0]
        assert (low, high) == pytest.approx((edges[0] - 0.1 * width, edges[1] + 0.1 * width))
        assert low < 0 < high


def test_states_are_looked_at_and_not_written_and_the_module_stays():
    module = network()
    kept = states(module, walk(module, 4))
    before = [{name: tensor.clone() for name, tensor in state.items()} for state in (*kept, module.state_dict())]
    principal(module, kept)
    for state, was in zip((*kept, module.state_dict()), before, strict=True):
        assert all(torch.equal(tensor, was[name]) for name, tensor in state.items())


def refused(rows: Tensor, said: str, change: Sequence[tuple[str, Tensor]] = ()) -> None:
    module = network()
    kept = states(module, rows)
    kept[-1] |= dict(change)
    with pytest.raises((BadRun, BadWeights), match=said) as caught:
        principal(module, kept)
    assert "\n" not in str(caught.value)


def test_a_path_that_spans_no_plane_is_refused_in_one_line():
    rows = walk(network(), 4)
    refused(rows[:2], "the path has 2 points and a plane through it needs 3; train longer")
    refused(0 * rows, "does not move: every point is where the final weights are")
    refused(torch.tensor([3.0, 2.0, 1.0, 0.0])[:, None] * rows[:1], "straight line, which spans no plane")
    refused(rows, "point 4 of 4, .* no finite number", [("3.bias", torch.full((3,), torch.nan))])
    refused(rows, r"3\.weight .* shape \(3, 6\)", [("3.weight", torch.zeros(3, 6))])
