"""Where trials and what was measured on them are kept, once for all studies.

    STORE/trials/ADDRESS/             a run directory like any other (`residua.training.record`)
    STORE/starts/ADDRESS.safetensors  the deepened weights that a trial starts from
    STORE/measurements/ADDRESS/MEASURE-VERSION.json   what a measure found; one of a user's own with its file's digest
    STORE/failures/ADDRESS.json       the error of a trial that failed, in one line
    STORE/leases/ADDRESS.GENERATION   who is at work on it (`residua.studies.lease`)

Every file is written whole or not at all, so that any process may read while others write.
"""

import contextlib
import math
import os
import shutil
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, final

from residua import files
from residua.errors import BadRun, NonFiniteLoss, ResiduaError
from residua.studies.address import measured as kept_by
from residua.studies.lease import Leases
from residua.studies.trial import Measure, Measurement
from residua.training.record import Record

DEFAULT = Path("runs") / "studies"


@final
@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why a trial has no result."""

    error: str
    """One line."""
    diverged: bool = False
    """Whether its loss stopped being a number: it would do so again, so it is not tried again."""
    measure: str = ""
    """What failed to be measured on it; empty where it failed to train."""


@final
@dataclass(frozen=True)
class Store:
    """A folder of trials, on a disk that several processes may share."""

    path: Path

    def trial(self, address: str) -> Record:
        """Returns the run directory of a trial, which need not be there."""
        return Record(self.path / "trials" / address)

    def start(self, address: str) -> Path:
        """Returns the file of the weights that a trial starts from."""
        return self.path / "starts" / f"{address}.safetensors"

    def is_trained(self, address: str) -> bool:
        """Says whether a trial's run has finished."""
        record = self.trial(address)
        return (record.path / "run.json").is_file() and record.status == "finished"

    def is_measured(self, address: str, measure: Measure) -> bool:
        """Says whether a measure has been made on a trial."""
        return self._measurement(address, measure).is_file()

    def keep(self, address: str, measure: Measure, found: Measurement, *, seconds: float) -> None:
        """Keeps what a measure found; numbers that are not finite are kept as words, which JSON can hold."""
        values = {
            "numbers": {name: written(value) for name, value in found.numbers.items()},
            "series": {name: [[written(x), written(y)] for x, y in row] for name, row in found.series.items()},
            "seconds": seconds,
        }
        files.write_json(self._measurement(address, measure), values)

    def measured(self, address: str, measure: Measure) -> tuple[Measurement, float]:
        """Returns what a measure found on a trial, and the seconds it took."""
        kept = files.read_json(self._measurement(address, measure))
        numbers = {name: float(value) for name, value in kept["numbers"].items()}
        series = {name: tuple((float(x), float(y)) for x, y in row) for name, row in kept["series"].items()}
        return Measurement(numbers=numbers, series=series), kept["seconds"]

    def fail(self, address: str, error: BaseException, *, measure: str = "") -> Failure:
        """Keeps the error of a trial, in one line, and the whole of one that is a bug beside it."""
        line = " ".join(str(error).split()) or type(error).__name__
        expected = isinstance(error, ResiduaError)
        failure = Failure(
            error=line if expected else f"{type(error).__name__}: {line}",
            diverged=isinstance(error, NonFiniteLoss),
            measure=measure,
        )
        trace = "" if expected else "".join(traceback.format_exception(error))
        values = {**vars(failure), "traceback": trace}
        files.write_json(self._failure(address), values)
        return failure

    def failure(self, address: str) -> Failure | None:
        """Returns why a trial failed; None where it has not."""
        if not self._failure(address).is_file():
            return None
        kept = files.read_json(self._failure(address))
        return Failure(error=kept["error"], diverged=kept["diverged"], measure=kept["measure"])

    def forget_failure(self, address: str) -> None:
        """Lets a trial be tried again, where it did not fail by diverging."""
        failure = self.failure(address)
        if failure is not None and not failure.diverged:
            self._failure(address).unlink(missing_ok=True)

    def clear(self, address: str) -> None:
        """Removes what a kill has left of a trial that cannot be gone on with."""
        shutil.rmtree(self.trial(address).path, ignore_errors=True)

    @contextlib.contextmanager
    def claim(self, address: str) -> Iterator[bool]:
        """Yields whether this process alone may work on a trial within the block."""
        with self._leases.claim(address) as mine:
            yield mine

    def held(self) -> list[str]:
        """Lists the addresses of the trials that some process is at work on."""
        return self._leases.held()

    def require_writable(self) -> None:
        """Makes the folder.

        Raises:
            BadRun: If that cannot be.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            writable = os.access(self.path, os.W_OK)
        except OSError:
            writable = False
        if not writable:
            raise BadRun(f"{self.path} cannot be written; choose another place with --store")

    @cached_property
    def _leases(self) -> Leases:
        return Leases(self.path / "leases")

    def _measurement(self, address: str, measure: Measure) -> Path:
        return self.path / "measurements" / address / f"{kept_by(measure)}.json"

    def _failure(self, address: str) -> Path:
        return self.path / "failures" / f"{address}.json"


def written(value: float) -> Any:
    """Returns a number as JSON can hold it: one that is not finite as the word that ``float`` reads."""
    return value if math.isfinite(value) else str(value)
