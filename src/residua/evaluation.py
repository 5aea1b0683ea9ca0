"""The one evaluation loop, and the metrics that all rooms above report.

Notation: n images, k classes. Probabilities are the softmax of the network's logits over a temperature T, one number
that is fitted to held-out images (`fitted_temperature`) and changes no predicted class.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import exp, log
from typing import Any, Literal, final

import numpy as np
import torch
from jaxtyping import Float, Int64
from scipy.optimize import minimize_scalar
from scipy.stats import binomtest
from sklearn.metrics import confusion_matrix
from torch import Tensor, nn
from torch.nn import functional

from residua import machine
from residua.data.dataset import Part, Preprocessing
from residua.data.loader import evaluation_batches
from residua.machine import Precision

Views = Literal["one", "mirror", "six"]
"""How often an image is looked at: as it is, mirrored too, or six times (`views_of`)."""
_PLACES: dict[Views, tuple[tuple[float, int], ...]] = {
    "mirror": ((1.0, 1),),
    "six": ((0.5, 1), (0.25, 0), (0.25, 2)),
}
"""Weight and corner, within a border of a pixel, of each pair of an image and its mirror image."""
LOOKS: dict[Views, int] = {"one": 1, **{views: 2 * len(places) for views, places in _PLACES.items()}}
"""Forward passes of each."""
_RELIABILITY_BINS = 10
BATCH_SIZE = 256
"""Images that are asked about at a time."""
_COLDEST, _HOTTEST = 0.01, 100.0


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Outcome:
    """What a network said of a part of the data, beside the truth."""

    logits: Float[Tensor, "n k"]
    """On the processor, in float32."""
    labels: Int64[Tensor, " n"]
    temperature: float = 1.0
    """What the logits are divided by before the softmax."""

    @property
    def probabilities(self) -> Float[Tensor, "n k"]:
        """Returns the softmax of the logits over the temperature; every row sums to one."""
        return (self.logits / self.temperature).softmax(1)

    @property
    def predicted(self) -> Int64[Tensor, " n"]:
        """Returns the most probable class of each image."""
        return self.logits.argmax(1)

    @property
    def accuracy(self) -> float:
        """Returns the share of images whose most probable class is their label."""
        return float((self.predicted == self.labels).double().mean())

    @property
    def loss(self) -> float:
        """Returns the mean cross-entropy of the probabilities in nats, without label smoothing."""
        return float(functional.cross_entropy(self.logits.double() / self.temperature, self.labels))

    def at(self, temperature: float) -> "Outcome":
        """Returns what the network would have said at another temperature."""
        return replace(self, temperature=temperature)


def evaluate(
    network: nn.Module,
    part: Part,
    preprocessing: Preprocessing,
    *,
    device: torch.device,
    precision: Precision = "float32",
    views: Views = "one",
) -> Outcome:
    """Asks the network, in evaluation mode, about every image of a part once and in order.

    The network's mode is restored. Between epochs training asks in its own precision. Of several
    ``views`` the logits are averaged.
    """
    was_training = network.training
    network.eval()
    logits = []
    with torch.inference_mode(), machine.computing_in(precision, device):
        for batch in evaluation_batches(part, batch_size=BATCH_SIZE, preprocessing=preprocessing, device=device):
            seen = sum(weight * network(view).float() for weight, view in views_of(batch.images, views))
            logits.append(torch.as_tensor(seen).cpu())
    network.train(was_training)
    return Outcome(logits=torch.cat(logits).clone(), labels=part.labels.cpu())


def views_of(images: Float[Tensor, "b c h w"], views: Views) -> Iterator[tuple[float, Float[Tensor, "b c h w"]]]:
    """Yields the views of a batch, each with its weight: Jordan 2024 (arXiv:2404.00498), §3.6 and Listing 4.

    ``mirror``: the image and its mirror image; ``six``: these with half of the weight, and both of them shifted by a
    pixel to either corner, over a border that mirrors the image.
    """
    if views == "one":
        yield 1.0, images
        return
    height, width = images.shape[2:]
    framed = functional.pad(images, (1, 1, 1, 1), mode="reflect")
    for weight, corner in _PLACES[views]:
        view = framed[:, :, corner : corner + height, corner : corner + width]
        yield weight / 2, view
        yield weight / 2, view.flip(3)


def fitted_temperature(outcome: Outcome) -> float:
    """Returns the temperature that makes the probabilities of a held-out part honest (Guo et al. 2017, §4.2).

    It minimises the mean cross-entropy of softmax(logits / T), which has one minimum (it is convex in 1/T), over log T
    by Brent's method. The target of an image is (n + 1)/(n + 2) for its label and the rest for the other classes
    (Platt 1999, §2.2): a part without a mistake would else ask for T = 0, and be certain of everything. Above 1 the
    network was too sure, below 1 not sure enough. 1 where there is one class.
    """
    images, classes = outcome.logits.shape
    if classes == 1:
        return 1.0
    logits, smoothing = outcome.logits.double(), classes / ((classes - 1) * (images + 2))

    def loss(log_temperature: float) -> float:
        scaled = logits / exp(log_temperature)
        return float(functional.cross_entropy(scaled, outcome.labels, label_smoothing=smoothing))

    bounds = (log(_COLDEST), log(_HOTTEST))
    return exp(minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-6}).x)


def metrics(outcome: Outcome, classes: tuple[str, ...]) -> dict[str, Any]:
    """Returns the numbers that a run reports of one part, ready for JSON.

    Accuracy comes with its 95 % Wilson interval from the number of images; precision and recall are
    None where a class was never predicted or never present; the confusion matrix has the true classes
    as rows. Loss and calibration are those of the probabilities at the outcome's temperature, and once more under
    ``uncalibrated`` at temperature 1.
    """
    confusion = confusion_matrix(outcome.labels, outcome.predicted, labels=range(len(classes)))
    correct, images = int((outcome.predicted == outcome.labels).sum()), len(outcome.labels)
    return {
        "accuracy": outcome.accuracy,
        "interval": list(accuracy_interval(correct, images)),
        "images": images,
        "correct": correct,
        "per_class": _per_class(confusion, classes),
        "confusion": confusion.tolist(),
        **_calibration(outcome),
        "uncalibrated": _calibration(outcome.at(1.0)),
    }


def _calibration(outcome: Outcome) -> dict[str, Any]:
    return {
        "temperature": outcome.temperature,
        "loss": outcome.loss,
        "calibration_error": calibration_error(outcome),
        "reliability": reliability(outcome),
    }


def accuracy_interval(correct: int, images: int) -> tuple[float, float]:
    """Returns the 95 % Wilson score interval of a proportion (Wilson 1927)."""
    interval = binomtest(correct, images).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)


def reliability(outcome: Outcome) -> list[dict[str, float]]:
    """Groups images by the probability of their predicted class, in ten equal bins; empty bins are left out."""
    confidence = (outcome.logits.double() / outcome.temperature).softmax(1).amax(1)
    right = (outcome.predicted == outcome.labels).double()
    bins = (confidence * _RELIABILITY_BINS).long().clamp(max=_RELIABILITY_BINS - 1)
    rows = []
    for index in range(_RELIABILITY_BINS):
        inside = bins == index
        if inside.any():
            rows.append(
                {
                    "low": index / _RELIABILITY_BINS,
                    "high": (index + 1) / _RELIABILITY_BINS,
                    "confidence": float(confidence[inside].mean()),
                    "accuracy": float(right[inside].mean()),
                    "images": int(inside.sum()),
                }
            )
    return rows


def calibration_error(outcome: Outcome) -> float:
    """Returns the expected calibration error: |confidence − accuracy|, mean over images (Guo 2017, Eq. 3)."""
    rows = reliability(outcome)
    return sum(row["images"] * abs(row["confidence"] - row["accuracy"]) for row in rows) / len(outcome.labels)


def _per_class(confusion: np.ndarray, classes: tuple[str, ...]) -> list[dict[str, Any]]:
    right, present, predicted = np.diag(confusion).tolist(), confusion.sum(1).tolist(), confusion.sum(0).tolist()
    return [
        {
            "class": name,
            "precision": _ratio(right[k], predicted[k]),
            "recall": _ratio(right[k], present[k]),
            "f1": _ratio(2 * right[k], present[k] + predicted[k]),
            "images": int(present[k]),
        }
        for k, name in enumerate(classes)
    ]


def _ratio(part: int, whole: int) -> float | None:
    return float(part / whole) if whole else None
