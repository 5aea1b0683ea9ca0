"""Prints the training rate of two one-thread processes beside one two-thread process's, from one interleaved run.

    .venv/bin/python benchmarks/processes.py [resnet20] [resnet18]

Each turn is a fresh group of processes, which torch's launcher starts: `loop.take_steps` on noise, with
`training.distributed` around it. A turn that is done is kept in ``docs/results/processes_NAME.json`` at once, and
the next call goes on behind it: an interrupted measurement loses one turn. Remove the file to begin anew.
"""

import json
import os
import subprocess
import sys

CASES = {"resnet20": (32, 128, 12), "resnet18": (224, 32, 4)}  # side, batch over all processes, steps a turn
ARMS = {"two processes": (2, 1), "one process": (1, 2)}  # processes, threads of each
WARM_STEPS = 3
ROUNDS = int(os.environ.get("ROUNDS", "5"))


def rate(name: str) -> float:
    """Returns images a second over all processes; run by each of them."""
    from training_rate import images_per_second

    from residua.training.distributed import joined

    with joined("cpu") as team:
        return images_per_second(name, *CASES[name], warm=WARM_STEPS, team=team)


def turn(arm: str, name: str) -> float:
    processes, threads = ARMS[arm]
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, *launcher, __file__, "--turn", name]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    return float(json.loads(done.stdout.splitlines()[-1]))


def main(names: list[str]) -> None:
    from results import ROOT, spread, write

    from residua import files

    for name in names:
        path = ROOT / "docs" / "results" / f"processes_{name}.json"
        rounds = files.read_json(path)["rounds"] if path.is_file() else []
        while len(rounds) < ROUNDS:
            rounds.append({arm: turn(arm, name) for arm in ARMS})
            ratio = spread([row["two processes"] / row["one process"] for row in rounds])
            numbers = {
                "side": CASES[name][0],
                "batch_size": CASES[name][1],
                "arms": {arm: {"processes": p, "threads_each": t} for arm, (p, t) in ARMS.items()},
                "images_per_second": {arm: spread([row[arm] for row in rounds]) for arm in ARMS},
                "ratio": ratio,
                "rounds": rounds,
            }
            write(f"processes_{name}", f"python benchmarks/processes.py {name}", numbers)
            print(
                f"{name}, {len(rounds)} of {ROUNDS} rounds: two processes at {ratio['median']:.2f}× one process's rate"
            )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--turn"]:
        measured = rate(sys.argv[2])
        if os.environ["RANK"] == "0":
            print(json.dumps(measured))
    else:
        main(sys.argv[1:] or list(CASES))
