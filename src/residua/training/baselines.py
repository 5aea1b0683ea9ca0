"""What no network is needed for: the scores that a run must beat to be worth anything."""

import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch import Tensor
from torch.nn import functional

from residua.data.dataset import Dataset, Part, Places

_SIDE = 16
_MOST_IMAGES = 10_000
_ITERATIONS = 100
_CHUNK = 128  # images whose float copies exist at a time: 77 MB of 224 × 224


def baselines(dataset: Dataset, part: Part) -> dict[str, Any]:
    """Returns the accuracy on ``part`` of the commonest training class and of a linear model on small pixels.

    The linear model is a logistic regression (L2, inverse strength 0.1) on the pixels averaged to at most
    16×16 and standardised, fitted to the training part, or to the first 10,000 of it in a seeded order; where these
    are of one class, that is its answer.
    """
    counts = torch.bincount(dataset.train.labels, minlength=len(dataset.classes))
    commonest = int(counts.argmax())
    share = float((part.labels == commonest).double().mean())
    return {
        "majority": {"class": dataset.classes[commonest], "accuracy": share},
        "logistic_regression": _logistic_regression(dataset.train, part),
    }


def _logistic_regression(train: Part, part: Part) -> dict[str, Any]:
    order = torch.randperm(len(train.labels), generator=torch.Generator().manual_seed(0))[:_MOST_IMAGES]
    labels = train.labels[order].numpy()
    predicted = _predicted(train, order, part) if len(np.unique(labels)) > 1 else labels[0]
    side = min(_SIDE, *train.images.shape[-2:])
    return {
        "accuracy": float(np.mean(predicted == part.labels.numpy())),
        "train_images": len(order),
        "description": f"logistic regression on {side}×{side} pixels",
    }


def _predicted(train: Part, order: Tensor, part: Part) -> np.ndarray:
    """Returns what a model of some training images says of each image of a part."""
    scaler = StandardScaler()
    seen = scaler.fit_transform(_small_pixels(train, order.split(_CHUNK)))
    model = LogisticRegression(C=0.1, max_iter=_ITERATIONS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a baseline that is not quite converged still is one
        model.fit(seen, train.labels[order].numpy())
    runs = [slice(first, first + _CHUNK) for first in range(0, len(part), _CHUNK)]
    return np.asarray(model.predict(scaler.transform(_small_pixels(part, runs))))


def _small_pixels(part: Part, wanted: Iterable[Places]) -> np.ndarray:
    """Averages images to at most 16×16, one row an image."""
    side = (min(_SIDE, part.images.shape[-2]), min(_SIDE, part.images.shape[-1]))
    small = [functional.adaptive_avg_pool2d(images.float(), side).flatten(1) for images in part.walk(wanted)]
    return torch.cat(small).numpy()
