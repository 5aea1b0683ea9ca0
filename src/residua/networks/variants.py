"""The same network with one thing changed: its twins with shortcuts, another activation, norm or initialisation.

Of the library's own networks the specification changes, and the weights are drawn by the seed; of any other module a
copy is changed, and what the change leaves alone keeps its weights.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import final

import torch
from torch import nn

from residua.errors import BadNetwork
from residua.networks.network import ResidualNetwork, build
from residua.networks.residual import residualize
from residua.networks.spec import NetworkSpec

SATURATING = ("sigmoid", "tanh")
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.GroupNorm, nn.LayerNorm, nn.InstanceNorm2d)
_LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
_NORM_OF = {nn.Linear: nn.BatchNorm1d, nn.Conv1d: nn.BatchNorm1d, nn.Conv2d: nn.BatchNorm2d, nn.Conv3d: nn.BatchNorm3d}
_BOUNDED = (nn.Sigmoid, nn.Tanh, nn.Hardtanh, nn.Softsign, nn.Hardsigmoid)


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Variant:
    """A network that differs from another in one thing."""

    name: str
    """``residual twin``, ``activation``, ``norm`` or ``initialisation``."""
    says: str
    """What was changed, in words."""
    network: nn.Module


def variants(network: nn.Module, *, seed: int = 0) -> tuple[Variant, ...]:
    """Returns the variants that make sense for the network, each freshly made; the network is left as it is.

    Args:
        network: Of the library, or any other module: its `nn.Sequential` chains get shortcuts and norms, its
            activation modules are exchanged, its layers drawn anew. What is no module cannot be exchanged.
        seed: Draws new weights, on the processor, where all variants are; the global random state is left alone.
    """
    if isinstance(network, ResidualNetwork):
        return tuple(_of_specification(network.spec, seed))
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return tuple(_of_module(copy.deepcopy(network).cpu()))


def _of_specification(spec: NetworkSpec, seed: int) -> Iterator[Variant]:
    for name, says, changes in _changes(spec):
        try:
            changed = replace(spec, **changes)
        except BadNetwork:  # this order, or this initialisation, does not allow it
            continue
        yield Variant(name=name, says=says, network=build(changed, seed=seed))


def _changes(spec: NetworkSpec) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Yields name, words and new fields of every change that makes sense."""
    if spec.is_plain:
        yield "residual twin", "the same layers with shortcuts", {"shortcut": "projection"}
    other = "relu" if spec.activation in SATURATING else "gelu"
    if spec.activation != other:
        yield "activation", f"{other} for {spec.activation}", {"activation": other}
    if spec.initialization not in ("fixup", "skipinit"):
        norm = "batch" if spec.norm == "none" else "group"
        if spec.norm != norm:
            yield "norm", f"{norm} norm for {'none' if spec.norm == 'none' else f'{spec.norm} norm'}", {"norm": norm}
    start = "he_fan_out" if spec.is_plain else "skipinit" if spec.norm == "none" else "zero_last"
    if spec.initialization != start:
        yield "initialisation", f"{start} for {spec.initialization}", {"initialization": start}


def _of_module(network: nn.Module) -> Iterator[Variant]:
    changes: tuple[tuple[str, str, Callable[[nn.Module], nn.Module | None]], ...] = (
        ("residual twin", "shortcuts round every two layers that keep their shape", with_shortcuts),
        ("activation", "relu for what saturates", with_relu),
        ("norm", "batch norm behind every layer of a chain but the last", with_norms),
        ("initialisation", "He normal weights, biases 0", drawn_by_he),
    )
    for name, says, change in changes:
        changed = change(network)
        if changed is not None:
            yield Variant(name=name, says=says, network=changed)


def with_shortcuts(network: nn.Module) -> nn.Module | None:
    """Returns a copy whose outermost chains have shortcuts (`residualize`); None where no chain can have any."""
    return _with_chains(network, _residualized)


def with_norms(network: nn.Module) -> nn.Module | None:
    """Returns a copy with batch norm behind every layer of its chains but the network's last; None where norms are."""
    if any(isinstance(module, _NORMS) for module in network.modules()):
        return None
    changed = copy.deepcopy(network)
    last = [module for module in changed.modules() if isinstance(module, _LAYERS)][-1:]
    count = 0
    for chain in [module for module in changed.modules() if isinstance(module, nn.Sequential)]:
        count += _normalise(chain, last)
    return changed if count else None


def with_relu(network: nn.Module) -> nn.Module | None:
    """Returns a copy with ReLU for every activation module that saturates on both sides; None where there is none."""
    changed = nn.Sequential(copy.deepcopy(network))
    count = 0
    for module in list(changed.modules()):
        for name, child in list(module._modules.items()):  # one may stand in several places
            if isinstance(child, _BOUNDED):
                setattr(module, name, nn.ReLU())
                count += 1
    return changed[0] if count else None


def drawn_by_he(network: nn.Module) -> nn.Module | None:
    """Returns a copy whose layers are drawn from N(0, 2/fan_in), the last from N(0, 1/fan_in); None without layers."""
    changed = copy.deepcopy(network)
    layers = [module for module in changed.modules() if isinstance(module, _LAYERS)]
    for layer in layers:
        nonlinearity = "linear" if layer is layers[-1] else "relu"
        nn.init.kaiming_normal_(layer.weight, nonlinearity=nonlinearity)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    return changed if layers else None


def _with_chains(network: nn.Module, change: Callable[[nn.Sequential], nn.Module | None]) -> nn.Module | None:
    """Returns a copy with every outermost chain changed; None where no chain changes."""
    changed = nn.Sequential(copy.deepcopy(network))
    open_: list[nn.Module] = [changed]
    count = 0
    while open_:
        module = open_.pop()
        for name, child in module.named_children():
            new = change(child) if isinstance(child, nn.Sequential) else None
            if new is not None:
                setattr(module, name, new)
                count += 1
            else:
                open_.append(child)
    return changed[0] if count else None


def _residualized(chain: nn.Sequential) -> nn.Module | None:
    try:
        return residualize(chain)
    except BadNetwork:
        return None


def _normalise(chain: nn.Sequential, last: Sequence[nn.Module]) -> int:
    """Puts a batch norm behind every layer of the chain itself but ``last``, and returns how many."""
    parts: list[nn.Module] = []
    count = 0
    for child in chain:
        parts.append(child)
        if isinstance(child, _LAYERS) and not any(child is one for one in last):
            width = child.out_features if isinstance(child, nn.Linear) else child.out_channels
            parts.append(_NORM_OF[type(child)](width).to(child.weight.device))
            count += 1
    if count:
        for name in list(chain._modules):
            delattr(chain, name)
        for place, part in enumerate(parts):
            chain.add_module(str(place), part)
    return count
