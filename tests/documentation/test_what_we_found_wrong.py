"""Every snippet of ``docs/what-we-found-wrong.md`` prints what stands below it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "what-we-found-wrong.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", PAGE, re.DOTALL)


def test_every_snippet_has_its_output():
    assert len(SNIPPETS) == PAGE.count("```python") == 5


@pytest.mark.parametrize(("code", "printed"), SNIPPETS, ids=range(len(SNIPPETS)))
def test_a_snippet_prints_what_stands_below_it(code: str, printed: str):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, encoding="utf-8")
    assert (done.stdout, done.returncode) == (printed, 0), done.stderr
