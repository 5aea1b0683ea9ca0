"""What importing and asking for help may cost."""

import subprocess
import sys

import pytest

HEAVY = ("torch", "numpy", "matplotlib", "sklearn", "PIL", "httpx", "rich", "jinja2")


@pytest.mark.parametrize(
    "statement",
    [
        "import residua",
        "import sys; sys.argv = ['residua', '--help']; from residua.cli import main; main()",
        "import sys; sys.argv = ['residua', 'train', '--help']; from residua.cli import main; main()",
        "import sys; sys.argv = ['residua', 'inspect', '--help']; from residua.cli import main; main()",
        "import sys; sys.argv = ['residua', 'diagnose', '--help']; from residua.cli import main; main()",
        "import sys; sys.argv = ['residua', 'study', '--help']; from residua.cli import main; main()",
    ],
)
def test_help_imports_nothing_heavy(statement: str):
    report = f"import sys; print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    code = f"import atexit, sys\natexit.register(lambda: exec({report!r}))\n{statement}"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stderr.strip() == "[]"
