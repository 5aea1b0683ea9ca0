from dataclasses import asdict

import torch
from torch import nn

from residua.networks.network import build
from residua.networks.residual import Residual
from residua.networks.spec import NetworkSpec, small_stem
from residua.networks.variants import variants

PLAIN = NetworkSpec(stem=small_stem(4), blocks=(1, 1), widths=(4, 8), shortcut="none", activation="sigmoid", classes=3)


def by_name(network: nn.Module) -> dict[str, nn.Module]:
    return {one.name: one.network for one in variants(network)}


def chain(activation: type[nn.Module] = nn.Sigmoid) -> nn.Sequential:
    torch.manual_seed(0)
    layers = [part for _ in range(4) for part in (nn.Linear(6, 6), activation())]
    return nn.Sequential(nn.Flatten(), nn.Linear(12, 6), activation(), *layers, nn.Linear(6, 3))


def test_each_variant_of_a_specification_differs_in_one_field():
    network, before = build(PLAIN, seed=3), asdict(PLAIN)
    found = {one.name: asdict(one.network.spec) for one in variants(network)}  # type: ignore[arg-type]
    changed = {name: {key: to for key, to in spec.items() if to != before[key]} for name, spec in found.items()}
    assert changed == {
        "residual twin": {"shortcut": "projection"},
        "activation": {"activation": "relu"},
        "norm": {"norm": "group"},
    }


def test_a_residual_network_without_norm_gets_one_or_branches_that_start_at_zero():
    spec = NetworkSpec(stem=small_stem(4), blocks=(1,), widths=(4,), norm="none", norm_on_projection=False, classes=3)
    found = by_name(build(spec, seed=0))
    assert set(found) == {"activation", "norm", "initialisation"}
    assert found["initialisation"].spec.initialization == "skipinit"  # type: ignore[union-attr]


def test_a_chain_gets_shortcuts_norms_another_activation_or_other_weights():
    network = chain()
    found = by_name(network)
    assert set(found) == {"residual twin", "activation", "norm", "initialisation"}
    assert sum(isinstance(module, Residual) for module in found["residual twin"].modules()) == 2
    kinds = [type(module).__name__ for module in found["norm"].children()]
    assert kinds[:4] == ["Flatten", "Linear", "BatchNorm1d", "Sigmoid"]
    assert kinds[-1] == "Linear"
    assert not any(isinstance(module, nn.Sigmoid) for module in found["activation"].modules())
    layers = [module for module in found["initialisation"].modules() if isinstance(module, nn.Linear)]
    drawn = torch.cat([layer.weight.flatten() for layer in layers[1:-1]])
    assert abs(drawn.std().item() - (2 / 6) ** 0.5) < 0.1
    for changed in found.values():
        assert changed(torch.randn(5, 3, 4)).shape == (5, 3)


def test_the_network_is_left_as_it_is():
    network = chain()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    modules = list(network.modules())
    state = torch.get_rng_state()
    variants(network)
    assert all(one is other for one, other in zip(network.modules(), modules, strict=True))
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)


class Holder(nn.Module):
    """A class around a chain, as in a notebook."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 6), nn.ReLU())
        self.head = nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(x))


def test_a_chain_inside_a_module_is_found_and_the_last_layer_gets_no_norm():
    found = by_name(Holder())
    assert set(found) == {"residual twin", "norm", "initialisation"}
    assert isinstance(found["residual twin"].get_submodule("body.0"), Residual)
    assert [type(part).__name__ for part in found["norm"].get_submodule("body").children()] == [
        *("Linear", "BatchNorm1d", "ReLU", "Linear", "BatchNorm1d", "ReLU")
    ]


def test_what_is_no_chain_and_holds_norms_gets_other_weights_alone():
    assert set(by_name(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True))) == {"initialisation"}


def test_an_activation_that_stands_in_several_places_stays_in_all():
    shared = nn.Tanh()
    network = nn.Sequential(nn.Linear(6, 6), shared, nn.Linear(6, 6), shared, nn.Linear(6, 3))
    found = by_name(network)
    kinds = [type(part).__name__ for part in found["norm"]]  # type: ignore[attr-defined]
    assert kinds == ["Linear", "BatchNorm1d", "Tanh", "Linear", "BatchNorm1d", "Tanh", "Linear"]
    assert sum(type(part) is nn.ReLU for part in found["activation"]) == 2  # type: ignore[attr-defined]
    block = found["residual twin"][0]  # type: ignore[index]
    assert [type(part).__name__ for part in block.module] == ["Linear", "Tanh", "Linear"]
