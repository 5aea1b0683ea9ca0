"""Prints what a large folder of photographs costs: peak memory against their number, decoding, waiting for data.

    .venv/bin/python benchmarks/folders.py [--images 500 2000 8000] [--large 2048] [--steps 12] [--rounds 3]

Folders of synthetic JPEGs are made for it. Every figure comes from a process of its own:

* ``memory``, ``cache``, ``again`` and ``stream``: the folder is loaded at 224 × 224 (into memory, into a cache, from
  the cache made before, or to be streamed) and an epoch of augmented batches of 32 is drawn. Peak resident memory is
  what came on top of the imports.
* ``decode``: images a second read and fitted, by our threads and by torch's `DataLoader` with as many worker processes.
* ``draft``: images a second of one thread from large JPEGs, with reduced decoding and without, and the mean
  difference of the pixels that it makes, for several margins.
* ``wait``: the share of a training step of resnet18 (224 × 224, 32 images) that `loop.take_steps` spends in getting
  its batch: reading, augmentation and normalisation.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SIZE, BATCH, WARM_STEPS = 224, 32, 3
LARGE_IMAGES = 64
MARGINS = (1, 2, 4)


def lay_out(root: Path, images: int, side: int) -> Path:
    """Writes JPEGs of two classes, smooth with some noise, so that their bytes are about a photograph's."""
    import numpy as np
    from PIL import Image

    from residua.data.threads import in_threads

    def write(i: int) -> None:
        random = np.random.default_rng(i)
        coarse = Image.fromarray(random.integers(0, 256, (12, 12, 3), dtype=np.uint8))
        smooth = np.asarray(coarse.resize((side, side), Image.Resampling.BICUBIC)).astype(np.int16)
        noisy = (smooth + random.integers(-8, 9, smooth.shape)).clip(0, 255).astype(np.uint8)
        path = root / ("ant", "bee")[i % 2] / f"{i:06}.jpg"
        Image.fromarray(noisy).save(path, quality=85)

    for name in ("ant", "bee"):
        (root / name).mkdir(parents=True)
    in_threads(write, range(images), "")
    return root


