"""What a run starts from, if not from nothing: published weights, a file, or another run, perhaps deepened.

Transfer goes in two steps (`fit_head`, then the ordinary steps): while everything before the head is frozen, its
features are the same in every epoch, so they are computed once and the head is fitted to them exactly; then all
layers learn, earlier ones by smaller steps (`residua.training.recipe.transfer`).
"""

import copy
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, final

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch import Tensor
from torch.nn import functional

from residua import artifact
from residua.data.dataset import Dataset, Part, Preprocessing
from residua.data.decoding import Progress
from residua.data.loader import evaluation_batches
from residua.errors import BadSetting, BadWeights
from residua.networks import catalogue, surgery
from residua.networks.network import ResidualNetwork, with_weights
from residua.networks.spec import NetworkSpec
from residua.networks.weights import published, reading
from residua.training import record

USUAL = "torchvision:IMAGENET1K_V1"
"""What photographs are fine-tuned from unless asked otherwise. The later V2 classify ImageNet better with the help of
label smoothing and mixing, losses whose features transfer less well (Kornblith et al. 2021, arXiv:2010.16402)."""

_STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Inverse strengths of the head's L2 regularisation that validation chooses from."""
_UNCHOSEN = 1e-2
_ITERATIONS = 300
_MOST_IMAGES = 20_000
_BATCH_SIZE = 64


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Start:
    """A network that has learned something already, made to fit the run's images and classes."""

    origin: str
    """Where its weights are from, as ``--weights`` takes it."""
    says: str
    """What they are, for a headline."""
    network: ResidualNetwork
    mean: tuple[float, ...] | None = None
    """Of the pixels that it was trained on, one a channel; None where nobody knows."""
    std: tuple[float, ...] | None = None
    head: Literal["drawn", "fitted", "known"] = "drawn"
    """Whether its head knows the run's classes from before, was fitted to them, or is drawn afresh."""
    name: str = "own"
    """Of the network, for the run's."""

    def preprocessing(self, images: Preprocessing) -> Preprocessing:
        """Returns the run's preprocessing with the pixels' statistics that the weights know."""
        if self.mean is None or self.std is None:
            return images
        return replace(
            images, mean=_for_channels(self.mean, images.channels), std=_for_channels(self.std, images.channels)
        )


def from_published(network: str, weights: str, dataset: Dataset, *, seed: int, progress: Progress | None) -> Start:
    """Returns a published network for the run's classes and channels, fetched where it is not kept yet.

    Raises:
        BadSetting: If nobody publishes such weights for the network.
        DownloadFailed: If they cannot be fetched.
    """
    found = published.find(network, weights)
    whole = artifact.from_published(network, weights, progress=progress).network()
    return Start(
        origin=found.title,
        says=f"from {found.title} ({found.top1_accuracy:.1f} % on ImageNet)",
        network=_fitting(whole, dataset, seed=seed),
        mean=found.mean,
        std=found.std,
        name=network,
    )


def from_file(path: Path, network: str | None, dataset: Dataset, *, seed: int) -> Start:
    """Returns a network from a file of weights, of the library's own or of a known naming.

    Raises:
        BadSetting: If the file does not say which network it holds, and neither does the user.
        BadWeights: If the file cannot be read, or holds another network.
    """
    if artifact.describes(path):
        kept = artifact.load(path)
        _require_same(kept.specification, network, path)
        return _from_artifact(kept, str(path.resolve()), network or path.stem, dataset, seed=seed)
    if network is None:
        raise BadSetting(f"{path} holds weights but not what they belong to; name the network: --network resnet50")
    whole = with_weights(*reading.read_for(path, catalogue.specification(network)))
    return Start(
        origin=str(path.resolve()), says=f"from {path.name}", network=_fitting(whole, dataset, seed=seed), name=network
    )


def from_run(run: str, dataset: Dataset, *, seed: int) -> Start:
    """Returns a finished run's network.

    Raises:
        BadRun: If there is no such finished run.
    """
    found = record.find(run).require_finished()
    name = str(found.read("run")["network"])
    return _from_artifact(artifact.load(found.model), str(found.path.resolve()), name, dataset, seed=seed)


def deepened(start: Start, stage: int, blocks: int, *, seed: int) -> Start:
    """Returns the start with identity blocks added to a stage, which change none of its answers.

    Raises:
        BadNetwork: If no identity block fits the network, with the reason.
        BadSetting: If there is no such stage.
    """
    deeper = surgery.deepen(start.network, stage, blocks, seed=seed)
    added = f"{blocks} identity block{'s' * (blocks > 1)} at the end of stage {stage}"
    return replace(start, network=deeper, says=f"{start.says}, with {added}", name=f"{start.name}-deepened")


