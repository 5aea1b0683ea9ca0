"""A tiny data set and a tiny network, so that a run takes a second."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch

from residua.data.dataset import Dataset, Part, Preprocessing
from residua.networks.spec import NetworkSpec, small_stem
from residua.training import fit as fitting
from residua.training.fit import Fitted
from residua.training.observers import EpochEnded, Observer, RunEnded, RunStarted, StepEnded
from residua.training.plan import plan
from residua.training.record import Record
from residua.training.spec import TrainSpec

TINY = NetworkSpec(stem=small_stem(4), blocks=(1, 1), widths=(4, 8), in_channels=1, classes=10)
EPOCHS = 6
STEPS = 20
"""Steps an epoch of the embedded digits at 64 images a step."""
ASKED = TrainSpec(network=TINY, epochs=EPOCHS, settings=("precision=float32", "checkpoint_seconds=0"))


def fit(asked: TrainSpec, *, out: Path | None = None, observers: Sequence[Observer] = ()) -> Fitted:
    return fitting.fit(plan(asked), out=out, observers=observers)


def resume(run: Path, *, observers: Sequence[Observer] = ()) -> Fitted:
    return fitting.resume(Record(run), observers=observers)


class Watcher:
    """Keeps every event, and may act on a step."""

    def __init__(self, on_step: Callable[[StepEnded], None] | None = None) -> None:
        self.events: list[object] = []
        self.stopped = False
        self._on_step = on_step

    def run_started(self, event: RunStarted) -> None:
        self.events.append(event)

    def step_ended(self, event: StepEnded) -> None:
        self.events.append(event)
        if self._on_step:
            self._on_step(event)

    def epoch_ended(self, event: EpochEnded) -> None:
        self.events.append(event)

    def run_ended(self, event: RunEnded) -> None:
        self.events.append(event)

    def run_stopped(self) -> None:
        self.stopped = True

    def of(self, kind: type) -> list:
        return [event for event in self.events if isinstance(event, kind)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Fitted:
    """The run of `ASKED` that nobody disturbs."""
    return fitting.fit(plan(ASKED), out=tmp_path_factory.mktemp("whole") / "run")


@pytest.fixture
def tiny_digits() -> TrainSpec:
    return TrainSpec(source="digits", network=TINY, epochs=3, settings=("precision=float32",))


@pytest.fixture
def stripes() -> Dataset:
    """Two classes that one pixel tells apart."""
    images = torch.zeros(40, 1, 8, 8, dtype=torch.uint8)
    images[::2, :, 0, 0] = 255
    labels = torch.tensor([0, 1]).repeat(20)
    train = Part(name="train", images=images, labels=labels, files=tuple(f"{i}.png" for i in range(40)))
    look = Preprocessing(image_size=(8, 8), channels=1, mean=(0.5,), std=(0.5,))
    return Dataset(source="stripes", classes=("on", "off"), parts=(train,), preprocessing=look)
