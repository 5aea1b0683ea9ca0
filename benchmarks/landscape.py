"""Prints what a point of a loss surface costs, beside the published per-point procedure, and what a whole map takes.

    RESIDUA_DATA=DIR .venv/bin/python benchmarks/landscape.py [--images 1024] [--rounds 15] [--share 17]

The published procedure (Li et al. 2018; their released code), written plainly from its description: at each point the
weights are set tensor by tensor from lists of directions, and the loss is summed over batches of 128 (their default for
surfaces) from a ``DataLoader`` that scales and normalises each image anew; in evaluation mode, in float32, in the
process itself (their default is two workers; beside two busy threads these gain nothing). The network is resnet20 on
CIFAR-10 at 32×32, the images are the same, and so are the points; the two take turns, a point each.

Then the whole verb's part: 51×51 points of the same network with 256 images, centre and checks in float32 included,
from the pace of every 17th of its cells (``--share 1`` computes all of them).
"""

import argparse
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from fast import matrix_rate
from results import spread, write
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from residua import machine
from residua.data import sources
from residua.data.spec import DataSpec
from residua.diagnostics.case import Case, opened
from residua.diagnostics.landscape.directions import Direction
from residua.diagnostics.landscape.evaluating import question
from residua.diagnostics.landscape.grid import Grid, coarse_to_fine, spaced
from residua.diagnostics.landscape.layout import layout_of
from residua.diagnostics.landscape.moving import moving
from residua.diagnostics.landscape.survey import survey
from residua.networks import catalogue
from residua.networks.network import build

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
"""Of CIFAR-10's channels."""
Point = Callable[[Sequence[float]], float]


class Pictures(Dataset[tuple[Tensor, int]]):
    """Images of bytes that are scaled and normalised one by one, each time they are read."""

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        self._images = images.permute(0, 2, 3, 1).contiguous().numpy()
        self._labels = labels.tolist()
        self._mean, self._std = (torch.tensor(one).view(3, 1, 1) for one in (MEAN, STD))

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        pixels = torch.from_numpy(self._images[index]).permute(2, 0, 1).contiguous().float().div(255)
        return (pixels - self._mean) / self._std, self._labels[index]


def published(network: nn.Module, data: Pictures, directions: Sequence[list[Tensor]]) -> Point:
    """Returns the published procedure: the mean loss at a point of the plane."""
    weights = [one.detach().clone() for one in network.parameters()]
    loader = DataLoader(data, batch_size=128, shuffle=False)
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
    """Returns a plane of two Gaussian directions, each filter as long as the network's; biases and norms stay."""
    layout, axes = layout_of(network), []
    for seed in (0, 1):
        vector = torch.randn(len(layout), generator=torch.Generator().manual_seed(seed))
        for part, one in zip(layout.parts(vector).values(), network.parameters(), strict=True):
            if one.dim() < 2:
                part.zero_()
            else:
                sizes = (one.detach().flatten(1).norm(dim=1) / part.flatten(1).norm(dim=1)).view(
                    -1, *[1] * (one.dim() - 1)
                )
                part.mul_(sizes)
        axes.append(spaced(Direction(kind="random", says=f"seed {seed}", vector=vector), -1.0, 1.0, steps=steps))
    return Grid(axes=tuple(axes))


def per_point(case: Case, data: Pictures, grid: Grid, rounds: int) -> dict[str, object]:
    """Times a point of each way in turn, and returns their seconds, ratios and how far the losses are apart."""
    peer = build(catalogue.specification("resnet20"), seed=0)
    peer.load_state_dict(case.module.state_dict())
    layout = layout_of(case.module)
    theirs = published(peer, data, [list(layout.parts(axis.direction.vector).values()) for axis in grid.axes])
    seconds: dict[str, list[float]] = {"published": [], "ours": []}
    away: list[float] = []
    with moving(case.module, [axis.direction for axis in grid.axes], case.examples) as moved:
        asked = question(case, moved, policy="frozen", images=None, names=("train",), precision=None)
        moved.fold(asked.parts[0].batches[0])

        def ours(point: Sequence[float]) -> float:
            moved.to(point)
            return asked.measure(moved.module)[0][0]

        order = coarse_to_fine(grid.shape)
        for cell in order[:: len(order) // (rounds + 2)][: rounds + 2]:
            losses = {}
            for name, way in (("published", theirs), ("ours", ours)):
                began = time.perf_counter()
                losses[name] = way(grid.point(cell))
                seconds[name].append(time.perf_counter() - began)
            away.append(abs(losses["ours"] - losses["published"]) / losses["published"])
    seconds = {name: times[2:] for name, times in seconds.items()}  # two to warm up
    ratios = [left / right for left, right in zip(seconds["published"], seconds["ours"], strict=True)]
    return {
        "images": len(data),
        "precision": asked.precision,
        "folded": len(moved.folds),
        "seconds": {name: spread(times) for name, times in seconds.items()},
        "ratio": spread(ratios),
        "relative_difference": spread(away),
    }


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--share", type=int, default=17)
    asked = parser.parse_args()
    machine.prepare_process()
    train = sources.load(DataSpec(source="cifar10")).train
    images, labels = torch.as_tensor(train.images[: asked.images]), train.labels[: asked.images]
    data = Pictures(images, labels)
    inputs = torch.stack([data[place][0] for place in range(len(data))])
    case = replace(opened(build(catalogue.specification("resnet20"), seed=0), inputs, labels), name="resnet20")
    trained(case)
    grid = plane(case.module, 51)
    found = {"matrix_gflops": [matrix_rate()], "threads": torch.get_num_threads()}
    found |= {"per_point": per_point(case, data, grid, asked.rounds)}
    found["matrix_gflops"].append(matrix_rate())
    found |= {"map": whole_map(case, grid, asked.share)}
    found["matrix_gflops"].append(matrix_rate())
    for name, value in found.items():
        print(name, value)
    print("load", os.getloadavg())
    write("landscape", f"python benchmarks/landscape.py --images {asked.images} --rounds {asked.rounds}", found)


if __name__ == "__main__":
    main()
