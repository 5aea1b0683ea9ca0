"""Prints what ``residua train`` reaches and takes on the embedded digits, over five seeds.

.venv/bin/python benchmarks/digits.py
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from results import spread, write

SEEDS = 5


def main() -> None:
    runs = []
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(SEEDS):
            out = Path(folder) / str(seed)
            began = time.perf_counter()
            command = [sys.executable, "-m", "residua", "train", "--seed", str(seed), "--out", str(out)]
            subprocess.run(command, check=True, capture_output=True)
            seconds = time.perf_counter() - began
            accuracy = json.loads((out / "result.json").read_text())["headline"]["accuracy"]
            runs.append({"seed": seed, "accuracy": accuracy, "seconds": seconds})
            print(f"seed {seed}: test accuracy {accuracy:.2%} in {seconds:.1f} s", flush=True)
    numbers = {key: spread([run[key] for run in runs]) for key in ("accuracy", "seconds")}
    for key, found in numbers.items():
        print(f"{key}: median {found['median']:.4g} ({found['min']:.4g} to {found['max']:.4g}, n = {found['n']})")
    write("digits", "python benchmarks/digits.py", {"runs": runs, **numbers})


if __name__ == "__main__":
    main()
