"""Which block a parameter belongs to, told from the modules alone: no forward pass is needed.

The rule: a list (`nn.Sequential`, `nn.ModuleList`, `nn.ModuleDict`) is taken apart into its members, unless it holds
one layer with what goes with it, such as a convolution, its norm and its activation. Any other module is taken apart
where it holds blocks, which are the members of a list that are all of one class and have modules of their own. What is
not taken apart is a block. In `residua.networks` these are ``stem``, ``stages.0.1``, ``tail`` and ``head``; in
torchvision's ResNets ``conv1``, ``layer1.0``, ``fc``; in a transformer ``encoder.layers.3``.
"""

from collections.abc import Iterator

from torch import nn

from residua.networks.network import ResidualNetwork

_LISTS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


def block_names(module: nn.Module) -> dict[str, str]:
    """Returns the block of every parameter, both by their paths; one of the module's own is a block by itself."""
    blocks = set(_blocks(module))
    return {name: _shortest(name, blocks) for name, _ in module.named_parameters()}


def _shortest(parameter: str, blocks: set[str]) -> str:
    """Returns the block that a parameter's path begins with."""
    steps = parameter.split(".")
    paths = (".".join(steps[:length]) for length in range(1, len(steps)))
    return next((path for path in paths if path in blocks), parameter)


def _blocks(module: nn.Module, path: str = "") -> Iterator[str]:
    for name, child in module.named_children():
        below = f"{path}.{name}" if path else name
        if _is_apart(child) and not _is_end(module, name):
            yield from _blocks(child, below)
        else:
            yield below


def _is_apart(module: nn.Module) -> bool:
    """Says whether a module is taken apart."""
    if isinstance(module, _LISTS):
        return sum(parameter.ndim > 1 for parameter in module.parameters()) > 1
    return any(_holds_blocks(one) for one in module.modules())


def _is_end(network: nn.Module, name: str) -> bool:
    """Says whether a part is the stem or the tail of one of the library's networks, which are whole."""
    return isinstance(network, ResidualNetwork) and name in ("stem", "tail")


def _holds_blocks(module: nn.Module) -> bool:
    members = list(module.children()) if isinstance(module, _LISTS) else []
    return (
        len({type(member) for member in members}) == 1
        and not isinstance(members[0], _LISTS)
        and len(members) > 1
        and all(any(member.children()) for member in members)
    )
