"""The path that the weights take while a run trains: kept in ``RUN/path/`` as it goes, and read back.

Which steps are kept is decided before the first one (`due_steps`), so that a run that is killed and resumed keeps the
same. A point is the network that is stepped: with a moving average (EMA) beside it that is *not* the one that is
evaluated, with lookahead the one that has just stepped back. Nor is the last point the run's result, where
validation chooses another epoch: that is `TrainingPath.final`.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor, nn

from residua import files
from residua.errors import BadRun, NotSaved
from residua.training import record
from residua.training.observers import EpochEnded, RunEnded, RunStarted, StepEnded

_FOLDER = "path"
_FEWEST, _MOST = 30, 60


def due_steps(epochs: int, steps_per_epoch: int) -> tuple[int, ...]:
    """Returns the steps behind which a point is kept: 0, ends of epochs, and of a short run steps between.

    Below 30 epochs each gives ⌈30 / epochs⌉ points, evenly spaced, its end the last (all of its steps where it has
    fewer); above 60 every ⌈epochs / 60⌉-th epoch gives its end. The last step is always one. So there are 30 to 60
    points and the start, or all the steps that there are.
    """
    each = min(steps_per_epoch, math.ceil(_FEWEST / epochs))
    apart = math.ceil(epochs / _MOST)
    ends = sorted({*range(apart, epochs + 1, apart), epochs})
    within = [-(-place * steps_per_epoch // each) for place in range(1, each + 1)]
    return (0, *((epoch - 1) * steps_per_epoch + step for epoch in ends for step in within))


@final
class PathKeeper:
    """Keeps the network at the steps that are due, as an observer of the run; changes nothing in it.

    A point is on the disk, whole, before a checkpoint of its step or a later one is written. What goes on from a
    checkpoint takes the steps behind it again and so are their points, which are removed first. A run that goes on and
    had kept none before has its first point where it goes on.

    Args:
        told: Is told in a line how much will be kept, before the first step.
    """

    def __init__(self, told: Callable[[str], None] = lambda _line: None) -> None:
        self._told = told
        self._taken = 0
        self._due: frozenset[int] = frozenset()
        self._folder = Path()
        self._network: nn.Module | None = None

    def run_started(self, event: RunStarted) -> None:
        """Decides what is kept, says how much that is, and keeps the first point.

        Raises:
            NotSaved: If it cannot be written.
        """
        self._taken, self._network, self._folder = event.steps_done, event.network, Path(event.run) / _FOLDER
        self._due = frozenset(due_steps(event.epochs, event.steps_per_epoch))
        files.remove_partials(self._folder)
        for step, place in _points(self._folder).items():
            if step > self._taken:
                place.unlink()
        if not _points(self._folder):
            self._keep()
        points = len(_points(self._folder)) + sum(step > self._taken for step in self._due)
        self._told(_says(points, _bytes(event.network), self._folder))

    def step_ended(self, event: StepEnded) -> None:  # noqa: ARG002
        """Keeps the network where that is due.

        Raises:
            NotSaved: If it cannot be written.
        """
        self._taken += 1
        if self._taken in self._due:
            self._keep()

    def epoch_ended(self, event: EpochEnded) -> None: ...

    def run_ended(self, event: RunEnded) -> None: ...

    def run_stopped(self) -> None: ...

    def _keep(self) -> None:
        if self._network is None:
            return
        place = self._folder / f"{self._taken:09}.safetensors"
        try:
            files.write(place, to_bytes(_state(self._network)))
        except OSError as error:
            raise NotSaved(
                f"cannot keep step {self._taken:,} of the path in {self._folder} ({error.strerror or error}); free "
                f"space, then go on with `residua train --resume {self._folder.parent}`"
            ) from error


@final
class StoredState(Mapping[str, Tensor]):
    """A network's tensors by name, in a file that is mapped into memory: each is read where it is looked at."""

    def __init__(self, path: Path) -> None:
        try:
            self._file: Any = safe_open(path, "pt").__enter__()
        except (SafetensorError, OSError) as error:
            raise BadRun(f"{path} cannot be read ({error}); remove it, or train again") from None
        self._names = tuple(self._file.keys())

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._names:
            raise KeyError(name)
        return self._file.get_tensor(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingPath:
    """A path as it was kept; nothing of it is in memory until it is looked at."""

    steps: tuple[int, ...]
    """Optimizer steps done at each point, rising; the first is 0 but where a run began to keep it later."""
    states: Sequence[Mapping[str, Tensor]]
    """The network there: parameters and buffers by name, as `torch.nn.Module.load_state_dict` takes them."""
    final: Mapping[str, Tensor] | None
    """The weights that the run chose, which need not be the last point's; None while it has not finished."""


def is_kept(run: Path) -> bool:
    """Says whether a run keeps its path, or has."""
    return bool(_points(run / _FOLDER))


def read_path(run: Path) -> TrainingPath:
    """Opens the path that a run has kept.

    Raises:
        BadRun: If it has kept none, or a point is damaged.
    """
    points = _points(run / _FOLDER)
    if not points:
        raise BadRun(f"{run} kept no path of its weights; train with `residua train --keep-path`")
    model = record.Record(run).model
    return TrainingPath(
        steps=tuple(points),
        states=tuple(StoredState(place) for place in points.values()),
        final=StoredState(model) if model.is_file() else None,
    )


def _points(folder: Path) -> dict[int, Path]:
    """Lists a path's files by step, rising; what a kill cut short is none."""
    found = {int(place.stem): place for place in folder.glob("*.safetensors") if place.stem.isdecimal()}
    return dict(sorted(found.items()))


def _state(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}


def _bytes(network: nn.Module) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in network.state_dict().values())


def _says(points: int, size: int, folder: Path) -> str:
    whole = f"{points} points of {_written(size)}, {_written(points * size)}"
    return f"keeps the path of the weights: {whole} in {folder}"


def _written(size: int) -> str:
    if size >= 1e9:
        return f"{size / 1e9:.1f} GB"
    return f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size / 1e3:.1f} kB"
