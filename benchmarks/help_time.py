"""Prints how long ``residua --help`` takes, beside the interpreter alone, in one interleaved run.

.venv/bin/python benchmarks/help_time.py
"""

import subprocess
import sys
import time

from results import spread, write

ROUNDS = 15


def seconds(*command: str) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, *command], check=True, capture_output=True)
    return time.perf_counter() - began


def main() -> None:
    rows = [(seconds("-m", "residua", "--help"), seconds("-c", "pass")) for _ in range(ROUNDS)]
    ours, bare = spread([row[0] for row in rows]), spread([row[1] for row in rows])
    print(f"residua --help   {ours['median']:.3f} s  ({ours['min']:.3f} to {ours['max']:.3f}, n = {ours['n']})")
    print(f"python -c pass   {bare['median']:.3f} s  ({bare['min']:.3f} to {bare['max']:.3f})")
    write("help_time", "python benchmarks/help_time.py", {"help_seconds": ours, "interpreter_seconds": bare})


if __name__ == "__main__":
    main()
