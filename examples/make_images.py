"""Draws the images in this folder: a few digits to predict, and three shapes to train on.

    .venv/bin/python examples/make_images.py

The digits are scikit-learn's (UCI ML hand-written digits), enlarged to 64 pixels; they were written by
people, but the default network may have seen some of them. The shapes are drawn with seeded noise.
"""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter
from sklearn.datasets import load_digits

HERE = Path(__file__).parent
SIDE, COUNT = 48, 30


def digits() -> None:
    images, labels = load_digits(return_X_y=True)
    for label in (3, 7, 8):
        pixels = images[np.flatnonzero(labels == label)[40]].reshape(8, 8) * 255 / 16
        picture = Image.fromarray(pixels.round().astype(np.uint8)).resize((64, 64), Image.Resampling.NEAREST)
        (HERE / "digits").mkdir(exist_ok=True)
        picture.save(HERE / "digits" / f"a-{label}.png", optimize=True)


def shape(name: str, generator: np.random.Generator) -> Image.Image:
    colours = [tuple(int(v) for v in generator.integers(low, low + 120, 3)) for low in (0, 135)]
    picture = Image.new("RGB", (SIDE, SIDE), colours[0])
    x, y = generator.integers(16, SIDE - 16, 2)
    radius, turn = generator.uniform(8, 14), generator.uniform(0, 360)
    draw = ImageDraw.Draw(picture)
    if name == "circle":
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colours[1])
    else:
        draw.regular_polygon((int(x), int(y), radius), 3 if name == "triangle" else 4, rotation=turn, fill=colours[1])
    return picture.filter(ImageFilter.GaussianBlur(0.7)).quantize(16, dither=Image.Dither.NONE).convert("RGB")


def main() -> None:
    digits()
    generator = np.random.default_rng(0)
    for name in ("circle", "square", "triangle"):
        (HERE / "shapes" / name).mkdir(parents=True, exist_ok=True)
        for index in range(COUNT):
            shape(name, generator).save(HERE / "shapes" / name / f"{index:02d}.png", optimize=True)


if __name__ == "__main__":
    main()
