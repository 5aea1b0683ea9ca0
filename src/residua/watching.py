"""`residua.watch`: what each block does while it learns, in anybody's loop, and in a run while it trains."""

import os
from pathlib import Path
from typing import Any, final

from torch import nn
from torch.optim import Optimizer

from residua.diagnostics.motion import Sample
from residua.diagnostics.trouble import Sign
from residua.diagnostics.watch import EVERY, Watch
from residua.errors import BadSetting
from residua.report.terminal import ProgressObserver
from residua.report.watch_page import watch_card, write_watch_page
from residua.training.observers import EpochEnded, Observer, RunEnded, RunStarted, StepEnded
from residua.training.path import PathKeeper
from residua.training.steplog import StepLog

_FILE = "watch.jsonl"


def watch(
    module: nn.Module, optimizer: Optimizer, *, every: int = EVERY, out: str | os.PathLike[str] | None = None
) -> "Watched":
    """Watches a training loop: gradient and update-to-weight ratio by block, and the first sign of trouble.

    What is trained is the same to the bit. An exception in the loop passes through, with the samples kept.

    Example:
        >>> with residua.watch(module, optimizer) as watched:
        ...     for images, labels in loader:
        ...         optimizer.zero_grad()
        ...         loss(module(images), labels).backward()
        ...         optimizer.step()
        >>> watched.signs, watched.write("watch.html")

    Args:
        module: Any module that learns; wrappers of ``torch.compile`` and of distributed training are looked through.
        optimizer: That holds its parameters, or some of them, and others beside them.
        every: Steps from one sample to the next; the first step is sampled. docs/results/watching.json has the costs.
            Those that a gradient scaler leaves out do not count.
        out: A page with the heat map, written when the loop ends, also where it ends by an exception.

    Raises:
        BadSetting: If ``every`` is below 1, or the optimizer holds none of the module's parameters.
    """
    return Watched(module, optimizer, every=every, out=out)


@final
class Watched:
    """A training loop that is watched, and afterwards what was seen; `watch` makes it."""

    def __init__(
        self, module: nn.Module, optimizer: Optimizer, *, every: int, out: str | os.PathLike[str] | None
    ) -> None:
        self._watch = Watch(module, optimizer, every=every)
        self._name = type(module).__name__
        self._out = out

    def __enter__(self) -> "Watched":
        self._watch.__enter__()
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        self._watch.end()
        if self._out is None:
            return
        try:
            self.write(self._out)
        except BadSetting as not_written:
            if error is None:
                raise
            error.add_note(str(not_written))  # what ended the loop is the news

    @property
    def samples(self) -> tuple[Sample, ...]:
        """Returns what was sampled, a step each."""
        return self._watch.samples

    @property
    def rows(self) -> tuple[dict[str, Any], ...]:
        """Returns a row for each step and block: step, block, gradient norm, update-to-weight ratio."""
        return self._watch.rows

    @property
    def signs(self) -> tuple[Sign, ...]:
        """Returns the signs of trouble, the earliest first."""
        return self._watch.signs

    def to_json(self) -> dict[str, Any]:
        """Returns the samples and the signs as plain values."""
        return self._watch.to_json()

    def write(self, path: str | os.PathLike[str]) -> Path:
        """Writes a page with the heat map and the signs, and returns its path.

        Raises:
            BadSetting: If it cannot be written there.
        """
        try:
            return write_watch_page(Path(path), self.samples, title=self._name)
        except OSError as error:
            raise BadSetting(f"cannot write {path} ({error.strerror or error}); choose another place") from error

    def _repr_html_(self) -> str:
        return watch_card(self.samples)


def observers(*, watched: bool, keeps_path: bool = False) -> list[Observer]:
    """Returns what looks at a run while it trains: the progress, and what was asked for beside it.

    The keeper of the path comes first: it says what will be kept before the progress bar is there.
    """
    keeper: list[Observer] = [PathKeeper(told=print)] if keeps_path else []
    return [*keeper, ProgressObserver(), *([RunWatcher()] if watched else [])]


def is_watched(run: Path) -> bool:
    """Says whether a run was watched before."""
    return (run / _FILE).is_file()


@final
class RunWatcher:
    """Watches a run and appends a line a sample to ``RUN/watch.jsonl``.

    On the processor a sample's line stands there when its step ends. On a GPU it does once a later step finds the
    numbers there, and before a checkpoint of its step or a later one is written: a kill loses the newest sample at
    most, and what goes on from a checkpoint takes that one again. Steps are the run's, as in ``steps.jsonl``: those
    that a gradient scaler leaves out count, and give no sample.
    """

    def __init__(self) -> None:
        self._watch: Watch | None = None
        self._log: StepLog | None = None
        self._taken = 0

    def run_started(self, event: RunStarted) -> None:
        """Begins behind the steps that were taken before; samples of later ones are taken again."""
        self._taken = event.steps_done
        log = self._log = StepLog(Path(event.run) / _FILE, after=event.steps_done)
        self._watch = Watch(
            event.network,
            event.optimizer,
            taken=lambda: self._taken,
            told=lambda sample: log.add(sample.to_json()),
        )
        self._watch.__enter__()

    def step_ended(self, event: StepEnded) -> None:  # noqa: ARG002
        """Counts the step, also where the optimizer was not called for it."""
        self._taken += 1

    def epoch_ended(self, event: EpochEnded) -> None: ...

    def run_ended(self, event: RunEnded) -> None:  # noqa: ARG002
        """Ends the watch."""
        self.run_stopped()

    def run_stopped(self) -> None:
        """Ends the watch; what was sampled stays in the run."""
        if self._watch is not None and self._log is not None:
            self._watch.end()
            self._log.close()
