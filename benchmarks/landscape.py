"""Prints what a point of a loss surface costs, beside the published per-point procedure, and what a whole map takes.

    RESIDUA_DATA=DIR .venv/bin/python benchmarks/landscape.py [--images 1024] [--rounds 15] [--share 17]

Three processes take turns, a point each, because the allocator belongs to the process. ``published`` is the procedure
of Li et al. 2018 as their released code has it, written from its description: at each point the weights are set tensor
by tensor from lists of directions, and the loss is summed over batches of 128 from a ``DataLoader`` with its default of
two workers, which open, scale and normalise each picture anew; in evaluation mode, in float32. ``fair`` is the same
without workers and with our allocator. ``ours`` is `residua.diagnostics.landscape` as `residua landscape` uses it. The
network is resnet20 on CIFAR-10 at 32×32; images, weights, directions and points are the same.

Then the whole verb's part: 51×51 points of the same network with 256 images, centre and checks in float32 included,
from the pace of every 17th of its cells (``--share 1`` computes all of them).
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import torch
from fast import matrix_rate
from PIL import Image
from results import spread, write
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from residua import machine
from residua.data import sources
from residua.data.spec import DataSpec
from residua.diagnostics.case import Case, opened
from residua.diagnostics.landscape.directions import random_pair
from residua.diagnostics.landscape.evaluating import question
from residua.diagnostics.landscape.grid import Grid, coarse_to_fine, spaced
from residua.diagnostics.landscape.layout import layout_of
from residua.diagnostics.landscape.moving import moving
from residua.diagnostics.landscape.survey import survey
from residua.networks import catalogue
from residua.networks.network import build

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
"""Of CIFAR-10's channels."""
WAYS = ("published", "fair", "ours")
Point = Callable[[Sequence[float]], float]


class Pictures(Dataset[tuple[Tensor, int]]):
    """Pictures that are opened, scaled and normalised one by one, each time they are read."""

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        self._images = images.permute(0, 2, 3, 1).contiguous().numpy()
        self._labels = labels.tolist()
        self._mean, self._std = (torch.tensor(one).view(3, 1, 1) for one in (MEAN, STD))

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        picture = Image.fromarray(self._images[index])
        pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1).contiguous().float().div(255)
        return (pixels - self._mean) / self._std, self._labels[index]


def published(network: nn.Module, data: Pictures, directions: Sequence[list[Tensor]], workers: int) -> Point:
    """Returns the published procedure: the mean loss at a point of the plane."""
    weights = [one.detach().clone() for one in network.parameters()]
    loader = DataLoader(data, batch_size=128, shuffle=False, num_workers=workers)
    criterion = nn.CrossEntropyLoss()

    def loss(point: Sequence[float]) -> float:
        changes = [
            sum(a * part for a, part in zip(point, parts, strict=True)) for parts in zip(*directions, strict=True)
        ]
        for one, weight, change in zip(network.parameters(), weights, changes, strict=True):
            one.data = weight + change
        network.eval()
        total, images = 0.0, 0
        with torch.no_grad():
            for inputs, targets in loader:
                total += criterion(network(inputs), targets).item() * len(inputs)
                images += len(inputs)
        return total / images

    return loss


@contextmanager
def ours(case: Case, grid: Grid) -> Iterator[Point]:
    """Yields the library's way."""
    with moving(case.module, [axis.direction for axis in grid.axes], case.examples) as moved:
        asked = question(case, moved, policy="frozen", images=None, names=("train",), precision=None)
        moved.fold(asked.parts[0].batches[0])

        def loss(point: Sequence[float]) -> float:
            moved.to(point)
            return asked.measure(moved.module)[0][0]

        yield loss


def trained(case: Case, steps: int = 60) -> None:
    """Trains a little, so that the losses are those of a network and its norms have statistics of images."""
    optimizer = torch.optim.SGD(case.module.parameters(), lr=0.1, momentum=0.9)
    generator = torch.Generator().manual_seed(0)
    for _ in range(steps):
        places = torch.randint(len(case.examples), (128,), generator=generator)
        optimizer.zero_grad()
        case.loss_of(case.examples.take(places)).backward()
        optimizer.step()
    case.module.eval()


def plane(network: nn.Module, steps: int) -> Grid:
    """Returns a plane of two Gaussian directions normalised by filter."""
    return Grid(axes=tuple(spaced(one, -1.0, 1.0, steps=steps) for one in random_pair(network, seed=0)))


