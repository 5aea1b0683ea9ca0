"""Answers for single images: a trained network with the preprocessing it was trained with."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor

from residua import machine
from residua.artifact import Artifact
from residua.data.fitting import read_image
from residua.errors import BadData
from residua.networks.network import ResidualNetwork

_BATCH_SIZE = 32


@final
@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What the network says of one image."""

    file: str | None
    """The image's path; None for an image that came without one."""
    classes: tuple[str, ...]
    """The most probable class first."""
    probabilities: tuple[float, ...]
    """In the order of ``classes``; over all classes they sum to one."""

    @property
    def label(self) -> str:
        """Returns the most probable class."""
        return self.classes[0]

    @property
    def probability(self) -> float:
        """Returns the probability of the most probable class."""
        return self.probabilities[0]

    def top(self, count: int) -> "Prediction":
        """Returns the prediction cut to its ``count`` most probable classes."""
        return Prediction(file=self.file, classes=self.classes[:count], probabilities=self.probabilities[:count])

    def to_json(self) -> dict[str, Any]:
        """Returns the prediction ready for JSON."""
        rows = zip(self.classes, self.probabilities, strict=True)
        return {
            "file": self.file,
            "label": self.label,
            "predictions": [{"class": name, "probability": probability} for name, probability in rows],
        }


@final
@dataclass(frozen=True, kw_only=True)
class Unreadable:
    """An image that could not be answered, and why."""

    file: str
    reason: str

    def to_json(self) -> dict[str, Any]:
        """Returns the failure ready for JSON."""
        return {"file": self.file, "error": self.reason}


@final
class Predictor:
    """Predicts the class of images with a trained network."""

    def __init__(self, artifact: Artifact, *, device: str = "auto") -> None:
        self._artifact = artifact
        self._device = machine.device(device)
        self._network: ResidualNetwork = artifact.network().to(self._device)

    @property
    def classes(self) -> tuple[str, ...]:
        """Returns the class names in the order of the network's outputs."""
        return self._artifact.classes

    def predict(self, image: Any) -> Prediction:
        """Predicts one image: a path, a Pillow image, or an array of 8-bit pixels (h × w, or h × w × 3).

        Raises:
            BadData: If it cannot be read.
        """
        pixels = read_image(image, self._artifact.preprocessing)
        file = str(image) if isinstance(image, (str, Path)) else None
        return self._answer([pixels], [file])[0]

    def predict_files(self, paths: Iterable[Path]) -> Iterator[Prediction | Unreadable]:
        """Predicts files a batch at a time and in order; one that cannot be read is reported, the others go on."""
        remaining = iter(paths)
        while batch := list(islice(remaining, _BATCH_SIZE)):
            yield from self._predict_batch(batch)

    def _predict_batch(self, paths: Sequence[Path]) -> list[Prediction | Unreadable]:
        pixels: list[Tensor] = []
        results: list[Prediction | Unreadable | None] = []
        for path in paths:
            try:
                pixels.append(read_image(path, self._artifact.preprocessing))
                results.append(None)
            except BadData as error:
                results.append(Unreadable(file=str(path), reason=str(error)))
        readable = [str(path) for path, result in zip(paths, results, strict=True) if result is None]
        answers = iter(self._answer(pixels, readable)) if pixels else iter(())
        return [result or next(answers) for result in results]

    def _answer(self, pixels: Sequence[Tensor], names: Sequence[str | None]) -> list[Prediction]:
        images = self._artifact.preprocessing.normalise(torch.stack(list(pixels)).to(self._device))
        with torch.inference_mode():
            logits = self._network(images).float().cpu()
        ordered, order = logits.sort(dim=1, descending=True, stable=True)
        probabilities = (ordered / self._artifact.temperature).softmax(1)
        return [
            Prediction(
                file=name,
                classes=tuple(self.classes[index] for index in indices),
                probabilities=tuple(row),
            )
            for name, indices, row in zip(names, order.tolist(), probabilities.tolist(), strict=True)
        ]
