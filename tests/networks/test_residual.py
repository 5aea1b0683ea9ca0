"""Residual: x + f(x) for any f, with shapes checked; plain chains made residual."""

import copy

import pytest
import torch
from torch import Tensor, nn

from residua.errors import BadNetwork
from residua.networks.residual import Residual, residualize, without_shortcuts


class Attention(nn.Module):
    """Self-attention that returns the tensor alone."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.attention(x, x, x, need_weights=False)[0]


@pytest.mark.parametrize(
    ("module", "shape"),
    [
        (nn.Sequential(nn.LayerNorm(8), nn.Linear(8, 32), nn.GELU(), nn.Linear(32, 8)), (4, 8)),
        (Attention(), (2, 5, 8)),
        (nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.ReLU()), (2, 3, 6, 7)),
        (nn.Conv1d(4, 4, 5, padding=2), (2, 4, 9)),
    ],
)
def test_it_adds_the_input_and_its_gradient(module: nn.Module, shape: tuple[int, ...]) -> None:
    """y = x + f(x), ∂y/∂x = 1 + ∂f/∂x, for linear layers, attention and convolutions."""
    x = torch.randn(shape, requires_grad=True)
    alone = torch.autograd.grad(module(x).sum(), x)[0]
    y = Residual(module)(x)
    torch.testing.assert_close(y, x + module(x))
    torch.testing.assert_close(torch.autograd.grad(y.sum(), x)[0], 1 + alone)


def test_a_shortcut_is_applied_and_further_arguments_reach_the_module() -> None:
    class Shifted(nn.Module):
        def forward(self, x: Tensor, by: Tensor, *, times: float) -> Tensor:
            return times * (x + by)

    x, by = torch.randn(3, 4), torch.randn(3, 4)
    torch.testing.assert_close(Residual(Shifted())(x, by, times=2.0), x + 2 * (x + by))
    projection = nn.Linear(4, 6)
    wide = nn.Linear(4, 6)
    torch.testing.assert_close(Residual(wide, shortcut=projection)(x), wide(x) + projection(x))


@pytest.mark.parametrize(
    ("module", "shape", "said"),
    [
        (nn.Linear(8, 16), (4, 8), "maps 4×8 to 4×16.*shortcut=nn.Linear\\(8, 16\\)"),
        (nn.Linear(8, 1), (4, 8), "nn.Linear\\(8, 1\\)"),
        (nn.Linear(8, 16), (2, 5, 8), "nn.Linear\\(8, 16\\)"),
        (nn.Conv2d(3, 6, 3, padding=1), (2, 3, 8, 8), "nn.Conv2d\\(3, 6, 1\\)"),
        (nn.Conv2d(3, 6, 3, stride=2, padding=1), (2, 3, 9, 7), "nn.Conv2d\\(3, 6, 1, stride=2\\)"),
        (nn.Conv1d(4, 8, 1, stride=3), (2, 4, 9), "nn.Conv1d\\(4, 8, 1, stride=3\\)"),
        (nn.Conv2d(3, 3, 3), (2, 3, 8, 8), "nor a linear projection"),
        (nn.Flatten(), (2, 3, 4), "nor a linear projection"),
    ],
)
def test_shapes_that_differ_are_refused_with_the_projection_that_is_needed(
    module: nn.Module, shape: tuple[int, ...], said: str
) -> None:
    """Broadcasting would add 4×1 to 4×8 without a word."""
    with pytest.raises(BadNetwork, match=said):
        Residual(module)(torch.randn(shape))


@pytest.mark.parametrize(
    ("module", "shape"),
    [
        (nn.Linear(8, 16), (4, 8)),
        (nn.Conv2d(3, 6, 3, stride=2, padding=1), (2, 3, 9, 7)),
        (nn.Conv1d(4, 8, 1, stride=3), (2, 4, 9)),
    ],
)
def test_the_projection_that_is_named_works_as_it_stands(module: nn.Module, shape: tuple[int, ...]) -> None:
    x = torch.randn(shape)
    with pytest.raises(BadNetwork) as refusal:
        Residual(module)(x)
    shortcut = eval(str(refusal.value).rpartition("shortcut=")[2], {"nn": nn})
    assert Residual(module, shortcut=shortcut)(x).shape == module(x).shape


def test_a_module_that_gives_no_tensor_is_refused() -> None:
    with pytest.raises(BadNetwork, match="gives a tuple"):
        Residual(nn.LSTM(4, 4))(torch.randn(2, 3, 4))


def test_a_shortcut_of_another_shape_is_refused() -> None:
    with pytest.raises(BadNetwork, match="the shortcut to 4×3; give a shortcut that ends at 4×8"):
        Residual(nn.Linear(8, 8), shortcut=nn.Linear(8, 3))(torch.randn(4, 8))


def mlp() -> nn.Sequential:
    layers: list[nn.Module] = [nn.Linear(6, 8), nn.ReLU()]
    for _ in range(5):
        layers += [nn.Linear(8, 8), nn.BatchNorm1d(8), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(8, 3)).double()


def test_a_plain_chain_becomes_residual() -> None:
    """Five layers of 8 units in blocks of two: relu(F(x) + x) twice, and a last block of one layer."""
    network = mlp().eval()
    twin = residualize(network).eval()
    assert [type(part).__name__ for part in twin] == [
        *("Linear", "ReLU", "Residual", "ReLU", "Residual", "ReLU", "Residual", "ReLU", "Linear"),
    ]
    x = torch.randn(4, 6, dtype=torch.float64)
    h = torch.relu(network[0](x))
    for first in (2, 8):
        inner = torch.relu(network[first + 1](network[first](h)))
        h = torch.relu(network[first + 4](network[first + 3](inner)) + h)
    h = torch.relu(network[15](network[14](h)) + h)
    torch.testing.assert_close(twin(x), network[17](h))


def test_without_its_shortcuts_the_residual_twin_is_the_plain_network_again() -> None:
    network = mlp().eval()
    x = torch.randn(4, 6, dtype=torch.float64)
    before = copy.deepcopy(network.state_dict())
    twin = residualize(network)
    assert not torch.equal(twin(x), network(x))
    assert torch.equal(without_shortcuts(twin)(x), network(x))
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_convolutions_that_shrink_or_widen_stay_plain() -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, padding=2, dilation=2),
        nn.MaxPool2d(2),
        nn.Sequential(nn.Conv2d(8, 8, 5, padding="same"), nn.Tanh()),
        nn.Conv2d(8, 8, 3, padding=1, stride=2),
        nn.Conv2d(8, 8, 3),
        nn.Flatten(),
        nn.Linear(8, 2),
    )
    twin = residualize(network)
    blocks = [name for name, part in twin.named_modules() if isinstance(part, Residual)]
    assert blocks == ["2", "6.0"]
    x = torch.randn(2, 3, 12, 12)
    assert twin(x).shape == network(x).shape
    assert torch.equal(without_shortcuts(twin)(x), network(x))


def test_blocks_have_the_length_that_is_asked_for() -> None:
    assert sum(isinstance(part, Residual) for part in residualize(mlp(), layers=1).modules()) == 5
    assert sum(isinstance(part, Residual) for part in residualize(mlp(), layers=5).modules()) == 1


@pytest.mark.usefixtures("unchecked")
def test_a_chain_without_a_layer_that_keeps_its_shape_is_refused() -> None:
    with pytest.raises(BadNetwork, match="nothing to lay a shortcut round"):
        residualize(nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 4)))
    with pytest.raises(BadNetwork, match="Transformer"):
        residualize(nn.TransformerEncoderLayer(8, 2))  # pyright: ignore[reportArgumentType]


def test_a_deep_plain_chain_learns_once_it_is_residual() -> None:
    """He et al. 2015, §1: the same layers, the same weights, the same steps; only the shortcuts differ."""
    torch.manual_seed(0)
    layers = [part for _ in range(30) for part in (nn.Linear(16, 16), nn.Tanh())]
    plain = nn.Sequential(*layers, nn.Linear(16, 2))
    x = torch.randn(64, 16)
    labels = (x[:, 0] > 0).long()
    last = []
    for network in (plain, residualize(plain, layers=2)):
        optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
        loss = torch.zeros(())
        for _ in range(60):
            loss = nn.functional.cross_entropy(network(x), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        last.append(loss.item())
    assert last[1] < 0.3 < 0.6 < last[0]
