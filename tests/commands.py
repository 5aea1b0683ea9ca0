"""The command line within the test's own process: what importing torch anew for each command would take is saved."""

import contextlib
import io
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from subprocess import CompletedProcess
from unittest import mock

from residua import cli


def residua(
    *arguments: str, cwd: Path | None = None, env: Mapping[str, str] | None = None, input: str = ""
) -> "CompletedProcess[str]":
    """Runs a command as ``residua ARGUMENTS`` does, and returns its exit code and what it printed."""
    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.chdir(cwd or Path.cwd()),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        mock.patch.object(sys, "argv", ["residua", *arguments]),
        mock.patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO(input.encode()))),
        mock.patch.dict(os.environ, env or {}),
    ):
        try:
            cli.main()
            code = 0
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    return CompletedProcess(["residua", *arguments], code, out.getvalue(), err.getvalue())
