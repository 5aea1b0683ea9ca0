"""Prints how fast training is where threads sleep while they wait, beside where they spin, which is OpenMP's default.

    .venv/bin/python benchmarks/waiting.py

By itself, and beside another program that takes one core; a turn is a fresh process of all cores, `loop.take_steps` on
noise, all four in one interleaved run.
"""

import os
import subprocess
import sys
from contextlib import ExitStack

CASES = {"resnet20": (32, 128, 10), "resnet18": (224, 8, 3)}  # side, batch, steps a turn
POLICIES = {"spins": {}, "sleeps": {"OMP_WAIT_POLICY": "passive"}}
OTHERS = {"alone": 0, "beside one busy program": 1}
WARM_STEPS = 1
ROUNDS = int(os.environ.get("ROUNDS", "5"))


def turn(name: str, policy: str, others: int) -> float:
    environment = {**os.environ, **POLICIES[policy]}
    with ExitStack() as busy:
        for _ in range(others):
            program = busy.enter_context(subprocess.Popen([sys.executable, "-c", "while True: pass"]))
            busy.callback(program.kill)
        line = [sys.executable, __file__, "--turn", name]
        done = subprocess.run(line, env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    return float(done.stdout.split()[-1])


def main() -> None:
    from results import spread, write

    found = {}
    for name, (side, batch, steps) in CASES.items():
        rows = [
            {other: {policy: turn(name, policy, count) for policy in POLICIES} for other, count in OTHERS.items()}
            for _ in range(ROUNDS)
        ]
        ratios = {other: spread([row[other]["sleeps"] / row[other]["spins"] for row in rows]) for other in OTHERS}
        found[name] = {"side": side, "batch_size": batch, "steps": steps, "ratio": ratios, "images_per_second": rows}
        told = ", ".join(
            f"{other} {one['median']:.2f}× ({one['min']:.2f} to {one['max']:.2f})" for other, one in ratios.items()
        )
        print(f"{name}: threads that sleep, over threads that spin: {told}", flush=True)
    write("waiting", "python benchmarks/waiting.py", {"cases": found})


if __name__ == "__main__":
    if sys.argv[1:2] == ["--turn"]:
        from training_rate import images_per_second

        print(images_per_second(sys.argv[2], *CASES[sys.argv[2]], warm=WARM_STEPS))
    else:
        main()
