"""Prints how near the time and the memory that a run says before its first step come to what it then takes.

    .venv/bin/python benchmarks/estimates.py [CASE ...] [--rounds 3]

Every run is a process of its own, so that its peak memory (``ru_maxrss``, the report's drawing included) is its own.
Ratios are of what was said over what it took: 1.2 is a fifth too much. Time is compared with the run's training
(epochs and their validation), which is what was estimated but for the last evaluation, and with the whole run, which
also reads the data, fits the baselines and evaluates. The time said of another network, by its multiply-adds, is
compared with that network's own run where both are measured. The photographs are the folder ``hymenoptera`` in
``RESIDUA_DATA``.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

CASES: dict[str, dict[str, Any]] = {
    "digits-resnet8": {"source": "digits", "network": "resnet8", "epochs": 10},
    "digits-resnet20": {"source": "digits", "network": "resnet20", "epochs": 10},
    "fashion-resnet8": {"source": "fashion-mnist", "network": "resnet8-average-pooled", "epochs": 1},
    "fashion-resnet20": {"source": "fashion-mnist", "network": "resnet20-average-pooled", "epochs": 1},
    "cifar-resnet20": {"source": "cifar10", "network": "resnet20", "epochs": 1},
    "cifar-resnet20-float32": {
        "source": "cifar10",
        "network": "resnet20",
        "epochs": 1,
        "settings": ("precision=float32",),
    },
    "cifar-resnet56-checkpointed": {
        "source": "cifar10",
        "network": "resnet56",
        "epochs": 1,
        "settings": ("checkpoint_activations=true",),
    },
    "photographs-resnet18": {"source": "hymenoptera", "network": "resnet18", "weights": "none", "epochs": 3},
    "photographs-resnet50": {"source": "hymenoptera", "network": "resnet50", "weights": "none", "epochs": 2},
}
PAIRS = (("digits-resnet20", "digits-resnet8"), ("fashion-resnet20", "fashion-resnet8"))
"""The time of the second is told from the rate measured on the first."""


def train(name: str) -> dict[str, float]:
    """Trains a case in this process, and returns what was said and what it took."""
    from residua import verbs
    from residua.training.record import Record

    case = dict(CASES[name])
    if case["source"] == "hymenoptera":
        case["source"] = str(Path(os.environ["RESIDUA_DATA"]) / "hymenoptera")
    with tempfile.TemporaryDirectory() as folder:
        run = verbs.train(**case, out=Path(folder) / "run")
        about, network = Record(run.path).read("run"), Record(run.path).read("network")
    return {
        "said_seconds": about["estimate"]["seconds"],
        "training_seconds": about["seconds"]["training"],
        "total_seconds": about["seconds"]["total"],
        "said_bytes": about["estimate"]["memory_bytes"],
        "peak_bytes": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
        "multiply_adds": network["multiply_adds"],
    }


def turn(name: str) -> dict[str, float]:
    done = subprocess.run([sys.executable, __file__, "--child", name], check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def summary(rows: list[dict[str, float]]) -> dict[str, Any]:
    """Returns the ratios of a case with their spread."""
    from results import spread

    return {
        "time_to_training": spread([row["said_seconds"] / row["training_seconds"] for row in rows]),
        "time_to_whole_run": spread([row["said_seconds"] / row["total_seconds"] for row in rows]),
        "memory": spread([row["said_bytes"] / row["peak_bytes"] for row in rows]),
        "rows": rows,
    }


def main() -> None:
    from results import spread, write

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", default=list(CASES), metavar="CASE")
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    rows: dict[str, list[dict[str, float]]] = defaultdict(list)
    for _ in range(asked.rounds):
        for name in asked.cases:
            rows[name].append(turn(name))
    found = {name: summary(measured) for name, measured in rows.items()}
    for name, ratios in found.items():
        said = ", ".join(
            f"{what.replace('_', ' ')} {ratios[what]['median']:.2f} ({ratios[what]['min']:.2f} to "
            f"{ratios[what]['max']:.2f})"
            for what in ("time_to_training", "time_to_whole_run", "memory")
        )
        print(f"{name}: said over taken, n = {asked.rounds}: {said}")
    others = {
        f"{theirs} from {ours}": spread(
            [
                a["said_seconds"] * b["multiply_adds"] / a["multiply_adds"] / b["training_seconds"]
                for a, b in zip(rows[ours], rows[theirs], strict=True)
            ]
        )
        for ours, theirs in PAIRS
        if ours in rows and theirs in rows
    }
    for name, ratio in others.items():
        print(f"{name}: said over taken {ratio['median']:.2f} ({ratio['min']:.2f} to {ratio['max']:.2f})")
    write("estimates", "python benchmarks/estimates.py", {"cases": found, "other_networks": others})


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        print(json.dumps(train(sys.argv[2])))
    else:
        main()
