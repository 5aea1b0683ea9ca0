"""Dense networks: what they compute, written out, and what their seed draws."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from residua.errors import BadNetwork, BadSetting
from residua.studies.dense import Dense, DenseNetwork, case_of, inputs, require_dense
from residua.studies.trial import Trial


def trial(make, *, seed: int = 0) -> Trial:
    def images(_: int):
        raise AssertionError("a dense network is given normal inputs")

    return Trial(arm="arm", seed=seed, network=make, case=images, run=None)


def weights(network: DenseNetwork) -> list[torch.Tensor]:
    return [one.weight for one in network.units.modules() if isinstance(one, nn.Linear)]


@pytest.mark.parametrize("shortcuts", [True, False])
@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_a_network_is_its_units_written_out(shortcuts, scale):
    network = Dense(depth=3, width=8, layers=2, norm=False, shortcuts=shortcuts, scale=scale)(0)
    x = torch.randn(5, 2, 4)
    drawn, y = weights(network), x.flatten(1)
    for first, second in zip(drawn[::2], drawn[1::2], strict=True):
        branch = scale * ((y.relu() @ first.T).relu() @ second.T)
        y = y + branch if shortcuts else branch
    assert torch.allclose(network(x), y @ network.head.weight.T, atol=1e-6)


def test_a_norm_makes_every_unit_blind_to_the_scale_of_its_input():
    network, x = Dense(depth=2, width=16, shortcuts=False)(0), torch.randn(32, 16)
    assert torch.allclose(network(x), network(100 * x), rtol=1e-3, atol=1e-3)


def test_a_seed_draws_the_weights_and_leaves_the_global_state_alone():
    spec, state = Dense(depth=2, width=16), torch.get_rng_state()
    one, same, other = spec(1), spec(1), spec(2)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(a, b) for a, b in zip(weights(one), weights(same), strict=True))
    assert not torch.equal(weights(one)[0], weights(other)[0])


@pytest.mark.parametrize(
    ("changed", "variance"),
    [({}, 2 / 256), ({"activation": "tanh"}, 25 / 9 / 256), ({"activation": "tanh", "gain": 1.0}, 1 / 256)],
)
def test_weights_have_the_variance_of_their_gain(changed, variance):
    (drawn,) = weights(Dense(depth=1, **changed)(0))
    assert float(drawn.detach().var()) == pytest.approx(variance, rel=0.02)


def test_inputs_are_the_same_for_every_arm_of_a_seed_and_others_than_the_weights():
    spec = Dense(depth=1, width=16)
    x = inputs(trial(lambda: spec(3), seed=3), spec, 16)
    assert torch.equal(x, case_of(trial(lambda: Dense(depth=4, width=16)(3), seed=3), 16).examples.args[0])
    assert not torch.equal(x, inputs(trial(lambda: spec(4), seed=4), spec, 16))
    assert abs(float(torch.corrcoef(torch.stack([x.flatten(), weights(spec(3))[0].detach().flatten()]))[0, 1])) < 0.2


def test_only_a_dense_network_has_units():
    assert isinstance(require_dense(trial(lambda: Dense(depth=1, width=4)(0))), DenseNetwork)
    with pytest.raises(BadNetwork, match="arm: a Linear has no units to measure"):
        require_dense(trial(lambda: nn.Linear(2, 2)))


@pytest.mark.parametrize("field", ["depth", "layers", "width"])
def test_sizes_of_nothing_are_refused(field):
    with pytest.raises(BadSetting, match=field):
        replace(Dense(depth=3), **{field: 0})
