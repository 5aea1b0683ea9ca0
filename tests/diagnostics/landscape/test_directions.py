"""Random directions: Gaussian, and as large as the weights, against a loop over filters."""

from collections.abc import Callable

import pytest
import torch
from scipy import stats
from torch import Tensor, nn
from torch.nn import functional

from residua.diagnostics.landscape import directions
from residua.diagnostics.landscape.layout import flat, layout_of
from residua.errors import BadNetwork, BadSetting, BadWeights
from residua.networks import catalogue
from residua.networks.network import build


def network() -> nn.Sequential:
    """A convolution with a dead filter, a norm, a transposed convolution, a linear layer with a bias."""
    torch.manual_seed(0)
    layers = nn.Sequential(
        nn.Conv2d(2, 6, 3), nn.BatchNorm2d(6), nn.ConvTranspose2d(6, 4, 2), nn.Flatten(), nn.Linear(4, 3)
    )
    with torch.no_grad():
        weight(layers, 0)[2] = 0
        weight(layers, 0)[4] *= 100
    return layers


def weight(layers: nn.Sequential, place: int) -> Tensor:
    return layers.state_dict()[f"{place}.weight"]


def parts(direction: directions.Direction, module: nn.Module) -> dict[str, Tensor]:
    return layout_of(module).parts(direction.vector)


def raw(module: nn.Module, seed: int) -> dict[str, Tensor]:
    return parts(directions.random(module, seed=seed, normalisation="none", small=True), module)


def by_filter(d: Tensor, theta: Tensor) -> Tensor:
    if d.dim() <= 1:
        return by_layer(d, theta)
    return torch.stack([by_layer(one, own) for one, own in zip(d, theta, strict=True)])


def by_layer(d: Tensor, theta: Tensor) -> Tensor:
    return d * (float(theta.square().sum()) ** 0.5 / float(d.square().sum()) ** 0.5)


def by_weight(d: Tensor, theta: Tensor) -> Tensor:
    flat_d, flat_theta = d.flatten().tolist(), theta.flatten().tolist()
    return torch.tensor([a * abs(b) for a, b in zip(flat_d, flat_theta, strict=True)]).reshape(d.shape)


NAIVE = {"filter": by_filter, "layer": by_layer, "weight": by_weight}


@pytest.mark.parametrize("small", [False, True])
@pytest.mark.parametrize("how", list(NAIVE))
def test_each_normalisation_is_that_of_a_loop(how: str, small: bool):
    module = network()
    drawn = raw(module, 5)
    naive: Callable[[Tensor, Tensor], Tensor] = NAIVE[how]
    found = parts(directions.random(module, seed=5, normalisation=how, small=small), module)
    for name, theta in module.named_parameters():
        moves = small or theta.dim() > 1
        expected = naive(drawn[name], theta.detach()) if moves else torch.zeros_like(theta)
        torch.testing.assert_close(found[name], expected, rtol=1e-5, atol=0)


def test_every_filter_is_as_long_as_its_weights_and_a_dead_one_stays_dead():
    """Li et al. 2018, §4: ‖d_f‖ = ‖θ_f‖; a filter of norm 0 gets 0 and no NaN, its neighbours are as ever."""
    module = network()
    found = parts(directions.random(module, seed=1), module)
    for place in (0, 2, 4):
        theta = weight(module, place)
        torch.testing.assert_close(found[f"{place}.weight"].flatten(1).norm(dim=1), theta.flatten(1).norm(dim=1))
    assert not found["0.weight"][2].any()
    assert found["0.weight"][[0, 1, 3, 4, 5]].all()


def test_scaling_a_filter_and_undoing_it_behind_the_norm_changes_no_loss_along_the_direction():
    """What filter normalisation is for (§4): with a norm behind it, a filter's size is invisible, also on the map."""
    torch.manual_seed(1)
    small, x = normed(), torch.randn(8, 3, 6, 6).double()
    large = normed()
    large.load_state_dict(small.state_dict())
    with torch.no_grad():
        weight(large, 0).mul_(torch.tensor([1.0, 10.0, 1000.0, 0.1]).view(4, 1, 1, 1))
    for at in (0.3, 1.0, -2.0):
        outputs = [moved(one, directions.random(one, seed=3), at)(x) for one in (small, large)]
        torch.testing.assert_close(outputs[0], outputs[1], rtol=1e-5, atol=1e-6)
    plain = [moved(one, directions.random(one, seed=3, normalisation="none"), 1.0)(x) for one in (small, large)]
    assert (plain[0] - plain[1]).abs().max() > 0.1


def normed() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4, eps=1e-12)).double()


def moved(module: nn.Module, direction: directions.Direction, at: float) -> Callable[[Tensor], Tensor]:
    """The module at a coordinate, in evaluation by batch statistics."""
    tensors = layout_of(module).parts(flat(module) + at * direction.vector.to(flat(module).dtype))
    return lambda x: torch.func.functional_call(module, tensors, x)


