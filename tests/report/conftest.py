"""A finished run directory as training leaves it, made from seeded numbers, and pictures to go with it."""

import functools
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from playwright.sync_api import Browser, Page, sync_playwright

from residua import files
from residua.data.dataset import Part
from residua.evaluation import Outcome, metrics
from residua.networks import catalogue, cost
from residua.report.page import write_report
from residua.report.pictures import Mistake, Pictures
from residua.training.finish import prediction_rows

MakeRun = Callable[..., Path]

LEAST_CONTRAST = 4.5
"""Of text against what is behind it (WCAG 2.2, 1.4.3)."""

CONTRASTS = """() => {
  const context = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const painted = (colour, under) => {
    context.fillStyle = `rgb(${under.join(' ')})`; context.fillRect(0, 0, 1, 1);
    context.fillStyle = colour; context.fillRect(0, 0, 1, 1);
    return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const behind = element => element === null ? [255, 255, 255]
    : painted(getComputedStyle(element).backgroundColor, behind(element.parentElement));
  const luminance = colour => colour.map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const rows = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement, text = walker.currentNode.textContent.trim();
    if (!text || !element.checkVisibility() || element.closest('style, defs')) continue;
    const style = getComputedStyle(element), ground = behind(element);
    const colour = element instanceof SVGElement ? style.fill : style.color;
    if (colour === 'rgba(0, 0, 0, 0)') continue;
    const [a, b] = [luminance(painted(colour, ground)), luminance(ground)];
    rows.push({text, ratio: (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)});
  }
  return rows;
}"""

AWKWARD_NAMES = ("猫", "<script>alert(1)</script>", 'a "quoted" & long name', "$x$ \\frac", "w" * 120, "{{ 7 * 7 }}")


def class_names(number: int) -> tuple[str, ...]:
    return tuple(f"class {index}" for index in range(number))


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    return functools.partial(finished_run, tmp_path)


