"""torchvision's names for the tensors of a residual network, and the way from and to residua's.

Notation: ``layer2.0.conv1.weight`` is theirs for our ``stages.1.0.residual.convolution1.weight``. No other file
knows their names.
"""

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from residua.errors import BadNetwork
from residua.networks.spec import NetworkSpec, photograph_stem
from residua.networks.weights.tensors import fitted, tensors_of

MARK = "conv1.weight"
"""A name that all their residual networks have, and none of ours."""

_PARTS: Mapping[str, str] = {
    "stem.convolution": "conv1",
    "stem.norm": "bn1",
    "residual.convolution": "conv",
    "residual.norm": "bn",
    "shortcut.projection.convolution": "downsample.0",
    "shortcut.projection.norm": "downsample.1",
    "head": "fc",
}
"""How our names begin, inside a block where they are of one, and how theirs do; the rest is the same."""

_BLOCK = re.compile(r"stages\.(\d+)\.(\d+)\.")
_OUT_CHANNELS = {"basic": (64, 128, 256, 512), "bottleneck": (256, 512, 1024, 2048)}
_FREE = ("blocks", "widths", "block", "bottleneck_expansion", "groups", "initialization", "in_channels", "classes")
"""What their networks may have of their own, up to `_OUT_CHANNELS`."""
_MOOT = ("shortcut_scale", "residual_scale", "gate_bias", "shortcut_dropout", "norm_groups")
_ADDS_LAYERS = ("fixup", "skipinit", "scaled_branches")


def from_torchvision(tensors: Mapping[str, Tensor], spec: NetworkSpec) -> dict[str, Tensor]:
    """Returns a torchvision network's tensors under residua's names, in float32, sharing memory where they can.

    Old files lack the count of batches of a batch norm (``num_batches_tracked``); where it is missing it is 0.

    Raises:
        BadNetwork: If torchvision has no network like ``spec``.
        BadWeights: If a tensor is missing, left over or misshapen; names the first, as torchvision names it.
    """
    names = _names(spec)
    wanted = {names[ours]: tensor for ours, tensor in tensors_of(spec).items()}
    fitting = fitted(tensors, wanted)
    return {ours: fitting[theirs] for ours, theirs in names.items()}


def to_torchvision(tensors: Mapping[str, Tensor], spec: NetworkSpec) -> dict[str, Tensor]:
    """Returns a residua network's tensors under torchvision's names: what its ``load_state_dict`` takes.

    Raises:
        BadNetwork: If torchvision has no network like ``spec``.
        BadWeights: If a tensor is missing, left over or misshapen; names the first.
    """
    names = _names(spec)
    return {names[ours]: tensor for ours, tensor in fitted(tensors, tensors_of(spec)).items()}


def require_expressible(spec: NetworkSpec) -> None:
    """Checks that torchvision's residual networks include one like ``spec``, whatever its classes and image channels.

    Raises:
        BadNetwork: If they do not; names the first setting that differs.
    """
    if spec.initialization in _ADDS_LAYERS:
        raise BadNetwork(_difference("initialization", spec.initialization, "he_fan_out"))
    nearest = NetworkSpec(stem=photograph_stem(), **{name: getattr(spec, name) for name in (*_FREE, *_MOOT)})
    found = _settings(spec)
    for name, expected in _settings(nearest).items():
        if found[name] != expected:
            raise BadNetwork(_difference(name, found[name], expected))
    if spec.out_channels != _OUT_CHANNELS[spec.block]:
        raise BadNetwork(_difference("out_channels", spec.out_channels, _OUT_CHANNELS[spec.block]))


def _settings(spec: NetworkSpec) -> dict[str, Any]:
    """Returns the specification's values by name, the stem's as ``stem.width``."""
    stem = {f"stem.{name}": value for name, value in vars(spec.stem).items()}
    return stem | {name: value for name, value in vars(spec).items() if name != "stem"}


def _difference(name: str, found: Any, expected: Any) -> str:
    return (
        f"torchvision has no such network: {name} is {found} here and {expected} there; "
        "choose one like resnet50, or keep the weights under residua's names"
    )


def _names(spec: NetworkSpec) -> dict[str, str]:
    """Returns torchvision's name for each of our tensors, in our order."""
    require_expressible(spec)
    return {ours: _their_name(ours) for ours in tensors_of(spec)}


def _their_name(ours: str) -> str:
    block = _BLOCK.match(ours)
    within = ours[block.end() :] if block else ours
    part = next(part for part in _PARTS if within.startswith(part))
    place = f"layer{int(block[1]) + 1}.{block[2]}." if block else ""
    return f"{place}{_PARTS[part]}{within[len(part) :]}"
