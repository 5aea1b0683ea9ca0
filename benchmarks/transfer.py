"""Prints what five CIFAR-10 classes teach about the other five: moved at 50 images a class, against from nothing.

    RESIDUA_DATA=DIR .venv/bin/python benchmarks/transfer.py [--seeds 5] [--epochs 14]

One network learns airplane, automobile, bird, cat and deer from 25,000 images. Then, for each seed, 50 images of
each of dog, frog, horse, ship and truck are drawn, and two commands learn from these 250: one that starts from that
network (`--weights`), and one from nothing for 200 epochs, ten times as many. Both are tested on the same 5,000
images. Every command is the user's own, whole process; the folders of PNGs are made for it.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
from PIL import Image
from results import write

from residua.data import published

KNOWN = ("airplane", "automobile", "bird", "cat", "deer")
NEW = ("dog", "frog", "horse", "ship", "truck")
EACH = 50


def lay_out(root: Path, classes: tuple[str, ...], *, each: int | None, seed: int) -> Path:
    """Writes ``train/CLASS/*.png`` and ``test/CLASS/*.png``; the training images drawn by the seed."""
    data = published.read("cifar10")
    assert data.test is not None
    for part, (images, labels) in (("train", data.train), ("test", data.test)):
        for name in classes:
            chosen = np.flatnonzero(labels == data.classes.index(name))
            if part == "train" and each is not None:
                chosen = np.random.default_rng(seed).permutation(chosen)[:each]
            folder = root / part / name
            folder.mkdir(parents=True)
            for index in chosen:
                Image.fromarray(images[index].transpose(1, 2, 0)).save(folder / f"{index:05}.png", compress_level=1)
    return root


def train(source: Path, out: Path, *options: str) -> tuple[float, float]:
    """Runs the command; returns the accuracy on the test part and the seconds of the whole process."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "residua", "train", str(source), "--out", str(out), *options]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "RESIDUA_OFFLINE": "1"})
    result = json.loads((out / "result.json").read_text())
    return result["parts"]["test"]["accuracy"], time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=14, help="of the first network")
    parser.add_argument("--teacher", type=Path, help="a run of the first network, to be used again")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        teacher = (asked.teacher or root / "teacher").resolve()
        if asked.teacher is None:
            train(lay_out(root / "known", KNOWN, each=None, seed=0), teacher, "--epochs", str(asked.epochs))
        taught = json.loads((teacher / "result.json").read_text())["parts"]["test"]["accuracy"]
        seconds = json.loads((teacher / "run.json").read_text())["seconds"]["total"]
        print(f"the five known classes: {100 * taught:.2f} % in {seconds:.0f} s", flush=True)
        rows = []
        for seed in range(asked.seeds):
            new = lay_out(root / f"new-{seed}", NEW, each=EACH, seed=seed)
            common = ("--seed", str(seed))
            moved = train(new, root / f"moved-{seed}", "--weights", str(teacher), *common)
            nothing = train(new, root / f"nothing-{seed}", "--epochs", "200", *common)
            rows.append({"seed": seed, "moved": moved[0], "from_nothing": nothing[0]})
            rows[-1] |= {"moved_seconds": moved[1], "from_nothing_seconds": nothing[1]}
            print(
                f"seed {seed}: moved {100 * moved[0]:.2f} % in {moved[1]:.0f} s, "
                f"from nothing {100 * nothing[0]:.2f} % in {nothing[1]:.0f} s",
                flush=True,
            )
    better = [row["moved"] - row["from_nothing"] for row in rows]
    print(f"moved {100 * median(row['moved'] for row in rows):.2f} %, from nothing ", end="")
    print(f"{100 * median(row['from_nothing'] for row in rows):.2f} %, median of {len(rows)} seeds; ", end="")
    print(f"better by {100 * median(better):.2f} points ({100 * min(better):.2f} to {100 * max(better):.2f})")
    write("transfer", "python benchmarks/transfer.py", {"teacher": taught, "teacher_seconds": seconds, "trials": rows})


if __name__ == "__main__":
    main()