@pytest.fixture(scope="session")
def awkward_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a run whose class names break what can be broken."""
    run = finished_run(tmp_path_factory.mktemp("awkward"), classes=AWKWARD_NAMES, sharpness=2.0)
    return write_report(run, some_pictures())


@pytest.fixture(scope="session")
def large_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a run with 100 classes and without pictures."""
    return write_report(finished_run(tmp_path_factory.mktemp("large"), class_names(100), images=2000, sharpness=4.0))


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Headless Chromium: playwright's own, else the system's; a missing one fails where ``CI`` is set."""
    with sync_playwright() as playwright:
        places = [playwright.chromium.executable_path, *map(shutil.which, ("chromium", "google-chrome"))]
        found = next((place for place in places if place and Path(place).is_file()), None)
        if found is None:
            missing = "no Chromium: `playwright install chromium` installs one"
            pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)
        software = ["--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
        flags = ["--no-sandbox", *software, "--disable-background-networking", "--disable-component-update"]
        launched = playwright.chromium.launch(executable_path=found, args=flags)
        yield launched
        launched.close()


@pytest.fixture
def opened(browser: Browser) -> Iterator[Any]:
    """Opens a page in a fresh context and fails the test if it complains or asks for anything."""
    contexts, complaints = [], []

    def complain(of: str) -> None:
        if of and not of.startswith("data:"):
            complaints.append(of)

    def open_page(path: Path, *, width: int = 1000, scheme: Any = "light") -> Page:
        context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
        contexts.append(context)
        page, address = context.new_page(), path.resolve().as_uri()
        page.on("console", lambda message: complain(message.text))
        page.on("pageerror", lambda error: complain(str(error)))
        page.on("request", lambda asked: complain("" if asked.url == address else asked.url))
        page.goto(address)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.fixture
def pictures() -> Pictures:
    return some_pictures()


def some_pictures() -> Pictures:
    """Coloured noise as samples, and two mistakes whose names are no HTML."""
    generator = torch.Generator().manual_seed(0)
    samples = torch.randint(0, 256, (8, 3, 24, 24), generator=generator, dtype=torch.uint8)
    ramp = torch.linspace(0, 1, 24)
    mistake = Mistake(
        file="test/<b>bold</b>/猫.png",
        label="猫",
        predicted="<i>dog</i>",
        probability=0.987654,
        image=samples[0],
        activation_map=ramp[:, None] * ramp,
    )
    return Pictures(samples=samples, sample_labels=("猫", "dog") * 4, mistakes=(mistake, mistake))


def finished_run(
    root: Path,
    classes: tuple[str, ...] = (),
    *,
    images: int = 360,
    sharpness: float = 5.0,
    temperature: float = 1.0,
    headline: dict[str, Any] | None = None,
    **result: Any,
) -> Path:
    """Writes a finished run and returns its directory; ``headline`` and ``result`` change single values."""
    run, names = root / "run", classes or class_names(10)
    outcome, part = _held_out(names, images, sharpness)
    outcome = outcome.at(temperature)
    numbers = {**metrics(outcome, names), "evaluations": 1}
    files.write_json_lines(run / "predictions-test.jsonl", prediction_rows(outcome, part, names))
    head = {"part": "test", "optimistic": False, "beats_baselines": True}
    head |= {key: numbers[key] for key in ("accuracy", "interval", "images")}
    linear = {"accuracy": 0.42, "train_images": 1000, "description": "logistic regression on 16×16 pixels"}
    written = {
        "headline": head | (headline or {}),
        "parts": {"validation": numbers, "test": numbers},
        "baselines": {"majority": {"class": names[0], "accuracy": 1 / len(names)}, "logistic_regression": linear},
        "chosen": {"epoch": 4, "by": "best validation accuracy"},
        "temperature": {"value": temperature, "fitted_to": None if temperature == 1 else "validation", "images": 250},
    }
    files.write_json(run / "result.json", written | result)
    _write_making(run, names)
    return run


def _held_out(names: tuple[str, ...], images: int, sharpness: float) -> tuple[Outcome, Part]:
    """Draws labels and logits that favour the label the more, the larger ``sharpness`` is."""
    random = np.random.default_rng(0)
    labels = random.integers(0, len(names), images)
    logits = random.normal(size=(images, len(names)))
    logits[np.arange(images), labels] += sharpness
    outcome = Outcome(logits=torch.tensor(logits, dtype=torch.float32), labels=torch.tensor(labels))
    blank = torch.zeros(images, 1, 1, 1, dtype=torch.uint8)
    part = Part(
        name="test", images=blank, labels=outcome.labels, files=tuple(f"test/{i:05d}.png" for i in range(images))
    )
    return outcome, part


def _write_making(run: Path, names: tuple[str, ...]) -> None:
    """Writes everything but the result: what was asked, the network, the recipe, the data, the machine."""
    specification = catalogue.specification("resnet8", classes=len(names), in_channels=1)
    about = {
        "name": "digits-resnet8-1",
        "source": "digits",
        "network": "resnet8",
        "status": "finished",
        "seed": 0,
        "created": "2026-01-31T12:00:00Z",
        "command": "residua train digits --set optimizer.learning_rate=0.1",
        "headline": "resnet8 (75 k parameters) on digits: 1,078 images, 6 epochs, for images of at most 32 pixels",
        "notes": ["few images: mirrored images are left out"],
        "seconds": {"total": 83.4, "training": 71.0},
        "resumed_at": [],
    }
    files.write_json(run / "run.json", about)
    files.write_json(run / "network.json", cost.inspect(specification, (1, 16, 16)).to_json())
    files.write_json(run / "specification.json", {"block": "basic", "widths": [16, 32, 64], "stem": {"kernel": 3}})
    files.write_json(run / "recipe.json", {"epochs": 6, "optimizer": {"kind": "sgd", "learning_rate": 0.4}})
    files.write_json(run / "environment.json", {"residua": "0.1.0", "torch": "2.13.0", "cores": 2, "bfloat16": False})
    by_class = dict.fromkeys(names, 36)
    part = {"images": 36 * len(names), "by_class": by_class, "digest": "sha256:" + "0123456789abcdef" * 4}
    data = {
        "source": "digits",
        "classes": list(names),
        "parts": {"train": part, "validation": part, "test": part},
        "split_rule": "a fifth of each class, by the hash of its name",
        "sizes": [{"height": 8, "width": 8, "images": 1797}],
        "preprocessing": {"image_size": [16, 16], "mean": [0.1307]},
        "notes": ["two files are no images and were left out"],
        "left_out": ["notes.txt"],
    }
    files.write_json(run / "data.json", data)
    files.write_json_lines(run / "metrics.jsonl", [_epoch(number) for number in range(1, 7)])


def _epoch(number: int) -> dict[str, Any]:
    return {
        "epoch": number,
        "step": 9 * number,
        "train_loss": 2.3 / number + 0.5,
        "train_accuracy": 1 - 0.8 / number,
        "validation_loss": 2.0 / number,
        "validation_accuracy": 1 - 0.6 / number,
        "learning_rate": 0.4 * (1 - number / 7),
        "images_per_second": 5321.4,
        "seconds": 12.0 * number,
    }
