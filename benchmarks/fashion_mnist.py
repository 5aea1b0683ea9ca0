"""Prints what ``residua train fashion-mnist`` reaches and takes, beside the textbook recipe's time.

    RESIDUA_DATA=DIR .venv/bin/python benchmarks/fashion_mnist.py [SEEDS]

Ours is the whole command, from the shell to the report, by seed. The textbook's (resnet18-textbook, images enlarged
to 96 pixels, batch 256, plain SGD, 10 epochs, float32) is its measured seconds a step, between our runs, times its
2,350 steps.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from results import spread, write

TEXTBOOK_STEPS = 10 * (60_000 // 256 + 1)
MEASURED_STEPS = 4


def train(seed: int, folder: Path) -> dict[str, float]:
    began = time.perf_counter()
    command = [sys.executable, "-m", "residua", "train", "fashion-mnist", "--seed", str(seed), "--out", str(folder)]
    subprocess.run(command, check=True, capture_output=True)
    seconds = time.perf_counter() - began
    headline = json.loads((folder / "result.json").read_text())["headline"]
    return {"seed": seed, "accuracy": headline["accuracy"], "seconds": seconds}


def textbook_step() -> float:
    """Returns the seconds of one step of the textbook's loop, in a process of its own."""
    code = f"""
import time, torch
import residua
network = residua.build("resnet18-textbook", seed=0)
optimizer = torch.optim.SGD(network.parameters(), lr=0.05)
images, labels = torch.randn(256, 1, 96, 96), torch.randint(0, 10, (256,))
def step():
    optimizer.zero_grad()
    torch.nn.functional.cross_entropy(network(images), labels).backward()
    optimizer.step()
step()
began = time.perf_counter()
for _ in range({MEASURED_STEPS}):
    step()
print((time.perf_counter() - began) / {MEASURED_STEPS})
"""
    return float(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)


def main() -> None:
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    runs, steps = [], []
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(seeds):
            steps.append(textbook_step())
            runs.append(train(seed, Path(folder) / str(seed)))
            print(f"seed {seed}: test accuracy {runs[-1]['accuracy']:.2%} in {runs[-1]['seconds']:.0f} s", flush=True)
    ours = spread([run["seconds"] for run in runs])
    accuracy = spread([run["accuracy"] for run in runs])
    textbook = spread([step * TEXTBOOK_STEPS for step in steps])
    ratio = spread([step * TEXTBOOK_STEPS / run["seconds"] for step, run in zip(steps, runs, strict=True)])
    print(f"median {accuracy['median']:.2%} ({accuracy['min']:.2%} to {accuracy['max']:.2%}) in {ours['median']:.0f} s")
    print(
        f"textbook: {textbook['median']:.0f} s, {ratio['median']:.1f}× ours ({ratio['min']:.1f} to {ratio['max']:.1f})"
    )
    numbers = {"runs": runs, "accuracy": accuracy, "seconds": ours, "textbook_seconds": textbook, "ratio": ratio}
    write("fashion_mnist", "python benchmarks/fashion_mnist.py", numbers)


if __name__ == "__main__":
    main()
