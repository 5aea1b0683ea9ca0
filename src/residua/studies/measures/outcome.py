"""What a trial has learned, of studies that train at one scale and not at another."""

from residua.studies.measures.course import COURSE, course
from residua.studies.trial import Measure, Measurement, Trial


def outcome(trial: Trial) -> Measurement:
    """Returns what `residua.studies.measures.course.course` does, and nothing where nothing was trained."""
    return Measurement() if trial.run is None else course(trial)


OUTCOME = Measure("outcome", outcome, diverged=COURSE.diverged)
