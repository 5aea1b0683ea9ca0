"""Weights read from a local file without running code, whoever's names its tensors have."""

import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from residua.errors import BadWeights
from residua.networks.spec import NetworkSpec
from residua.networks.weights import torchvision
from residua.networks.weights.tensors import fitted, tensors_of

WRAPPERS = ("state_dict", "model")
"""Under which of a file's entries the tensors may be, as training scripts save them beside an optimizer."""

PREFIXES = ("module.", "_orig_mod.")
"""What may stand before all names: of distributed data-parallel training, and of ``torch.compile``."""


@final
@dataclass(frozen=True, kw_only=True)
class Naming:
    """Whose names a file's tensors have, and the way from them to residua's."""

    marks: tuple[str, ...]
    """Names of which every file of theirs has one, and nobody else's: of the first convolution's weight."""
    head: str
    """The name of the head's weight."""
    translated: Callable[[Mapping[str, Tensor], NetworkSpec], dict[str, Tensor]]


def _own(tensors: Mapping[str, Tensor], spec: NetworkSpec) -> dict[str, Tensor]:
    return fitted(tensors, tensors_of(spec))


NAMINGS: Mapping[str, Naming] = {
    "residua": Naming(
        marks=("stem.convolution.weight", "stem.convolution1.weight"), head="head.weight", translated=_own
    ),
    "torchvision": Naming(marks=(torchvision.MARK,), head="fc.weight", translated=torchvision.from_torchvision),
}
"""The names that are understood; the next ones are a file and a line here."""


def read_weights(path: Path, spec: NetworkSpec) -> dict[str, Tensor]:
    """Reads the tensors of the network of ``spec`` from a file, under residua's names, on the processor.

    Raises:
        BadNetwork: If the names are torchvision's and it has no network like ``spec``.
        BadWeights: If the file cannot be read (`read_tensors`) or holds another network's; names the file.
    """
    return _translated(read_tensors(path), spec, path)


def read_for(path: Path, spec: NetworkSpec) -> tuple[NetworkSpec, dict[str, Tensor]]:
    """Reads like `read_weights`, for as many classes and image channels as the file has; returns these in the spec.

    Raises:
        BadNetwork: As `read_weights` does.
        BadWeights: As `read_weights` does.
    """
    tensors = read_tensors(path)
    naming = _naming(tensors, path)
    if naming.head not in tensors:
        raise BadWeights(f"{path}: the weights lack {naming.head}; save model.state_dict() whole")
    first = next(mark for mark in naming.marks if mark in tensors)
    classes, channels = len(tensors[naming.head]), tensors[first].shape[1]
    spec = replace(spec, classes=classes, in_channels=channels)
    return spec, _translated(tensors, spec, path)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Reads the tensors of a file by the names that they have there, on the processor.

    A ``.safetensors`` file, or one that ``torch.save`` wrote (``.pth``, ``.pt``, ``.pth.tar``), which is opened with
    ``weights_only``, so that nothing in it runs. `NAMINGS` says whose names are understood, `WRAPPERS` and `PREFIXES`
    what may be around them.

    Raises:
        BadWeights: If the file is missing, damaged, or holds more than weights; names the file.
    """
    if not path.is_file():
        raise BadWeights(f"{path} is {'a folder' if path.is_dir() else 'missing'}; give a file that ends in {_ENDINGS}")
    read = READERS.get(path.suffix.lower())
    if read is None:
        raise BadWeights(f"{path} is of no known kind; give a file that ends in {_ENDINGS}")
    return _without_prefixes(_tensors(read(path), path))


def _translated(tensors: Mapping[str, Tensor], spec: NetworkSpec, path: Path) -> dict[str, Tensor]:
    try:
        return _naming(tensors, path).translated(tensors, spec)
    except BadWeights as error:
        raise BadWeights(f"{path}: {error}") from None


def _naming(tensors: Mapping[str, Tensor], path: Path) -> "Naming":
    """Returns whose names the tensors have."""
    for naming in NAMINGS.values():
        if any(mark in tensors for mark in naming.marks):
            return naming
    raise BadWeights(
        f"{path} has names of no known kind, such as {next(iter(tensors))}; "
        f"known are those of {', '.join(NAMINGS)}: rename the tensors, or load them with your own code"
    )


def _safetensors(path: Path) -> Any:
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise BadWeights(f"{path} is damaged ({error}); fetch or save it again") from error


def _pickled(path: Path) -> Any:
    """Returns what `torch.save` wrote; refuses all that is not tensors, numbers, texts and containers of these."""
    try:
        with warnings.catch_warnings(action="ignore"):
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle can fail in any way
        if found := re.search(r"GLOBAL ([\w.]+)|(TorchScript) archive", str(error)):
            raise BadWeights(
                f"{path} holds more than weights ({found[1] or found[2]}), and opening that could run code; "
                "where it came from, save them alone: torch.save(model.state_dict(), path)"
            ) from error
        raise BadWeights(f"{path} is damaged, or nothing that torch.save wrote; fetch or save it again") from error


READERS: Mapping[str, Callable[[Path], Any]] = {
    ".safetensors": _safetensors,
    ".pth": _pickled,
    ".pt": _pickled,
    ".tar": _pickled,
}
_ENDINGS = ".safetensors, .pth, .pt or .pth.tar"


def _tensors(content: Any, path: Path) -> dict[str, Tensor]:
    """Returns the tensors by name, from within what is around them."""
    while isinstance(content, Mapping) and (wrapper := next((name for name in WRAPPERS if name in content), None)):
        content = content[wrapper]
    if not isinstance(content, Mapping) or not content:
        found = type(content).__name__ if content else "nothing"
        raise BadWeights(f"{path} holds {found} where tensors by name belong; save model.state_dict()")
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            found = f"{name!r} is of type {type(value).__name__}"
            raise BadWeights(f"{path} holds more than tensors by name: {found}; save model.state_dict() alone")
    return dict(content)


def _without_prefixes(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    for prefix in PREFIXES * 2:  # in either order
        if all(name.startswith(prefix) for name in tensors):
            tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    return tensors