def serve(way: str, images: int) -> None:
    """Answers each point on the standard input with its loss and its seconds; meant for a process of its own."""
    if way != "published":
        machine.prepare_process()
    case, data = opened_case(images)
    grid = plane(case.module, 51)

    def answer(loss: Point) -> None:
        print("ready", flush=True)
        for line in sys.stdin:
            began = time.perf_counter()
            found = loss(json.loads(line))
            print(json.dumps([found, time.perf_counter() - began]), flush=True)

    if way == "ours":
        with ours(case, grid) as loss:
            answer(loss)
    else:
        parts = [list(layout_of(case.module).parts(axis.direction.vector).values()) for axis in grid.axes]
        answer(published(case.module, data, parts, workers=2 if way == "published" else 0))


def per_point(images: int, grid: Grid, rounds: int) -> dict[str, object]:
    """Times a point of each way in turn, and returns their seconds, ratios and how far the losses are apart."""
    servers = {way: _started(way, images) for way in WAYS}
    rows: list[dict[str, list[float]]] = []
    order = coarse_to_fine(grid.shape)
    for cell in order[:: len(order) // (rounds + 2)][: rounds + 2]:
        rows.append({way: _asked(server, json.dumps(grid.point(cell))) for way, server in servers.items()})
    for server in servers.values():
        server.communicate()
    rows = rows[2:]  # two to warm up
    away = [abs(row["ours"][0] - row["published"][0]) / row["published"][0] for row in rows]
    return {
        "images": images,
        "seconds": {way: spread([row[way][1] for row in rows]) for way in WAYS},
        "ratio_to": {way: spread([row[way][1] / row["ours"][1] for row in rows]) for way in WAYS[:2]},
        "relative_difference": spread(away),
    }


def _started(way: str, images: int) -> "subprocess.Popen[str]":
    line = [sys.executable, __file__, "--serve", way, "--images", str(images)]
    server = subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    assert server.stdout.readline() == "ready\n"
    return server


def _asked(server: "subprocess.Popen[str]", line: str) -> list[float]:
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdin.write(line + "\n")
    server.stdin.flush()
    return json.loads(server.stdout.readline())


def whole_map(case: Case, grid: Grid, share: int) -> dict[str, object]:
    """Times a survey of a share of a map's cells, and scales what grows with their number."""
    began, told = time.perf_counter(), []
    found = survey(case, grid, images=256, share=(1, share), told=lambda surface, _: told.append(surface.seconds))
    total, cells = time.perf_counter() - began, grid.shape[0] * grid.shape[1]
    before = total - found.seconds
    return {
        "images": 256,
        "cells": cells,
        "computed": int((found.cells[0].loss == found.cells[0].loss).sum()),
        "seconds_before": before,
        "seconds_of_cells": found.seconds,
        "seconds_of_the_map": before + found.seconds * share,
        "bfloat16": {"cells": found.precision.cells, "median": found.precision.median, "worst": found.precision.worst},
    }


def opened_case(images: int) -> tuple[Case, Pictures]:
    """Returns the trained network with its images, and the same as pictures."""
    train = sources.load(DataSpec(source="cifar10")).train
    data = Pictures(torch.as_tensor(train.images[:images]), train.labels[:images])
    inputs = torch.stack([data[place][0] for place in range(len(data))])
    network = build(catalogue.specification("resnet20"), seed=0)
    case = replace(opened(network, inputs, train.labels[:images]), name="resnet20")
    trained(case)
    return case, data


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--share", type=int, default=17)
    parser.add_argument("--serve", choices=WAYS)
    asked = parser.parse_args()
    if asked.serve:
        serve(asked.serve, asked.images)
        return
    machine.prepare_process()
    case, _ = opened_case(asked.images)
    grid = plane(case.module, 51)
    found = {"matrix_gflops": [matrix_rate()], "threads": torch.get_num_threads()}
    found |= {"per_point": per_point(asked.images, grid, asked.rounds)}
    found["matrix_gflops"].append(matrix_rate())
    found |= {"map": whole_map(case, grid, asked.share)}
    found["matrix_gflops"].append(matrix_rate())
    for name, value in found.items():
        print(name, value)
    print("load", os.getloadavg())
    write("landscape", f"python benchmarks/landscape.py --images {asked.images} --rounds {asked.rounds}", found)


if __name__ == "__main__":
    main()
