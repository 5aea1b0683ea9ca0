"""Prints what activation checkpointing saves and costs: resnet1202, a batch of 32×32 images, a whole training step.

    .venv/bin/python benchmarks/checkpointing.py [--network resnet1202] [--batch 16] [--rounds 5]

Memory is what torch has allocated at the step's peak, above what it held before (its own count, not the process's);
times are of whole steps, the two ways in turn. Gradients and buffers are compared after the first step of each.
"""

import argparse
import copy
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from results import spread, write
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from residua import machine
from residua.networks import catalogue
from residua.networks.checkpointing import checkpointed
from residua.networks.network import ResidualNetwork, build

Step = Callable[[], None]


def steps(name: str, batch: int) -> dict[str, tuple[ResidualNetwork, Step]]:
    """Returns the network and the training step of each way, on the same images."""
    ordinary = build(catalogue.specification(name), seed=0).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    again = copy.deepcopy(ordinary)
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(batch, 3, 32, 32, generator=generator).contiguous(memory_format=torch.channels_last)
    labels = torch.randint(0, 10, (batch,), generator=generator)
    bfloat16 = machine.precision("auto", torch.device("cpu")) == "bfloat16"

    def step(network: ResidualNetwork, forward: Callable[[Tensor], Tensor]) -> Step:
        def run() -> None:
            network.zero_grad()
            with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
                logits = forward(images)
            torch.nn.functional.cross_entropy(logits.float(), labels).backward()

        return run

    return {"ordinary": (ordinary, step(ordinary, ordinary)), "again": (again, step(again, checkpointed(again)))}


def kept(network: ResidualNetwork) -> dict[str, Tensor]:
    """Returns gradients and buffers by name."""
    gradients = {name: p.grad for name, p in network.named_parameters() if p.grad is not None}
    return {**gradients, **dict(network.named_buffers())}


def peak_bytes(step: Step) -> int:
    """Returns how far torch's own count of allocated bytes rises above where it was."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as watched:
        step()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.json"
        watched.export_chrome_trace(str(path))
        events = json.loads(path.read_text())["traceEvents"]
    allocated = [event["args"]["Total Allocated"] for event in events if event.get("name") == "[memory]"]
    return max(allocated) - allocated[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--network", default="resnet1202")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    machine.prepare_process()
    ways = steps(asked.network, asked.batch)
    for _, step in ways.values():
        step()
    first, second = (network for network, _ in ways.values())
    same = all(torch.equal(left[name], right[name]) for left, right in [(kept(first), kept(second))] for name in left)
    gradients = sum(parameter.numel() * parameter.element_size() for parameter in first.parameters())
    for network in (first, second):
        network.zero_grad()
    memory = {way: peak_bytes(step) for way, (_, step) in ways.items()}
    ratios, seconds = [], {"ordinary": [], "again": []}
    for _ in range(asked.rounds):
        for way, (_, step) in ways.items():
            began = time.perf_counter()
            step()
            seconds[way].append(time.perf_counter() - began)
        ratios.append(seconds["again"][-1] / seconds["ordinary"][-1])
    print(f"gradients and buffers equal to the bit: {same}")
    for way, peak in memory.items():
        print(f"{way}: peak {peak / 1e6:.0f} MB above the start, {gradients / 1e6:.0f} MB of it gradients at the end")
    saved = memory["ordinary"] / memory["again"]
    print(f"memory: {saved:.1f} times less; time: {spread(ratios)['median']:.2f} times", spread(ratios))
    found = {"network": asked.network, "batch": asked.batch, "equal": same, "peak_bytes": memory, "memory_ratio": saved}
    found |= {"gradient_bytes": gradients, "seconds": seconds, "time_ratio": spread(ratios)}
    write("checkpointing", f"python benchmarks/checkpointing.py --batch {asked.batch}", found)


if __name__ == "__main__":
    main()
