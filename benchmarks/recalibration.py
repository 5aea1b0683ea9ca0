"""Prints what batch norms' statistics that are taken anew bring: the same trained weights, judged with either.

    RESIDUA_DATA=DIR .venv/bin/python benchmarks/recalibration.py NETWORK EPOCHS SEEDS FOLDER

Trains on CIFAR-10 by the recipe ``fast`` with running averages, one thread a run and as many at once as there are
cores, and evaluates what was kept again with statistics as the recipe takes them: the weights are the same, so that no
other run's chance is in the difference. A run that lies finished in FOLDER is not trained again.
"""

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from math import sqrt
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from results import write

from residua import evaluation, machine
from residua.training.fit import reopen
from residua.training.recalibration import settled
from residua.training.recipe import recipe
from residua.training.record import Record
from residua.training.sitting import Sitting

COMMAND = "train cifar10 --recipe fast --network {} --epochs {} --set recalibration_images=0"


def trained(command: str, seed: int, out: Path) -> Record:
    """Runs the whole command, where its run is not there yet."""
    if not (out / "result.json").exists():
        line = [sys.executable, "-m", "residua", *command.split(), "--seed", str(seed), "--out", str(out)]
        subprocess.run(line, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"})
    return Record(out)


def judged(run: Record, seed: int) -> dict[str, float]:
    """Returns the test accuracies with running averages and with statistics anew, and the seconds that these took."""
    found = reopen(run)
    part, seen, on = found.plan.dataset.test, found.plan.dataset.preprocessing, found.plan.device
    assert part is not None
    course = Sitting.begin(found.plan, ()).course
    images = recipe("fast").recalibration_images
    course = replace(course, recipe=replace(course.recipe, recalibration_images=images))
    network, began = found.network.to(on), time.perf_counter()
    with settled(network, course):
        seconds = time.perf_counter() - began
        one = evaluation.evaluate(network, part, seen, device=on).accuracy
        six = evaluation.evaluate(network, part, seen, device=on, precision=course.precision, views="six").accuracy
    before = run.read("result")["parts"]["test"]
    running = {"accuracy": before["accuracy"], "six_views": before["views"]["accuracy"]}
    row = {"seed": seed, **running, "accuracy_anew": one, "six_views_anew": six, "seconds": seconds}
    print(f"seed {seed}: {running['accuracy']:.2%} → {one:.2%}, six views {running['six_views']:.2%} → {six:.2%}")
    return row


def added(rows: list[dict[str, float]], of: str) -> dict[str, Any]:
    """Returns what the statistics add, in points, paired by run."""
    values = [100 * (row[f"{of}_anew"] - row[of]) for row in rows]
    error = stdev(values) / sqrt(len(values)) if len(values) > 1 else None
    return {"mean": fmean(values), "standard_error": error, "n": len(values)}


def main() -> None:
    network, epochs, seeds, folder = sys.argv[1], sys.argv[2], int(sys.argv[3]), Path(sys.argv[4])
    command = COMMAND.format(network, epochs)
    with ThreadPoolExecutor(machine.cores()) as pool:
        outs = [folder / f"{network}-{epochs}-{seed}" for seed in range(seeds)]
        runs = list(pool.map(lambda seed: trained(command, seed, outs[seed]), range(seeds)))
    rows = [judged(run, seed) for seed, run in enumerate(runs)]
    found = {f"{of}_added": added(rows, of) for of in ("accuracy", "six_views")}
    told = f"python benchmarks/recalibration.py {network} {epochs} {seeds} FOLDER"
    write(f"recalibration_{network}_{epochs}", told, {"trained": f"residua {command}", "runs": rows, **found})


if __name__ == "__main__":
    main()
