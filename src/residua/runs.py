"""A finished run as Python sees it."""

import os
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, final

from torch import nn

from residua import artifact
from residua.inference.predictor import Prediction, Predictor, Unreadable
from residua.report import notebook
from residua.training import record


@final
class Run:
    """A finished run: its numbers, its report, and its network, ready to predict.

    Example:
        >>> run = residua.train("digits")
        >>> run.metrics["accuracy"], run.report
        >>> run.predict("seven.png").label
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._record = record.find(path).require_finished()

    @property
    def path(self) -> Path:
        """Returns the run directory."""
        return self._record.path

    @property
    def report(self) -> Path:
        """Returns the report's page."""
        return self._record.report

    @property
    def metrics(self) -> dict[str, Any]:
        """Returns the numbers of the part that the headline is from: accuracy, interval, loss, per class, …

        Empty where no image was held out.
        """
        result = self._record.read("result")
        return result["parts"][result["headline"]["part"]] if result["headline"] else {}

    @property
    def history(self) -> list[dict[str, Any]]:
        """Returns one row an epoch."""
        return self._record.epochs()

    @property
    def classes(self) -> tuple[str, ...]:
        """Returns the class names in the order of the network's outputs."""
        return self._predictor.classes

    def network(self) -> nn.Module:
        """Builds the trained network, in evaluation mode, returning logits."""
        return artifact.load(self._record.model).network()

    def predict(self, image: Any) -> Prediction:
        """Predicts one image: a path, a Pillow image, or an array of 8-bit pixels (h × w or h × w × 3).

        Raises:
            BadData: If it cannot be read.
        """
        return self._predictor.predict(image)

    def predict_files(self, paths: Iterable[Path]) -> Iterator[Prediction | Unreadable]:
        """Predicts files in order, a batch at a time; one that cannot be read is reported, the others go on."""
        return self._predictor.predict_files(paths)

    @cached_property
    def _predictor(self) -> Predictor:
        return Predictor(artifact.load(self._record.model))

    def __repr__(self) -> str:
        headline = self._record.read("result")["headline"]
        said = f"{headline['part']} accuracy {headline['accuracy']:.4f}" if headline else "nothing held out"
        return f"Run({str(self.path)!r}, {said})"

    def _repr_html_(self) -> str:
        return notebook.run_html(self.path)
