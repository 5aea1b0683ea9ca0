"""A study in a user's file, and what is said where it is none."""

from pathlib import Path

import pytest

from residua.errors import BadSetting
from residua.studies import studyfile


def test_the_example_is_a_study():
    found = studyfile.study(Path(__file__).parents[2] / "examples" / "my_study.py")
    assert found.name == "my_study"


@pytest.mark.parametrize(
    ("text", "says"),
    [("x = 1", "defines no STUDY"), ("STUDY = 1", "is a int"), ("import nothing_such", "cannot be run")],
)
def test_a_file_without_a_study_is_one_line(tmp_path: Path, text: str, says: str):
    path = tmp_path / "own.py"
    path.write_text(text)
    with pytest.raises(BadSetting, match=says):
        studyfile.study(path)
    with pytest.raises(BadSetting, match="check the path"):
        studyfile.study(tmp_path / "none.py")
