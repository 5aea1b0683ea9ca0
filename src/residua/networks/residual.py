"""x + f(x) for any f: linear layers, attention, convolutions; and plain networks made residual, and back.

Notation: f is the wrapped module, s its shortcut; `Residual` computes f(x) + s(x).
"""

import copy
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, final

from torch import Tensor, nn

from residua.configuration import check
from residua.errors import BadNetwork
from residua.networks.blocks import PlainBlock, ResidualBlock


@final
class Residual(nn.Module):
    """Adds to a module's output its input, or a shortcut of it (He et al. 2015, Eqs. 1 and 2).

    Args:
        module: f, any module from a tensor to a tensor; further arguments of the call are handed to it alone.
        shortcut: s; the identity unless given, which needs f to keep the shape of its input.

    Raises:
        BadNetwork: When called, if f gives no tensor, or one of another shape than the shortcut's; the message
            says which projection is needed.

    Example:
        >>> block = Residual(nn.Sequential(nn.LayerNorm(64), nn.Linear(64, 64)))
        >>> block(torch.randn(8, 64)).shape
        torch.Size([8, 64])
    """

    def __init__(self, module: nn.Module, shortcut: nn.Module | None = None) -> None:
        super().__init__()
        self.module = module
        self.shortcut = nn.Identity() if shortcut is None else shortcut

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        residual, beside = self.module(x, *args, **kwargs), self.shortcut(x)
        if not isinstance(residual, Tensor):
            raise BadNetwork(
                f"{type(self.module).__name__} gives a {type(residual).__name__}, and x + f(x) needs a tensor; "
                "wrap it in a module that returns the one to add"
            )
        if residual.shape != beside.shape:
            raise BadNetwork(_needed(type(self.module).__name__, x, residual, beside))
        return residual + beside


def residualize(network: nn.Sequential, *, layers: int = 2) -> nn.Sequential:
    """Returns the residual twin of a plain network: a shortcut round every ``layers`` shape-preserving layers.

    A layer here is a linear layer or convolution with the norms, activations and dropouts behind it. Runs of layers
    that keep the shape of their input are cut into blocks; the activation behind a block comes after the
    addition, as in the original order, so that the twin differs by its shortcuts alone. Chains inside the chain
    are treated alike, weights are copied, and the network is left as it is.

    Args:
        network: A chain of layers.
        layers: Weighted layers in a block; a run's last block may have fewer.

    Raises:
        BadNetwork: If no layer keeps the shape of its input.
        BadSetting: If ``layers`` is below 1.
    """
    if not isinstance(network, nn.Sequential):
        raise BadNetwork(
            f"a {type(network).__name__} says nothing of the order of its layers; "
            "give the nn.Sequential inside it, or wrap single modules in Residual"
        )
    check(layers >= 1, "layers", layers, "a whole number from 1")
    twin = _residualized(copy.deepcopy(network), layers)
    if not any(isinstance(module, Residual) for module in twin.modules()):
        raise BadNetwork("no layer keeps the shape of its input, so there is nothing to lay a shortcut round")
    return twin


def without_shortcuts(network: nn.Module) -> nn.Module:
    """Returns the network with every `Residual` replaced by its module and every block by its plain twin.

    Raises:
        BadNetwork: If there is none.
    """
    holder = nn.Sequential(copy.deepcopy(network))
    if not any(isinstance(module, Residual | ResidualBlock) for module in holder.modules()):
        raise BadNetwork("the module holds no shortcut to take away: it has neither Residual modules nor blocks")
    _strip(holder)
    return holder[0]


_FOLLOWERS = (
    *(nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.LayerNorm, nn.GroupNorm, nn.Identity),
    *(nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout),
)
_ACTIVATIONS = (
    *(nn.ReLU, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.SELU, nn.GELU, nn.SiLU, nn.Mish, nn.Softplus),
    *(nn.Sigmoid, nn.Tanh, nn.Hardswish, nn.ReLU6, nn.CELU, nn.Softsign, nn.LogSigmoid, nn.Hardtanh),
)
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_Named = tuple[str, nn.Module]


@dataclass(frozen=True)
class _Unit:
    """A weighted layer with what follows it."""

    parts: tuple[_Named, ...]

    @property
    def keeps_shape(self) -> bool:
        return _keeps_shape(self.parts[0][1])


