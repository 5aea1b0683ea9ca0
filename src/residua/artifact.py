"""A trained network with all that is needed to use it, in one safetensors file that runs no code.

The file holds the network's tensors under their names; its metadata, under ``residua``, is the JSON of the
specification, the classes, the preprocessing and the metrics.
"""

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, final

from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor

from residua import configuration, files
from residua.data.dataset import Preprocessing
from residua.data.decoding import Progress
from residua.errors import BadRun, ResiduaError
from residua.networks import catalogue
from residua.networks.network import ResidualNetwork, build
from residua.networks.spec import NetworkSpec
from residua.networks.weights import published, reading

_FORMAT = 1
_KEY = "residua"


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Artifact:
    """A trained network as it is kept: what it is, what it learned, what it sees and what it answers."""

    specification: NetworkSpec
    classes: tuple[str, ...]
    """Names of the outputs, in their order."""
    preprocessing: Preprocessing
    weights: dict[str, Tensor]
    """The network's parameters and buffers by name, on the processor."""
    metrics: dict[str, Any] = field(default_factory=dict)
    temperature: float = 1.0
    """What the logits are divided by before the softmax (`residua.evaluation.fitted_temperature`)."""

    def network(self) -> ResidualNetwork:
        """Builds the network with its weights, in evaluation mode, on the processor.

        Raises:
            BadRun: If a tensor is missing, left over or of another shape than the specification's.
        """
        network = build(self.specification)
        wanted = network.state_dict()
        for name, tensor in wanted.items():
            if name not in self.weights:
                raise BadRun(f"the weights lack {name}; the file is not of this specification: train again")
            if self.weights[name].shape != tensor.shape:
                found, expected = tuple(self.weights[name].shape), tuple(tensor.shape)
                raise BadRun(f"{name} has shape {found}, the specification says {expected}: train again")
        if extra := sorted(self.weights.keys() - wanted.keys()):
            raise BadRun(f"the weights hold {extra[0]}, which the specification does not have: train again")
        network.load_state_dict(self.weights)
        return network.eval()


def from_published(network: str, weights: str, *, progress: Progress | None = None) -> Artifact:
    """Returns a network as it is published: with its weights, the 1000 classes of ImageNet and its preprocessing.

    Args:
        network: Catalogue name.
        weights: ``torchvision:IMAGENET1K_V2``, or ``torchvision`` for the network's best.
        progress: Is told what is fetched, the bytes so far and in all.

    Raises:
        BadSetting: If nobody publishes such weights for the network.
        DownloadFailed: If they are not kept yet and cannot be fetched.
        BadWeights: If the file holds another network.
    """
    found = published.find(network, weights)
    specification = catalogue.specification(network)
    told = None if progress is None else lambda done, total: progress(f"fetching {found.file}", done, total)
    return Artifact(
        specification=specification,
        classes=published.imagenet_classes(),
        preprocessing=Preprocessing(
            image_size=(found.crop_side, found.crop_side),
            channels=3,
            resize_side=found.resize_side,
            mean=found.mean,
            std=found.std,
        ),
        weights=reading.read_weights(published.fetch(found, progress=told), specification),
        metrics={"imagenet_top1_accuracy": found.top1_accuracy / 100, "measured_by": found.publisher},
    )


def save(artifact: Artifact, path: Path) -> None:
    """Writes the artifact to ``path``, whole or not at all."""
    metadata = {
        "format": _FORMAT,
        "specification": configuration.to_json(artifact.specification),
        "classes": list(artifact.classes),
        "preprocessing": configuration.to_json(artifact.preprocessing),
        "metrics": artifact.metrics,
        "temperature": artifact.temperature,
    }
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in artifact.weights.items()}
    files.write(path, to_bytes(weights, {_KEY: json.dumps(metadata, ensure_ascii=False)}))


def describes(path: Path) -> bool:
    """Says whether a file holds what its weights belong to, as `save` writes it."""
    try:
        with safe_open(path, "pt") as file:
            return _KEY in (file.metadata() or {})
    except (SafetensorError, OSError):
        return False


def load(path: Path) -> Artifact:
    """Reads an artifact.

    Raises:
        BadRun: If the file is missing, damaged, or was not written by `save`.
    """
    if not path.is_file():
        raise BadRun(f"{path} is missing; `residua train` writes one")
    try:
        with safe_open(path, "pt") as file:
            text = (file.metadata() or {}).get(_KEY)
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise BadRun(f"{path} is damaged ({error}); restore it, or train again") from None
    if text is None:
        raise BadRun(
            f"{path} holds weights but not what they belong to; only files that `residua train` wrote are read"
        )
    return _read(json.loads(text), weights, path)


def _read(metadata: dict[str, Any], weights: dict[str, Tensor], path: Path) -> Artifact:
    if metadata.get("format") != _FORMAT:
        raise BadRun(f"{path} has format {metadata.get('format')}, this version reads {_FORMAT}: update residua")
    try:
        return Artifact(
            specification=configuration.from_json(NetworkSpec, metadata["specification"]),
            classes=tuple(metadata["classes"]),
            preprocessing=configuration.from_json(Preprocessing, metadata["preprocessing"]),
            weights=weights,
            metrics=metadata["metrics"],
            temperature=_temperature(metadata),
        )
    except (KeyError, ResiduaError) as error:
        raise BadRun(f"{path} describes no network of this version ({error}): train again") from error


def _temperature(metadata: dict[str, Any]) -> float:
    """Reads the temperature; a file from before there was one has 1."""
    value = metadata.get("temperature", 1.0)
    fits = isinstance(value, (int, float)) and 0 < value < math.inf
    configuration.check(fits, "temperature", value, "a number above 0")
    return float(value)
