"""Collects a run's pictures from its images and its network."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional

from residua.data.augment import Moment, augment
from residua.data.dataset import Dataset, Part
from residua.diagnostics.activation_map import class_activation_maps
from residua.networks.network import ResidualNetwork
from residua.report.pictures import Mistake, Pictures
from residua.training.fit import Fitted

_SAMPLES = 32
_MISTAKES = 12


def pictures_of(fitted: Fitted) -> Pictures:
    """Returns 32 training images as the first epoch showed them, and the twelve most confident mistakes."""
    dataset = fitted.plan.dataset
    samples, labels = _samples(fitted)
    result = fitted.record.read("result")
    if result["headline"] is None:
        return Pictures(samples=samples, sample_labels=labels, mistakes=())
    name = result["headline"]["part"]
    part = next(part for part in dataset.parts if part.name == name)
    rows = fitted.record.predictions(name)
    return Pictures(samples=samples, sample_labels=labels, mistakes=_mistakes(rows, part, dataset, fitted.network))


def _samples(fitted: Fitted) -> tuple[torch.Tensor, tuple[str, ...]]:
    train, seed = fitted.plan.dataset.train, fitted.plan.asked.seed
    indices = torch.randperm(len(train), generator=torch.Generator().manual_seed(seed))[:_SAMPLES]
    at = Moment(seed=seed, epoch=1, step=0)
    images = augment(train.take(indices), indices, fitted.plan.augment, at=at)
    return images.contiguous(), tuple(fitted.plan.dataset.classes[label] for label in train.labels[indices].tolist())


def _mistakes(rows: list[dict], part: Part, dataset: Dataset, network: ResidualNetwork) -> tuple[Mistake, ...]:
    wrong = [index for index, row in enumerate(rows) if row["predicted"] != row["label"]]
    wrong.sort(key=lambda index: -max(rows[index]["probabilities"]))
    chosen = wrong[:_MISTAKES]
    if not chosen:
        return ()
    images = part.take(torch.tensor(chosen))
    predicted = torch.tensor([dataset.classes.index(rows[index]["predicted"]) for index in chosen])
    maps = evidence(network, dataset.preprocessing.normalise(images), predicted)
    return tuple(
        Mistake(
            file=rows[index]["file"],
            label=rows[index]["label"],
            predicted=rows[index]["predicted"],
            probability=max(rows[index]["probabilities"]),
            image=image.contiguous(),
            activation_map=activation,
        )
        for index, image, activation in zip(chosen, images, maps, strict=True)
    )


def evidence(
    network: ResidualNetwork, images: Float[Tensor, "b c h w"], classes: Int64[Tensor, " b"]
) -> Float[Tensor, "b h w"]:
    """Returns the class activation maps at the images' size, each scaled to 0, no evidence, up to 1, its strongest."""
    maps = class_activation_maps(network, images, classes)[:, None]
    positive = functional.interpolate(maps, images.shape[-2:], mode="bilinear", align_corners=False)[:, 0].clamp(min=0)
    return positive / positive.amax(dim=(1, 2), keepdim=True).clamp(min=1e-12)
