"""Prints our training rate beside a textbook float32 loop's, as a ratio, from one interleaved run.

    .venv/bin/python benchmarks/training_rate.py [resnet20] [resnet18]

Three processes take turns, because the allocator belongs to the process: ``ours`` (`loop.take_steps` in a process
that `machine.prepare_process` set up), ``textbook`` (float32, default memory format and allocator, torch's own
optimizer, the same network) and ``fair`` (the textbook's loop with our allocator). The textbook's loop has its
batches ready in memory; ours also gathers, augments and normalises them.
"""

import json
import subprocess
import sys
import time
from typing import Any

CASES = {"resnet20": (32, 128, 12), "resnet18": (224, 32, 5)}  # side, batch size, steps a turn
ARMS = ("ours", "textbook", "fair")
WARM_STEPS = 3
ROUNDS = 5


def ours(name: str) -> float:
    from residua import machine
    from residua.training.loop import take_steps

    machine.prepare_process()
    side, batch, steps = CASES[name]
    walk = take_steps(*course_of(name, side, batch, WARM_STEPS + steps))
    return rate(lambda: next(walk), batch, steps)


def course_of(name: str, side: int, batch: int, steps: int, team: Any = None) -> tuple[Any, Any]:
    """Returns what `loop.take_steps` takes: the network of that name on noise, for one epoch of so many steps."""
    import torch

    from residua import machine
    from residua.data.augment import AugmentSpec
    from residua.data.dataset import Dataset, Part, Preprocessing
    from residua.networks.catalogue import specification
    from residua.networks.network import build
    from residua.training.distributed import ALONE
    from residua.training.loop import Course, forward_of
    from residua.training.optimizers import optimizer_for
    from residua.training.recipe import recipe
    from residua.training.state import State

    device, count, team = machine.device(), batch * steps, team or ALONE
    images = torch.randint(0, 256, (count, side, side, 3), dtype=torch.uint8).permute(0, 3, 1, 2)
    train = Part(name="train", images=images, labels=torch.randint(0, 10, (count,)), files=("",) * count)
    look = Preprocessing(image_size=(side, side), channels=3, mean=(0.5,) * 3, std=(0.25,) * 3)
    data = Dataset(source="noise", classes=tuple("0123456789"), parts=(train.to(device),), preprocessing=look)
    network = build(specification(name, classes=10), seed=0).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    course = Course(
        dataset=data,
        recipe=recipe("default"),
        augment=AugmentSpec(crop_padding=side // 8, flip="random"),
        batch_size=batch,
        epochs=1,
        seed=0,
        device=device,
        precision=machine.precision("auto", device),
        forward=forward_of(network, recipe("default"), team),
        team=team,
    )
    return course, State(network=network, optimizer=optimizer_for(network, course.recipe.optimizer))


def images_per_second(name: str, side: int, batch: int, steps: int, *, warm: int, team: Any = None) -> float:
    """Returns the rate of `loop.take_steps` on `course_of`, over all processes of the team."""
    from residua import machine
    from residua.training.distributed import ALONE
    from residua.training.loop import take_steps

    machine.prepare_process()
    walk = take_steps(*course_of(name, side, batch, warm + steps, team))
    for _ in range(warm):
        next(walk)
    began = time.perf_counter()
    for _ in range(steps):
        next(walk)
    (team or ALONE).largest([0])
    return batch * steps / (time.perf_counter() - began)


def textbook(name: str, *, keep_memory: bool) -> float:
    import torch

    from residua import machine
    from residua.networks.catalogue import specification
    from residua.networks.network import build

    if keep_memory:
        machine.prepare_process()
    side, batch, steps = CASES[name]
    device = machine.device()
    network = build(specification(name, classes=10), seed=0).to(device)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    images, labels = torch.randn(batch, 3, side, side, device=device), torch.randint(0, 10, (batch,), device=device)

    def step() -> None:
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(network(images), labels).backward()
        optimizer.step()

    return rate(step, batch, steps)


def rate(step, batch: int, steps: int) -> float:
    import torch

    def ready() -> float:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return time.perf_counter()

    for _ in range(WARM_STEPS):
        step()
    began = ready()
    for _ in range(steps):
        step()
    return batch * steps / (ready() - began)


def turn(arm: str, name: str) -> float:
    done = subprocess.run([sys.executable, __file__, arm, name], check=True, capture_output=True, text=True)
    return float(json.loads(done.stdout))


def main() -> None:
    from results import spread, write

    for name in sys.argv[1:] or CASES:
        side, batch, _ = CASES[name]
        rounds = [{arm: turn(arm, name) for arm in ARMS} for _ in range(ROUNDS)]
        rates = {arm: spread([row[arm] for row in rounds]) for arm in ARMS}
        ratios = {peer: spread([row["ours"] / row[peer] for row in rounds]) for peer in ("textbook", "fair")}
        print(
            f"{name} at {side}×{side}, batch {batch}: " + ", ".join(f"{a} {rates[a]['median']:.1f} img/s" for a in ARMS)
        )
        for peer, ratio in ratios.items():
            print(f"  {ratio['median']:.2f}× {peer} ({ratio['min']:.2f} to {ratio['max']:.2f}, n = {ratio['n']})")
        numbers = {"side": side, "batch_size": batch, "images_per_second": rates, "ratio_to": ratios}
        write(f"training_rate_{name}", f"python benchmarks/training_rate.py {name}", numbers)


if __name__ == "__main__":
    if len(sys.argv) == 3:
        arm, name = sys.argv[1:]
        print(json.dumps(ours(name) if arm == "ours" else textbook(name, keep_memory=arm == "fair")))
    else:
        main()