def _residualized(chain: nn.Sequential, layers: int) -> nn.Sequential:
    for child in chain.children():
        if isinstance(child, nn.Sequential):
            _residualized(child, layers)
    parts: list[_Named] = []
    run: list[_Unit] = []
    for unit in _units(chain):
        if unit.keeps_shape:
            run.append(unit)
            continue
        parts += [*_blocks(run, layers), *unit.parts]
        run = []
    parts += _blocks(run, layers)
    for name in list(chain._modules):
        delattr(chain, name)
    for name, module in parts:
        chain.add_module(name, module)
    return chain


def _units(chain: nn.Sequential) -> Iterator[_Unit]:
    """Cuts the chain before every part that neither normalises nor activates nor drops out."""
    gathered: list[_Named] = []
    for name, part in chain._modules.items():  # an activation may stand in several places
        if part is None:
            continue
        if gathered and not isinstance(part, (*_FOLLOWERS, *_ACTIVATIONS)):
            yield _Unit(tuple(gathered))
            gathered = []
        gathered.append((name, part))
    if gathered:
        yield _Unit(tuple(gathered))


def _blocks(run: list[_Unit], layers: int) -> list[_Named]:
    """Returns the run as blocks, each named after its first layer, with the last activation behind it."""
    parts: list[_Named] = []
    for first in range(0, len(run), layers):
        inside = [part for unit in run[first : first + layers] for part in unit.parts]
        behind: list[_Named] = []
        while isinstance(inside[-1][1], (*_ACTIVATIONS, nn.Dropout, nn.Identity)):
            behind.insert(0, inside.pop())
        parts += [(inside[0][0], Residual(nn.Sequential(OrderedDict(inside)))), *behind]
    return parts


def _keeps_shape(layer: nn.Module) -> bool:
    if isinstance(layer, nn.Linear):
        return layer.in_features == layer.out_features
    if not isinstance(layer, _CONVOLUTIONS) or layer.in_channels != layer.out_channels:
        return False
    if isinstance(layer.padding, str):
        return layer.padding == "same"
    sides = zip(layer.kernel_size, layer.stride, layer.padding, layer.dilation, strict=True)
    return all(step == 1 and 2 * pad == reach * (kernel - 1) for kernel, step, pad, reach in sides)


def _strip(module: nn.Module) -> None:
    for name, child in module.named_children():
        if isinstance(child, Residual):
            setattr(module, name, child.module)
        elif isinstance(child, ResidualBlock):
            setattr(module, name, PlainBlock(child.residual, child.entry, child.activation))
        _strip(getattr(module, name))


def _needed(name: str, x: Tensor, residual: Tensor, beside: Tensor) -> str:
    """Says what the shapes are and which projection would make them agree."""
    shapes = f"{name} maps {_shape(x)} to {_shape(residual)}"
    if beside.shape != x.shape:
        return f"{shapes} and the shortcut to {_shape(beside)}; give a shortcut that ends at {_shape(residual)}"
    for suggests in (_linear, _convolution):
        if suggested := suggests(x, residual):
            return f"{shapes}, to which x cannot be added; give shortcut=nn.{suggested}"
    return f"{shapes}, to which x cannot be added, nor a linear projection of it; give a shortcut that does this"


def _linear(x: Tensor, residual: Tensor) -> str | None:
    same = x.dim() == residual.dim() and x.dim() in (1, 2, 3) and x.shape[:-1] == residual.shape[:-1]
    return f"Linear({x.shape[-1]}, {residual.shape[-1]})" if same else None


def _convolution(x: Tensor, residual: Tensor) -> str | None:
    dimensions = x.dim() - 2
    if x.dim() != residual.dim() or dimensions not in (1, 2, 3) or x.shape[0] != residual.shape[0]:
        return None
    sides = list(zip(x.shape[2:], residual.shape[2:], strict=True))
    step = -(-sides[0][0] // max(1, sides[0][1]))
    if any(-(-before // step) != after for before, after in sides):
        return None
    stride = f", stride={step}" if step > 1 else ""
    return f"Conv{dimensions}d({x.shape[1]}, {residual.shape[1]}, 1{stride})"


def _shape(tensor: Tensor) -> str:
    return "×".join(map(str, tensor.shape))
