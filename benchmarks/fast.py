"""Prints what ``residua train --recipe fast`` reaches and takes, and what each of its ingredients brings.

    RESIDUA_DATA=DIR .venv/bin/python benchmarks/fast.py cifar10|fashion-mnist|ingredients [SEEDS]

A run is the whole command, from the shell to the report. Each finished run is a line in docs/results/ at once, and
one that is there is not run again, so that the script can be killed and go on. Beside each stands the machine's rate in
bfloat16 matrix products just before, because seconds mean little without it: other work may share the cores. Of the
ingredients only accuracies are compared: there a run takes one thread, and as many run at once as there are cores.
With 0 seeds nothing is run, and the table is written of what is there.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import torch
from results import ROOT, commit, spread, write

from residua import machine

COMMANDS = {
    "cifar10": "train cifar10 --recipe fast --network fast-resnet8 --epochs 11",
    "fashion-mnist": "train fashion-mnist --recipe fast --network fast-resnet8-narrow --epochs 16",
}
"""The epochs that ten and five minutes hold on two quiet cores, with some seconds to spare."""
HALF = "train cifar10 --recipe fast --network fast-resnet8 --epochs 5"
PUBLISHED = {"network.initialization": "identity", "averaging.kind": "none", "recalibration_images": "0"}
"""The recipe when its ingredients were chosen: Jordan's convolutions, running averages, not yet his lookahead."""
WITHOUT = {
    "nothing": {},
    "whitening": {"network.stem.whitening": "false", "network.stem.kernel": "3", "stem_epochs": "none"},
    "identity initialisation": {"network.initialization": "he_fan_out"},
    "faster norm shifts": {"optimizer.norm_bias_scale": "1"},
    "Muon": {"optimizer.kind": "sgd", "optimizer.filter_scale": "10"},
    "alternating flip": {"flip": "random"},
    "lookahead put in": {"averaging.kind": "lookahead", "averaging.every": "5", "averaging.decay": "0.774"},
}
"""What is changed at half of the epochs: each ingredient left out by settings, or put in."""


def matrix_rate() -> float:
    """Measures bfloat16 products of 2048 × 2048 matrices, in GFLOP/s; the median of five."""
    matrix = torch.randn(2048, 2048, dtype=torch.bfloat16)
    rates = []
    for _ in range(5):
        began = time.perf_counter()
        torch.mm(matrix, matrix)
        rates.append(2 * 2048**3 / (time.perf_counter() - began) / 1e9)
    return sorted(rates)[2]


def with_settings(command: str, settings: Mapping[str, str]) -> str:
    """Returns a command with ``--set name=value`` for each setting."""
    return command + "".join(f" --set {name}={value}" for name, value in settings.items())


def train(title: str, command: str, seed: int, threads: int) -> dict[str, Any]:
    """Runs the whole command once."""
    rate = matrix_rate()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        began = time.perf_counter()
        line = [sys.executable, "-m", "residua", *command.split(), "--seed", str(seed), "--out", str(out)]
        env = {**os.environ, "OMP_NUM_THREADS": str(threads)}
        ended = subprocess.run(line, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=env)
        if ended.returncode:
            raise RuntimeError(f"residua {command} ended with {ended.returncode}: {ended.stderr[-2000:]}")
        seconds = time.perf_counter() - began
        test = json.loads((out / "result.json").read_text())["parts"]["test"]
    accuracies = {"accuracy": test["accuracy"], "six_views": test["views"]["accuracy"]}
    beside = {"threads": threads, "matrix_gflops": rate, "load_average": os.getloadavg()[0]}
    about = {"command": f"residua {command}", "commit": commit(), "machine": machine.description()}
    return {"title": title, "seed": seed, **accuracies, "seconds": seconds, **beside, **about}


def runs(
    name: str, commands: Mapping[str, str], seeds: Collection[int], *, at_once: int = 1
) -> dict[tuple[str, int], dict[str, Any]]:
    """Runs what is not in ``docs/results/NAME.jsonl`` yet, seed by seed; returns all runs by title and seed.

    A line counts where its command is the one that is asked. After one that fails none is begun.
    """
    path = ROOT / "docs" / "results" / f"{name}.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    asked = {title: f"residua {command}" for title, command in commands.items()}
    done = {(row["title"], row["seed"]): row for row in rows if row["command"] == asked.get(row["title"])}
    for row in done.values():
        tell(row)
    with ThreadPoolExecutor(at_once) as pool:
        left = [(title, seed) for seed in seeds for title in commands if (title, seed) not in done]
        threads = machine.cores() // at_once
        running = [pool.submit(train, title, commands[title], seed, threads) for title, seed in left]
        try:
            for run in as_completed(running):
                row = run.result()
                done[row["title"], row["seed"]] = row
                with path.open("a") as file:
                    file.write(json.dumps(row) + "\n")
                tell(row)
        finally:
            pool.shutdown(cancel_futures=True)
    return done


def measure(name: str, commands: Mapping[str, str], seeds: int, *, at_once: int = 1) -> dict[str, dict[str, object]]:
    """Sums up the runs of each title that there are, after those that are not there yet."""
    done = runs(name, commands, range(seeds), at_once=at_once)
    of = {title: [row for (of_title, _), row in sorted(done.items()) if of_title == title] for title in commands}
    return {title: summed_up(commands[title], rows) for title, rows in of.items() if rows}


def tell(row: Mapping[str, Any]) -> None:
    """Prints one run."""
    told = f"{row['accuracy']:.2%}, six views {row['six_views']:.2%}, {row['seconds']:.0f} s"
    print(f"{row['title']}, seed {row['seed']}: {told} at {row['matrix_gflops']:.0f} GFLOP/s", flush=True)


def summed_up(command: str, runs: list[dict[str, Any]]) -> dict[str, object]:
    """Returns the runs of one command with their spread."""
    numbers = {key: spread([row[key] for row in runs]) for key in ("accuracy", "six_views", "seconds")}
    return {"command": f"residua {command}", "runs": runs, **numbers}


def main() -> None:
    what, seeds = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 5
    if what == "ingredients":
        commands = {title: with_settings(HALF, PUBLISHED | off) for title, off in WITHOUT.items()}
        found: dict[str, object] = {"without": measure("fast_ingredients", commands, seeds, at_once=machine.cores())}
    else:
        found = measure(f"fast_{what}", {what: COMMANDS[what]}, seeds)[what]
    write(f"fast_{what}", f"python benchmarks/fast.py {what} {seeds}", found)


if __name__ == "__main__":
    main()