def fit_head(start: Start, dataset: Dataset, *, device: torch.device, progress: Progress | None = None) -> Start:
    """Returns the start with a head fitted to the features of the training images; nothing else is changed.

    A multinomial logistic regression on the pooled features of the images without augmentation (at most 20,000 of
    them), its L2 strength chosen by the loss on the validation part. Solved to convergence: what gradient steps on
    the head would approach.
    """
    network = copy.deepcopy(start.network).to(device).eval()
    seen, labels = _features(network, _sample(dataset.train), dataset.preprocessing, device, progress)
    held = dataset.validation
    if held is not None:
        held_out = _features(network, held, dataset.preprocessing, device, progress)
        weight, bias = min(
            (_solved(seen, labels, len(dataset.classes), strength) for strength in _STRENGTHS),
            key=lambda head: float(functional.cross_entropy(held_out[0] @ head[0].T + head[1], held_out[1])),
        )
    else:
        weight, bias = _solved(seen, labels, len(dataset.classes), _UNCHOSEN)
    with torch.no_grad():
        network.head.weight.copy_(weight)
        network.head.bias.copy_(bias)
    return replace(start, network=network.cpu(), head="fitted")


def _require_same(found: NetworkSpec, network: str | None, path: Path) -> None:
    """Checks that a file holds the network that the user named."""
    if network is None:
        return
    named = catalogue.specification(network, classes=found.classes, in_channels=found.in_channels)
    if named != found:
        raise BadWeights(f"{path} holds another network than {network}; leave out --network")


def _from_artifact(kept: artifact.Artifact, origin: str, name: str, dataset: Dataset, *, seed: int) -> Start:
    same = set(kept.classes) == set(dataset.classes)
    network = kept.network()
    if same:
        _reorder(network, [kept.classes.index(name) for name in dataset.classes])
    seen = kept.preprocessing
    known = len(seen.mean) == seen.channels
    return Start(
        origin=origin,
        says=f"from {origin}" + ("" if same else f" ({len(kept.classes)} other classes)"),
        network=_fitting(network, dataset, seed=seed, keep_head=same),
        mean=seen.mean if known else None,
        std=seen.std if known else None,
        head="known" if same else "drawn",
        name=name,
    )


@torch.no_grad()
def _reorder(network: ResidualNetwork, order: list[int]) -> None:
    """Gives the head's outputs another order: classes are matched by name, never by position."""
    network.head.weight.copy_(network.head.weight[order].clone())
    network.head.bias.copy_(network.head.bias[order].clone())


def _fitting(network: ResidualNetwork, dataset: Dataset, *, seed: int, keep_head: bool = False) -> ResidualNetwork:
    channels = dataset.preprocessing.channels
    if network.spec.in_channels != channels:
        network = surgery.adapt_input(network, channels)
    return network if keep_head else surgery.replace_head(network, len(dataset.classes), seed=seed)


def _for_channels(values: tuple[float, ...], channels: int) -> tuple[float, ...]:
    return values if len(values) == channels else (math.fsum(values) / len(values),) * channels


def _sample(part: Part) -> Part:
    if len(part) <= _MOST_IMAGES:
        return part
    chosen = torch.randperm(len(part), generator=torch.Generator().manual_seed(0))[:_MOST_IMAGES].sort().values
    return part.only(chosen)


def _features(
    network: ResidualNetwork, part: Part, images: Preprocessing, device: torch.device, progress: Progress | None
) -> tuple[Tensor, Tensor]:
    """Returns the pooled features [n, c] of a part's images, and their labels, on the processor."""
    found = []
    with torch.inference_mode():
        for batch in evaluation_batches(part, batch_size=_BATCH_SIZE, preprocessing=images, device=device):
            found.append(network.features(batch.images, ["pool"])["pool"].float().cpu())
            if progress:
                progress(f"features of {len(part):,} {part.name} images", sum(map(len, found)), len(part))
    return torch.cat(found).clone(), part.labels.cpu()


def _solved(features: Tensor, labels: Tensor, classes: int, strength: float) -> tuple[Tensor, Tensor]:
    """Returns weight [classes, c] and bias [classes] of a logistic regression on standardised features.

    A class that no label names has the bias −10; where all labels are of one class, nothing is fitted.
    """
    weight, bias = torch.zeros(classes, features.shape[1]), torch.full((classes,), -10.0)
    if len(labels.unique()) == 1:
        bias[labels[0]] = 0.0
        return weight, bias
    scaler = StandardScaler()
    model = LogisticRegression(C=strength, max_iter=_ITERATIONS)
    model.fit(scaler.fit_transform(features.numpy()), labels.numpy())
    slope = model.coef_ / np.asarray(scaler.scale_)
    shift = model.intercept_ - slope @ np.asarray(scaler.mean_)
    if len(model.classes_) == 2:
        slope, shift = np.concatenate([-slope, slope]) / 2, np.concatenate([-shift, shift]) / 2
    present = torch.from_numpy(np.asarray(model.classes_))
    weight[present], bias[present] = torch.from_numpy(slope).float(), torch.from_numpy(shift).float()
    return weight, bias