def test_a_direction_is_gaussian_and_not_uniform():
    """Mean 0, as often below it as above, variance 1, kurtosis 3 (uniform: 1.8); and by Kolmogorov and Smirnov."""
    drawn = raw(nn.Linear(400, 500, bias=False), 7)["weight"].double().flatten().numpy()
    n = len(drawn)
    assert abs(drawn.mean()) < 4 / n**0.5
    assert abs((drawn > 0).mean() - 0.5) < 2 / n**0.5
    assert drawn.var() == pytest.approx(1, abs=4 * (2 / n) ** 0.5)
    assert stats.kurtosis(drawn) == pytest.approx(0, abs=4 * (24 / n) ** 0.5)
    assert stats.kstest(drawn, "norm").pvalue > 0.001


def test_a_direction_is_no_copy_of_the_weights_and_is_nearly_at_a_right_angle_to_others():
    """The cosine of independent directions in p dimensions is of size 1/√p."""
    module = nn.Linear(300, 400)
    x, y = directions.random_pair(module, seed=0)
    weights = directions.Direction(kind="random", says="the weights themselves", vector=flat(module))
    bound = 5 / len(flat(module)) ** 0.5
    assert abs(directions.cosine(x, weights)) < bound
    assert 0 < abs(directions.cosine(x, y)) < bound
    assert directions.cosine(x, x) == pytest.approx(1)
    assert (x.seed, y.seed) == (0, 1)
    assert {one.seed for one in directions.random_pair(module, seed=1)} == {2, 3}
    assert "nearly at a right angle" in directions.cosine_says(x, y)
    assert "1.0000: the map is drawn" in directions.cosine_says(x, x)


def test_a_seed_is_a_direction_whatever_else_was_drawn():
    module = network()
    first = directions.random(module, seed=3).vector
    torch.manual_seed(99)
    state = torch.get_rng_state()
    assert torch.equal(directions.random(module, seed=3).vector, first)
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.equal(directions.random(module, seed=4).vector, first)
    with_small = parts(directions.random(module, seed=3, small=True), module)
    torch.testing.assert_close(with_small["4.weight"], layout_of(module).parts(first)["4.weight"], rtol=0, atol=0)


def test_what_is_frozen_stays_and_the_module_comes_back_as_it_was():
    module = network()
    module[4].weight.requires_grad_(False)
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    found = parts(directions.random(module, seed=0, small=True), module)
    assert not found["4.weight"].any()
    assert found["4.bias"].all()
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())
    assert [one.requires_grad for one in module[4].parameters()] == [False, True]


def test_small_tensors_stay_where_nothing_else_is_said():
    module = build(catalogue.specification("resnet20"), seed=0)
    found = parts(directions.random(module, seed=0), module)
    assert {name for name, one in found.items() if not one.any()} == {
        name for name, one in module.named_parameters() if one.dim() <= 1
    }


def test_a_shared_weight_moves_once():
    module = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    module[1].weight = module[0].weight
    assert len(directions.random(module, seed=0).vector) == 9 + 3 + 3


def test_an_eigenvector_is_as_long_as_what_it_moves_and_keeps_its_line():
    module = network()
    v = torch.zeros(len(flat(module)))
    slot = layout_of(module).slots[-2]
    v[slot.start : slot.stop] = -torch.arange(1.0, slot.stop - slot.start + 1)
    found = directions.eigenvector(module, v, 12.5)
    weights = weight(module, 4)
    assert float(found.vector.norm()) == pytest.approx(float(weights.norm()))
    assert float(functional.cosine_similarity(found.vector, v, dim=0)) == pytest.approx(-1)
    assert float(found.vector[slot.stop - 1]) > 0
    torch.testing.assert_close(directions.eigenvector(module, -3 * v, 12.5).vector, found.vector)
    assert (found.kind, found.eigenvalue) == ("hessian", 12.5)


def test_what_cannot_be_a_direction_is_refused_in_one_line():
    module = network()
    with pytest.raises(BadSetting, match="'filters' is no normalisation; did you mean 'filter'"):
        directions.random(module, seed=0, normalisation="filters")
    with pytest.raises(BadNetwork, match="no weight of BatchNorm2d would move: .* small=True"):
        directions.random(nn.BatchNorm2d(3), seed=0)
    assert directions.random(nn.BatchNorm2d(3), seed=0, small=True).vector.any()
    with pytest.raises(BadNetwork, match="frozen"):
        directions.random(module.requires_grad_(False), seed=0, small=True)
    module = network()
    with torch.no_grad():
        weight(module, 0)[0, 0, 0, 0] = torch.inf
    with pytest.raises(BadWeights, match=r"0\.weight holds a value"):
        directions.random(module, seed=0)


def test_a_layer_without_numbers_is_no_obstacle():
    module = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1))
    module[1].weight = nn.Parameter(torch.zeros(0, 2))
    for how in ("filter", "layer", "weight", "none"):
        assert directions.random(module, seed=0, normalisation=how, small=True).vector.isfinite().all()
