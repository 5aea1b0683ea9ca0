"""Prints what ``residua train --recipe fast`` reaches and takes, and what each of its ingredients brings.

    RESIDUA_DATA=DIR .venv/bin/python benchmarks/fast.py cifar10|fashion-mnist|ingredients [SEEDS]

A run is the whole command, from the shell to the report. Each finished run is a line in docs/results/ at once, and
one that is there is not run again, so that the script can be killed and go on. Beside each stands the machine's rate in
bfloat16 matrix products just before, because seconds mean little without it: other work may share the cores.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from results import ROOT, spread, write

COMMANDS = {
    "cifar10": "train cifar10 --recipe fast --network fast-resnet8 --epochs 11",
    "fashion-mnist": "train fashion-mnist --recipe fast --network fast-resnet8-narrow --epochs 16",
}
"""The epochs that ten and five minutes hold on two quiet cores."""
HALF = "train cifar10 --recipe fast --network fast-resnet8 --epochs 5"
WITHOUT = {
    "nothing": "",
    "whitening": " --set network.stem.whitening=false --set network.stem.kernel=3",
    "identity initialisation": " --set network.initialization=he_fan_out",
    "faster norm shifts": " --set optimizer.norm_bias_scale=1",
    "Muon": " --set optimizer.kind=sgd --set optimizer.filter_scale=10",
    "alternating flip": " --set flip=random",
    "shortcuts": " --set network.shortcut=none",
}
"""What is left out at half of the epochs, each by a setting."""


def matrix_rate() -> float:
    """Measures bfloat16 products of 2048 × 2048 matrices, in GFLOP/s; the median of five."""
    matrix = torch.randn(2048, 2048, dtype=torch.bfloat16)
    rates = []
    for _ in range(5):
        began = time.perf_counter()
        torch.mm(matrix, matrix)
        rates.append(2 * 2048**3 / (time.perf_counter() - began) / 1e9)
    return sorted(rates)[2]


def train(command: str, seed: int) -> dict[str, float]:
    """Runs the whole command once."""
    rate = matrix_rate()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        began = time.perf_counter()
        line = [sys.executable, "-m", "residua", *command.split(), "--seed", str(seed), "--out", str(out)]
        subprocess.run(line, check=True, capture_output=True)
        seconds = time.perf_counter() - began
        test = json.loads((out / "result.json").read_text())["parts"]["test"]
    accuracies = {"accuracy": test["accuracy"], "six_views": test["views"]["accuracy"]}
    return {"seed": seed, **accuracies, "seconds": seconds, "matrix_gflops": rate, "load_average": os.getloadavg()[0]}


def measure(name: str, title: str, command: str, seeds: int) -> dict[str, object]:
    """Runs the seeds that are not in ``docs/results/NAME.jsonl`` yet, and sums them up."""
    path = ROOT / "docs" / "results" / f"{name}.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    done = {row["seed"]: row for row in rows if row["title"] == title}
    for seed in range(seeds):
        if seed not in done:
            done[seed] = {"title": title, **train(command, seed)}
            with path.open("a") as file:
                file.write(json.dumps(done[seed]) + "\n")
        row = done[seed]
        told = f"{row['accuracy']:.2%}, six views {row['six_views']:.2%}, {row['seconds']:.0f} s"
        print(f"{title}, seed {seed}: {told} at {row['matrix_gflops']:.0f} GFLOP/s", flush=True)
    numbers = {key: spread([row[key] for row in done.values()]) for key in ("accuracy", "six_views", "seconds")}
    return {"command": f"residua {command}", "runs": list(done.values()), **numbers}


def main() -> None:
    what, seeds = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 5
    if what == "ingredients":
        found = {title: measure("fast_ingredients", title, HALF + off, seeds) for title, off in WITHOUT.items()}
        write("fast_ingredients", f"python benchmarks/fast.py ingredients {seeds}", {"without": found})
    else:
        found = measure(f"fast_{what}", what, COMMANDS[what], seeds)
        write(f"fast_{what}", f"python benchmarks/fast.py {what} {seeds}", found)


if __name__ == "__main__":
    main()
