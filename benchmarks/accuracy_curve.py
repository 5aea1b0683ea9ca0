"""Prints test accuracy on CIFAR-10 against seconds: our fast recipe at several lengths, a textbook ResNet-18 beside it.

    RESIDUA_DATA=DIR .venv/bin/python benchmarks/accuracy_curve.py [SEED]

They take turns. Ours is a whole command of its own for each length, from the shell to the report (that of full length
is `fast.py`'s run of the same seed, if it has been made). The textbook's loop (resnet18-small-stem, float32, batch 128,
SGD at a constant 0.1 with momentum and weight decay, crops and mirror images, torch's allocator and memory format) goes
on where it was until its training steps alone have taken as long; reading the data and evaluating are not counted
against it. Each finished turn is a line in docs/results/ at once, and one that is there is not run again; the loop's
state lies beside the lines while the script is not done. The curve is drawn beside them, as SVG.
"""

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

import torch
from fast import COMMANDS, matrix_rate, runs, train
from matplotlib.ticker import PercentFormatter
from results import ROOT, write

from residua import files, machine
from residua.data import sources
from residua.data.dataset import Part
from residua.data.sources import DataSpec
from residua.networks import catalogue
from residua.networks.network import build
from residua.report.style import PALETTE, dress, legend, new_figure, to_svg

EPOCHS = (1, 2, 4, 11)
OURS = "train cifar10 --recipe fast --network fast-resnet8"
BATCH = 128
PADDING = 4
LINES = ROOT / "docs" / "results" / "accuracy_curve.jsonl"
STATE = LINES.with_suffix(".state.pt")
"""Where the textbook's loop goes on; not a result, and left out of the repository."""


def ours(epochs: int, seed: int) -> dict[str, Any]:
    """Runs the whole command; at its full length a run that `fast.py` has made is taken."""
    if epochs == EPOCHS[-1]:
        return runs("fast_cifar10", {"cifar10": COMMANDS["cifar10"]}, [seed])["cifar10", seed]
    return train(f"{epochs} epochs", f"{OURS} --epochs {epochs}", seed, machine.cores())


def textbook(until: float, seed: int) -> dict[str, float]:
    """Trains on until the steps have taken so many seconds, and returns the accuracy on the test part.

    Meant for a process of its own, since the allocator belongs to the process.
    """
    torch.manual_seed(seed)
    data = sources.load(DataSpec(source="cifar10"))
    assert data.test is not None
    mean, std = (torch.tensor(data.preprocessing.mean), torch.tensor(data.preprocessing.std))

    def batch_of(part: Part, places: torch.Tensor) -> torch.Tensor:
        return (part.take(places).float() / 255 - mean.view(1, 3, 1, 1)) / std.view(1, 3, 1, 1)

    network = build(catalogue.specification("resnet18-small-stem", classes=10), seed=seed)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
    seconds, steps = 0.0, 0
    kept = torch.load(STATE) if STATE.exists() else {}
    if kept.get("seed") == seed:
        network.load_state_dict(kept["network"])
        optimizer.load_state_dict(kept["optimizer"])
        seconds, steps = kept["seconds"], kept["steps"]
        torch.set_rng_state(kept["random"])
    network.train()
    steps_per_epoch = len(data.train) // BATCH
    while seconds < until:
        began = time.perf_counter()
        epoch, step = divmod(steps, steps_per_epoch)
        order = torch.randperm(len(data.train), generator=torch.Generator().manual_seed(seed + 1_000 * epoch))
        places = order[step * BATCH : (step + 1) * BATCH]
        images = moved(batch_of(data.train, places))
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(network(images), data.train.labels[places].long()).backward()
        optimizer.step()
        seconds, steps = seconds + time.perf_counter() - began, steps + 1
    kept = {"network": network.state_dict(), "optimizer": optimizer.state_dict(), "seconds": seconds, "steps": steps}
    with files.replacing(STATE) as file:
        torch.save({**kept, "seed": seed, "random": torch.get_rng_state()}, file)
    right = 0
    network.eval()
    with torch.no_grad():
        for places in torch.arange(len(data.test)).split(500):
            right += int((network(batch_of(data.test, places)).argmax(1) == data.test.labels[places]).sum())
    return {"seconds": seconds, "accuracy": right / len(data.test), "steps": steps}


