"""Prints what batch norms' statistics that are taken anew bring: the same trained weights, judged with either.

    RESIDUA_DATA=DIR .venv/bin/python benchmarks/recalibration.py NETWORK EPOCHS SEEDS FOLDER

Trains on CIFAR-10 by the recipe ``fast`` with running averages, one thread a run and as many at once as there are
cores, and evaluates what was kept with them and with statistics of several numbers of training images: the weights are
the same, so that runs do not differ by chance. One that lies finished in FOLDER is not trained again.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from math import sqrt
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from results import spread, write

from residua import evaluation, machine
from residua.training.fit import Fitted, reopen
from residua.training.recalibration import settled
from residua.training.record import Record
from residua.training.sitting import Sitting

COMMAND = "train cifar10 --recipe fast --network {} --epochs {} --set recalibration_images=0"
IMAGES = (0, 1000, 5000, 20_000)
"""0 is the running averages."""


def trained(command: str, seed: int, out: Path) -> Record:
    """Runs the whole command, where its run is not there yet."""
    if not (out / "result.json").exists():
        line = [sys.executable, "-m", "residua", *command.split(), "--seed", str(seed), "--out", str(out)]
        subprocess.run(line, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"})
    return Record(out)


def judged(found: Fitted) -> Iterator[dict[str, float]]:
    """Yields the test accuracy for each number of images, and the seconds that their statistics took."""
    part, seen, on = found.plan.dataset.test, found.plan.dataset.preprocessing, found.plan.device
    assert part is not None
    begun = Sitting.begin(found.plan, ())
    network = found.network.to(on)
    for images in IMAGES:
        course = replace(begun.course, recipe=replace(begun.course.recipe, recalibration_images=images))
        began = time.perf_counter()
        with settled(network, course):
            seconds = time.perf_counter() - began
            one = evaluation.evaluate(network, part, seen, device=on)
            six = evaluation.evaluate(network, part, seen, device=on, precision=course.precision, views="six")
        yield {"images": images, "accuracy": one.accuracy, "six_views": six.accuracy, "seconds": seconds}


def difference(rows: list[list[dict[str, float]]], place: int, of: str) -> dict[str, Any]:
    """Returns what the statistics at a place add to the running averages, paired by run, in points."""
    values = [100 * (run[place][of] - run[0][of]) for run in rows]
    error = stdev(values) / sqrt(len(values)) if len(values) > 1 else None
    return {"mean": fmean(values), "standard_error": error, "by_seed": values}


def main() -> None:
    network, epochs, seeds, folder = sys.argv[1], sys.argv[2], int(sys.argv[3]), Path(sys.argv[4])
    command = COMMAND.format(network, epochs)
    with ThreadPoolExecutor(machine.cores()) as pool:
        outs = [folder / f"{network}-{epochs}-{seed}" for seed in range(seeds)]
        runs = list(pool.map(lambda seed: trained(command, seed, outs[seed]), range(seeds)))
    rows = []
    for seed, run in enumerate(runs):
        rows.append(list(judged(reopen(run))))
        print(f"seed {seed}: {json.dumps(rows[-1])}", flush=True)
    found = []
    for place, images in enumerate(IMAGES):
        numbers = {key: spread([run[place][key] for run in rows]) for key in ("accuracy", "six_views", "seconds")}
        added = {of: difference(rows, place, of) for of in ("accuracy", "six_views")}
        found.append({"images": images, **numbers, "added": added})
    told = f"python benchmarks/recalibration.py {network} {epochs} {seeds} FOLDER"
    write(f"recalibration_{network}_{epochs}", told, {"trained": f"residua {command}", "statistics": found})


if __name__ == "__main__":
    main()
