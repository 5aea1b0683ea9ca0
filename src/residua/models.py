"""The verbs that give a network to use: built, with weights that somebody published, listed."""

import os

from torch import nn

from residua import artifact, files
from residua.errors import BadNetwork, BadSetting
from residua.inference.predictor import Predictor
from residua.networks import catalogue, surgery
from residua.networks import network as network_module
from residua.networks.network import ResidualNetwork
from residua.networks.spec import NetworkSpec
from residua.networks.weights import reading
from residua.report.terminal import transfer_progress
from residua.subject import Meant, subject


def build(
    network: str | NetworkSpec | os.PathLike[str],
    *,
    classes: int | None = None,
    in_channels: int | None = None,
    weights: str | os.PathLike[str] | None = None,
    seed: int | None = None,
) -> nn.Module:
    """Builds an ordinary module that maps images [b, c, h, w] to logits [b, classes].

    Args:
        network: Catalogue name (`list_networks` names them), a specification, ``path.py:factory``, which is run as
            code, or a run, whose network is built with fresh weights.
        classes: None keeps the specification's.
        in_channels: Channels of the images; None keeps the specification's.
        weights: ``torchvision:IMAGENET1K_V2`` and the like, fetched once and checked, or a file of the library's or
            torchvision's naming; None draws them. Other classes than the weights' get a fresh head, other
            channels an adapted stem. `pretrained` gives the classes' names and the preprocessing as well.
        seed: Draws the same weights for the same seed; None draws from torch's global state.

    Raises:
        BadSetting: If there is no such network, with the nearest name; or if the factory's is built already and
            is to be changed.
    """
    if weights is not None:
        return _with_weights(network, os.fspath(weights), classes, in_channels, seed or 0)
    meant = subject(network).resized(classes=classes, in_channels=in_channels)
    if isinstance(meant.network, NetworkSpec):
        return network_module.build(meant.network, seed=seed)
    if seed is not None:
        raise BadSetting(f"{meant.name} has its weights already; leave out seed, or return a NetworkSpec")
    return meant.network


def pretrained(network: str, weights: str = "torchvision") -> Predictor:
    """Returns a published network, ready to predict the 1000 classes of ImageNet as its publishers tested it.

    Fetched once into the cache (``RESIDUA_WEIGHTS``), checked against the publisher's checksum.

    Example:
        >>> residua.pretrained("resnet50").predict("cat.jpg").label
        'tabby'

    Raises:
        BadSetting: If nobody publishes such weights for the network.
        DownloadFailed: With the address, the place for the file and its checksum.
    """
    with transfer_progress() as progress:
        return Predictor(artifact.from_published(network, weights, progress=progress))


def list_networks() -> dict[str, str]:
    """Returns the name of every network with what it is, in one line."""
    return {name: catalogue.summary(name) for name in catalogue.names()}


def _with_weights(
    network: Meant, weights: str, classes: int | None, in_channels: int | None, seed: int
) -> ResidualNetwork:
    """Builds a network around weights from a publisher or a file, made to fit classes and channels."""
    spec = subject(network).specification
    if spec is None:
        raise BadNetwork(f"{network} is a module of another library; load its weights with its own code")
    path = files.expanded(weights)
    if path.is_file():
        built = network_module.with_weights(*reading.read_for(path, spec))
    elif isinstance(network, str):
        with transfer_progress() as progress:
            built = artifact.from_published(network, weights, progress=progress).network()
    else:
        raise BadSetting(f"{weights} is no file, and published weights belong to networks by name")
    if in_channels is not None and in_channels != built.spec.in_channels:
        built = surgery.adapt_input(built, in_channels)
    if classes is not None and classes != built.spec.classes:
        built = surgery.replace_head(built, classes, seed=seed)
    return built