def peak() -> int:
    """Returns the most memory that this process was resident in, in bytes (Linux counts in KiB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def dataset(folder: str, keep: Any, cache: str) -> Any:
    from residua.data import sources
    from residua.data.spec import DataSpec

    kept = "cache" if keep == "again" else keep
    return sources.load(DataSpec(source=folder, image_size=SIZE, keep=kept, cache=cache))


def epoch(folder: str, keep: str, cache: str) -> dict[str, float]:
    """Loads the folder and draws an epoch."""
    import torch

    from residua.data import sources as _imported_before_the_count  # noqa: F401
    from residua.data.augment import AugmentSpec
    from residua.data.loader import BatchPlan, batches

    before, began = peak(), time.perf_counter()
    data = dataset(folder, keep, cache)
    loaded, took = peak(), time.perf_counter() - began
    plan = BatchPlan(batch_size=BATCH, seed=0, epoch=1, augment=AugmentSpec(crop_padding=28, flip="random"))
    began, seen = time.perf_counter(), 0
    for batch in batches(data.train, plan=plan, device=torch.device("cpu"), preprocessing=data.preprocessing):
        seen += len(batch.labels)
    return {
        "load_seconds": took,
        "load_peak_bytes": loaded - before,
        "epoch_peak_bytes": peak() - before,
        "epoch_images_per_second": seen / (time.perf_counter() - began),
        "pixel_bytes": sum(part.images.numel() for part in data.parts),
    }


def decode(folder: str) -> dict[str, float]:
    """Reads all files by threads and by worker processes."""
    from torch.utils.data import DataLoader

    from residua import machine
    from residua.data.decoding import Target, each

    target, paths = Target(size=(SIZE, SIZE), fit="crop", channels=3), sorted(Path(folder).glob("*/*.jpg"))

    class Files:
        def __len__(self) -> int:
            return len(paths)

        def __getitem__(self, i: int):
            return target.read(paths[i])

    def rate(images) -> float:
        began = time.perf_counter()
        for _ in images:
            pass
        return len(paths) / (time.perf_counter() - began)

    rate(each(paths[:32], target))
    workers = DataLoader(Files(), batch_size=BATCH, num_workers=machine.cores())  # type: ignore[arg-type]
    return {"threads": rate(each(paths, target)), "worker_processes": rate(workers), "cores": machine.cores()}


def draft(folder: str) -> dict[str, float]:
    """Reads large JPEGs as they are and reduced, no smaller than the margin times the size."""
    import numpy as np

    from residua.data import imagefile
    from residua.data.decoding import Target

    target, paths = Target(size=(SIZE, SIZE), fit="crop", channels=3), sorted(Path(folder).glob("*/*.jpg"))
    names = {10**6: "whole", **{margin: str(margin) for margin in MARGINS}}
    seconds, levels = dict.fromkeys(names, 0.0), dict.fromkeys(names, 0.0)
    target.read(paths[0])
    for path in paths:
        pixels = {}
        for margin in names:
            imagefile._DRAFT_MARGIN = margin
            began = time.perf_counter()
            pixels[margin] = target.read(path).astype(np.int16)
            seconds[margin] += time.perf_counter() - began
        for margin in names:
            levels[margin] += float(np.abs(pixels[margin] - pixels[10**6]).mean()) / len(paths)
    rates = {f"images_per_second_{name}": len(paths) / seconds[margin] for margin, name in names.items()}
    return rates | {f"levels_off_{margin}": levels[margin] for margin in MARGINS}


def wait(folder: str, keep: str, cache: str, steps: int) -> dict[str, float]:
    """Takes training steps and times the loop's waiting for its batches."""
    import torch

    from residua import machine
    from residua.data import loader
    from residua.data.augment import AugmentSpec
    from residua.networks.catalogue import specification
    from residua.networks.network import build
    from residua.training import loop
    from residua.training.optimizers import optimizer_for
    from residua.training.recipe import recipe
    from residua.training.state import State

    machine.prepare_process()
    device, data = machine.device(), dataset(folder, keep, cache)
    waits: list[float] = []
    given = loader.batches

    def timed(*arguments, **named) -> Iterator:
        walk = given(*arguments, **named)
        while True:
            began = time.perf_counter()
            batch = next(walk, None)
            waits.append(time.perf_counter() - began)
            if batch is None:
                return
            yield batch

    setattr(loop, "batches", timed)  # noqa: B010
    network = build(specification("resnet18", classes=2), seed=0).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    course = loop.Course(
        dataset=data.to(device),
        recipe=recipe("default"),
        augment=AugmentSpec(crop_padding=SIZE // 8, flip="random"),
        batch_size=BATCH,
        epochs=1,
        seed=0,
        device=device,
        precision=machine.precision("auto", device),
        forward=network,
    )
    walk = loop.take_steps(course, State(network=network, optimizer=optimizer_for(network, course.recipe.optimizer)))
    for _ in range(WARM_STEPS):
        next(walk)
    waits.clear()
    began = time.perf_counter()
    taken = sum(1 for _ in zip(range(steps), walk, strict=False))
    passed = time.perf_counter() - began
    share = sum(waits[:taken]) / passed
    return {"steps": taken, "wait_share": share, "images_per_second": BATCH * taken / passed}


TURNS = {"epoch": epoch, "decode": decode, "draft": draft, "wait": wait}


def turn(kind: str, *arguments: str | int) -> dict[str, float]:
    command = [sys.executable, __file__, "--turn", kind, *map(str, arguments)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env={**os.environ})
    return json.loads(done.stdout)


def of_size(root: Path, images: int, side: int) -> dict[str, object]:
    """Measures one folder and prints a line for each place of the pixels."""
    folder, cache = str(lay_out(root / str(images), images, side)), str(root / f"cache-{images}")
    rows = {keep: turn("epoch", folder, keep, cache) for keep in ("memory", "cache", "again", "stream")}
    for keep, row in rows.items():
        print(
            f"{images:,} images ({row['pixel_bytes'] / 1e6:,.0f} MB of pixels), {keep}: loaded in "
            f"{row['load_seconds']:.1f} s, peak {row['load_peak_bytes'] / 1e6:,.0f} MB; after an epoch "
            f"{row['epoch_peak_bytes'] / 1e6:,.0f} MB, {row['epoch_images_per_second']:,.0f} images/s",
            flush=True,
        )
    return {"images": images, "side": side, **rows}


def told(item: tuple[str, dict[str, float]]) -> str:
    name, found = item
    return f"{name} {found['median']:.3g} ({found['min']:.3g} to {found['max']:.3g})"


def main() -> None:
    from results import spread, write

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, nargs="+", default=[500, 2000, 8000])
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--large", type=int, default=2048, help="side of the JPEGs that show reduced decoding")
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3, help="of everything but memory, which does not vary")
    parser.add_argument("--dry", action="store_true", help="writes no result")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        sizes = [of_size(root, images, asked.side) for images in asked.images]
        largest = max(asked.images)
        folder, cache = str(root / str(largest)), str(root / f"cache-{largest}")
        large = str(lay_out(root / "large", LARGE_IMAGES, asked.large))
        numbers: dict[str, dict[str, dict[str, float]]] = {}
        for kind, arguments in {
            "decode": ("decode", folder),
            "draft": ("draft", large),
            "wait_cache": ("wait", folder, "cache", cache, asked.steps),
            "wait_stream": ("wait", folder, "stream", cache, asked.steps),
        }.items():
            rows = [turn(*arguments) for _ in range(asked.rounds)]
            numbers[kind] = {name: spread([row[name] for row in rows]) for name in rows[0]}
            told = (
                f"{name} {found['median']:.3g} ({found['min']:.3g} to {found['max']:.3g})"
                for name, found in numbers[kind].items()
            )
            print(f"{kind}: {', '.join(told)}; n = {asked.rounds}", flush=True)
    if not asked.dry:
        write("folders", " ".join(["python", "benchmarks/folders.py", *sys.argv[1:]]), {"sizes": sizes, **numbers})


if __name__ == "__main__":
    if sys.argv[1:2] == ["--turn"]:
        kind, *given = sys.argv[2:]
        print(json.dumps(TURNS[kind](*(int(value) if value.isdecimal() else value for value in given))))  # type: ignore[operator]
    else:
        main()
