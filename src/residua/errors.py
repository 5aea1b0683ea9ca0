"""What can go wrong through no fault of the program: the tree of errors that a user may meet.

    ResiduaError                 a mistake or a lack, said in one line with the next step; exit code 2
    ├── BadSetting               an option, a configuration field or a name that is not allowed
    ├── BadNetwork               a specification that describes no network, or one unfit for the images
    ├── BadWeights               weights that do not fit their network, or a file that holds none
    ├── BadData                  a source, an image or a split that cannot be used
    ├── DownloadFailed           a file that could not be fetched or does not match its checksum
    ├── BadRun                   a run or an artifact that is missing, unfinished or damaged
    └── TrainingStopped          training ended early with its state saved where that makes sense
        ├── NonFiniteLoss        the loss became infinite or not a number
        ├── NotSaved             a checkpoint could not be written; the one before it is intact
        ├── ProcessLost          one of the processes that train together ended; exit code 1
        └── Interrupted          the user asked to stop; exit code 130
            └── Terminated       the system asked to stop (SIGTERM); exit code 143

Anything else that is raised is a bug and keeps its traceback.
"""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import ClassVar


class ResiduaError(Exception):
    """Reports in one line what was received, what is allowed and the next step."""

    exit_code: ClassVar[int] = 2


class BadSetting(ResiduaError):
    """Reports a name or a value that no setting takes."""


class BadNetwork(ResiduaError):
    """Reports a specification that describes no network, or one unfit for its images."""


class BadWeights(ResiduaError):
    """Reports weights that do not fit their network, or a file that holds none."""


class BadData(ResiduaError):
    """Reports a source, an image or a split that cannot be used."""


class DownloadFailed(ResiduaError):
    """Reports a file that could not be fetched, with its address, its place and its checksum."""


class BadRun(ResiduaError):
    """Reports a run directory or an artifact that is missing, unfinished or damaged."""


class TrainingStopped(ResiduaError):
    """Reports that training ended before its last step."""


class NonFiniteLoss(TrainingStopped):
    """Reports the step at which the loss stopped being a number, and where it began."""


class NotSaved(TrainingStopped):
    """Reports a checkpoint that could not be written."""


class ProcessLost(TrainingStopped):
    """Reports that one of the processes that train together ended, which ends the others."""

    exit_code = 1


class Interrupted(TrainingStopped):
    """Reports a stop that the user asked for, and the command that goes on from it."""

    exit_code: ClassVar[int] = 130


class Terminated(Interrupted):
    """Reports a stop that the system asked for by SIGTERM, and the command that goes on from it."""

    exit_code = 143


def unknown(kind: str, name: str, allowed: Iterable[str]) -> str:
    """Says that ``name`` is no ``kind``, with the nearest allowed name or else all of them.

    Example:
        >>> unknown("network", "resnet19", ["resnet18", "plain34"])
        "'resnet19' is no network; did you mean 'resnet18'?"
    """
    names = sorted(allowed)
    near = get_close_matches(name, names, n=1, cutoff=0.6)
    if near:
        return f"{name!r} is no {kind}; did you mean {near[0]!r}?"
    return f"{name!r} is no {kind}; allowed: {', '.join(names)}"
