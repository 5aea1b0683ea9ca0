"""Prints what `residua.watch` costs: resnet18, images of 224×224, whole training steps as training takes them.

    .venv/bin/python benchmarks/watching.py [--network resnet18] [--batch 32] [--size 224] [--rounds 20]

Two copies of one network learn from the same batch, one watched and one not, in turn, the first of a round drawn with
a seed: the ratio of their times is the cost of sampling every step, the watch's effect on caches included. Beside it
the time within the watch's own hooks, over that of the unwatched step of the same round, which other work on the
machine moves less. At every tenth step the cost is a tenth of that. The weights are compared at the end.
"""

import argparse
import copy
import random
import time
from collections.abc import Callable

import torch
from results import spread, write
from torch import Tensor, nn

from residua import machine
from residua.diagnostics.watch import EVERY, Watch
from residua.networks import catalogue
from residua.networks.network import build
from residua.training.optimizers import optimizer_for
from residua.training.recipe import recipe

Step = Callable[[], None]
WARM = 2
"""Rounds before the measured ones: the first steps allocate and choose algorithms."""


def learner(network: nn.Module, images: Tensor, labels: Tensor) -> tuple[torch.optim.Optimizer, Step]:
    """Returns the optimizer of the default recipe, and a step as training takes it."""
    optimizer = optimizer_for(network, recipe("default").optimizer)
    bfloat16 = machine.precision("auto", torch.device("cpu")) == "bfloat16"

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            logits = network(images)
        torch.nn.functional.cross_entropy(logits.float(), labels).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return optimizer, step


def seconds(step: Step) -> float:
    began = time.perf_counter()
    step()
    return time.perf_counter() - began


def timed(optimizer: torch.optim.Optimizer, watch: Watch) -> tuple[Watch, list[float]]:
    """Begins a watch between hooks that note, at each step, how long its own hooks took."""
    began, inside = [0.0], [0.0]
    spent: list[float] = []

    def begin(*_: object) -> None:
        began[0] = time.perf_counter()

    def end_of_first(*_: object) -> None:
        inside[0] = time.perf_counter() - began[0]

    def end_of_second(*_: object) -> None:
        spent.append(inside[0] + time.perf_counter() - began[0])

    optimizer.register_step_pre_hook(begin)
    optimizer.register_step_post_hook(begin)
    watch.__enter__()
    optimizer.register_step_pre_hook(end_of_first)
    optimizer.register_step_post_hook(end_of_second)
    return watch, spent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--network", default="resnet18")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--rounds", type=int, default=20)
    asked = parser.parse_args()
    machine.prepare_process()
    generator, order = torch.Generator().manual_seed(0), random.Random(0)
    images = torch.randn(asked.batch, 3, asked.size, asked.size, generator=generator)
    images = images.contiguous(memory_format=torch.channels_last)
    labels = torch.randint(0, 1000, (asked.batch,), generator=generator)
    network = build(catalogue.specification(asked.network), seed=0).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    networks = {"alone": network, "watched": copy.deepcopy(network)}
    learners = {way: learner(one, images, labels) for way, one in networks.items()}
    times: dict[str, list[float]] = {way: [] for way in learners}
    watch, spent = timed(learners["watched"][0], Watch(networks["watched"], learners["watched"][0], every=1))
    for turn in range(asked.rounds + WARM):
        for way in order.sample(sorted(learners), 2):
            took = seconds(learners[way][1])
            if turn >= WARM:
                times[way].append(took)
    watch.end()
    same = all(map(torch.equal, networks["alone"].state_dict().values(), networks["watched"].state_dict().values()))
    ratios = [watched / alone for watched, alone in zip(times["watched"], times["alone"], strict=True)]
    shares = [hooks / alone for hooks, alone in zip(spent[WARM:], times["alone"], strict=True)]
    print(f"weights equal to the bit after {asked.rounds + WARM} steps, {len(watch.samples)} of them sampled: {same}")
    print(f"a watched step over an unwatched one: {spread(ratios)['median']:.3f}", spread(ratios))
    share = spread(shares)
    print(f"hooks at every step: {100 * share['median']:.2f} % of a step", share)
    print(f"hooks at every {EVERY}th step: {100 * share['median'] / EVERY:.2f} %")
    found = {"network": asked.network, "batch": asked.batch, "size": asked.size, "equal": same, "seconds": times}
    found |= {"ratio_every_step": spread(ratios), "share_every_step": share, "default_every": EVERY}
    found |= {"share_default": {key: share[key] / EVERY for key in ("median", "min", "max")} | {"n": share["n"]}}
    write("watching", "python benchmarks/watching.py", found)


if __name__ == "__main__":
    main()