def moved(images: torch.Tensor) -> torch.Tensor:
    """Crops each of the padded images at a random place, and mirrors half of them."""
    number, channels, side, _ = images.shape
    padded = torch.nn.functional.pad(images, (PADDING,) * 4)
    rows, columns = (torch.randint(2 * PADDING + 1, (number, 1)) + torch.arange(side) for _ in range(2))
    which = torch.arange(number)[:, None, None, None], torch.arange(channels)[None, :, None, None]
    cropped = padded[(*which, rows[:, None, :, None], columns[:, None, None, :])]
    return torch.where(torch.rand(number, 1, 1, 1) < 0.5, cropped.flip(3), cropped)


def turn(epochs: int, seed: int) -> dict[str, object]:
    """Runs ours, then the textbook's loop until it has had as long."""
    mine = ours(epochs, seed)
    line = [sys.executable, __file__, "textbook", str(mine["seconds"]), str(seed)]
    peer = json.loads(subprocess.run(line, check=True, stdout=subprocess.PIPE, text=True).stdout)
    return {"epochs": epochs, "seed": seed, "ours": mine, "textbook": peer, "matrix_gflops_then": matrix_rate()}


def draw(turns: Sequence[dict[str, Any]]) -> str:
    """Draws both accuracies against minutes and returns the SVG; ours says its epochs."""
    figure = new_figure(7.2, 3.6)
    axes = dress(figure.add_subplot(), x="minutes", y="accuracy on test images, one view")
    lines = {
        "train cifar10 --recipe fast, whole command": ("ours", "train"),
        "textbook ResNet-18, its steps alone": ("textbook", "held"),
    }
    for label, (key, colour) in lines.items():
        minutes, reached = ([turn[key][name] for turn in turns] for name in ("seconds", "accuracy"))
        axes.plot([s / 60 for s in minutes], reached, "o-", color=PALETTE[colour], linewidth=1.6, label=label)
    for turn in turns:
        said = f"{turn['epochs']} epoch{'s' if turn['epochs'] > 1 else ''}"
        at = (turn["ours"]["seconds"] / 60, turn["ours"]["accuracy"])
        axes.annotate(said, at, (0, -13), textcoords="offset points", fontsize=8, color=PALETTE["soft"], ha="center")
    axes.set_xlim(left=0)
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    legend(axes, side="left")
    return to_svg(figure)


def main() -> None:
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
    rows = [json.loads(line) for line in LINES.read_text().splitlines()] if LINES.exists() else []
    done = {row["epochs"]: row for row in rows if row["seed"] == seed}
    for epochs in EPOCHS:
        if epochs not in done:
            done[epochs] = turn(epochs, seed)
            with LINES.open("a") as file:
                file.write(json.dumps(done[epochs]) + "\n")
        row = done[epochs]
        told = f"ours {row['ours']['accuracy']:.2%}, the textbook's {row['textbook']['accuracy']:.2%}"
        print(f"{row['ours']['seconds']:.0f} s ({epochs} epochs): {told}", flush=True)
    STATE.unlink(missing_ok=True)
    files.write(LINES.with_suffix(".svg"), draw([done[epochs] for epochs in EPOCHS]))
    write("accuracy_curve", f"python benchmarks/accuracy_curve.py {seed}", {"turns": list(done.values())})


if __name__ == "__main__":
    if sys.argv[1:2] == ["textbook"]:
        print(json.dumps(textbook(float(sys.argv[2]), int(sys.argv[3]))))
    else:
        main()
