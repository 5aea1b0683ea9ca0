"""A study in a file of one's own: a Python file that defines ``STUDY``."""

from pathlib import Path

from residua.errors import BadSetting
from residua.networks.factory import from_file_named
from residua.studies.design import Study

NAME = "STUDY"


def study(path: str | Path) -> Study:
    """Returns the study that a Python file defines as ``STUDY``; the file is run as code.

    Raises:
        BadSetting: If there is no such file, if it fails, or if it defines no study.
    """
    found = from_file_named(Path(path), NAME)
    if not isinstance(found, Study):
        raise BadSetting(
            f"{NAME} in {path} is a {type(found).__name__}; it has to be a residua.studies.design.Study, "
            "as in examples/my_study.py"
        )
    return found
