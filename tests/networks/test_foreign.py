"""What a module of another library costs: counted by hand, and beside what this library counts of its own."""

import pytest
import torch
from torch import Tensor, nn

from residua.errors import BadNetwork
from residua.networks import catalogue, cost
from residua.networks.foreign import trace
from residua.networks.network import build


class Block(nn.Module):
    """Two convolutions around one ReLU that is called twice, and an attribute that is a parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(4, 6, 3, padding=1), nn.Conv2d(6, 4, 1, groups=2, bias=False)
        self.relu, self.factor = nn.ReLU(), nn.Parameter(torch.ones(()))
        self.frozen = nn.BatchNorm2d(4).eval()

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(x + self.factor * self.frozen(self.second(self.relu(self.first(x)))))


def network() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), Block(), nn.Flatten(), nn.Linear(4 * 7 * 7, 10))


def test_rows_are_calls_in_their_order_with_what_they_cost():
    """Convolutions by hand: k²·c_in/groups·c_out·h·w products each."""
    found = trace(network(), (3, 16, 16))
    assert [(row.name, row.kind, row.shape, row.parameters, row.multiply_adds) for row in found.layers] == [
        ("0", "3×3 convolution", (4, 7, 7), 3 * 9 * 4 + 4, 3 * 9 * 4 * 49),
        ("1.first", "3×3 convolution", (6, 7, 7), 4 * 9 * 6 + 6, 4 * 9 * 6 * 49),
        ("1.relu", "ReLU", (6, 7, 7), 0, 0),
        ("1.second", "1×1 convolution, 2 groups", (4, 7, 7), 3 * 4, 3 * 4 * 49),
        ("1.frozen", "BatchNorm2d", (4, 7, 7), 8, 0),
        ("1.relu", "ReLU", (4, 7, 7), 0, 0),
        ("1", "Block", (4, 7, 7), 1, 0),
        ("2", "Flatten", (196,), 0, 0),
        ("3", "Linear", (10,), 1970, 1960),
    ]
    assert [(row.name, row.kind, row.shape) for row in found.stages] == [
        ("0", "3×3 convolution", (4, 7, 7)),
        ("1", "Block", (4, 7, 7)),
        ("2", "Flatten", (196,)),
        ("3", "Linear", (10,)),
    ]
    assert found.parameters == sum(one.numel() for one in network().parameters())
    assert found.multiply_adds == sum(row.multiply_adds for row in found.stages)
    assert found.to_json()["layers"][0]["receptive_field"] is None


def test_it_agrees_with_the_library_about_the_librarys_own():
    spec = catalogue.specification("resnet20")
    own, found = cost.inspect(spec, (3, 32, 32)), trace(build(spec), (3, 32, 32))
    assert (found.parameters, found.multiply_adds) == (own.parameters, own.multiply_adds)


def test_it_leaves_the_network_as_it_was():
    module = network()
    module.train()
    module.get_submodule("1.frozen").eval()
    modes = [one.training for one in module.modules()]
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    trace(module, (3, 16, 16))
    assert [one.training for one in module.modules()] == modes
    assert not any(one._forward_hooks or one._forward_pre_hooks for one in module.modules())
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())
    assert torch.backends.mha.get_fastpath_enabled()


def test_an_image_that_it_cannot_take_is_one_line_and_leaves_no_hook():
    module = network()
    with pytest.raises(BadNetwork, match=r"cannot take an image of 3×20×20: .*; give another --input") as failure:
        trace(module, (3, 20, 20))
    assert "\n" not in str(failure.value)
    assert not any(one._forward_hooks or one._forward_pre_hooks for one in module.modules())


def test_parameters_that_no_call_has_are_still_counted():
    class Unused(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.unused = nn.Conv2d(1, 1, 1), nn.Linear(5, 5)

        def forward(self, x: Tensor) -> dict[str, Tensor]:
            return {"maps": self.used(x)}

    found = trace(Unused(), (1, 4, 4))
    assert found.layers[-1].name == "outside the layers"
    assert found.parameters == 2 + 30


def test_a_parameter_that_two_layers_share_is_counted_once():
    first, second = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)
    second.weight = first.weight
    assert trace(nn.Sequential(first, second), (3, 4, 4)).parameters == 9 + 3 + 3


def test_products_in_attentions_projections_are_counted():
    """8 positions, 4 channels: queries, keys and values 3·4², the way out 4², by position."""

    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = nn.MultiheadAttention(4, 2, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            x = x.flatten(2).transpose(1, 2)
            return self.attention(x, x, x)[0]

    assert trace(Attention(), (4, 2, 4)).multiply_adds >= 8 * 4 * 16


def test_without_a_shape_the_first_convolution_says_the_channels():
    assert trace(nn.Conv2d(5, 2, 3)).image == (5, 224, 224)
    assert trace(nn.Identity()).image == (3, 224, 224)
