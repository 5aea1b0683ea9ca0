"""``residua predict``"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from residua.errors import BadSetting

if TYPE_CHECKING:
    from residua.inference.predictor import Prediction


@click.command("predict")
@click.argument("run")
@click.argument("images", nargs=-1, required=True, metavar="IMAGE…")
@click.option("--top", type=click.IntRange(min=1), default=1, show_default=True, help="How many classes to name.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def command(run: str, images: tuple[str, ...], top: int, as_json: bool) -> int:
    """Say what is on each IMAGE: a file, a folder (its images, sub-folders too), or - for a list on stdin.

    An image that cannot be read is reported and the others are answered; the exit code is then 1.
    """
    from residua import verbs
    from residua.data.folder import image_files
    from residua.inference.predictor import Unreadable

    paths = list(_paths(images))
    files = [file for path in paths for file in (image_files(path) if path.is_dir() else [path])]
    if not files:
        raise BadSetting(f"no image in {', '.join(images)}; give files, or a folder that holds some")
    failed = False
    for answer in verbs.load(run).predict_files(files):
        unreadable = isinstance(answer, Unreadable)
        failed |= unreadable
        shown = answer if isinstance(answer, Unreadable) else answer.top(top)
        if as_json:
            click.echo(json.dumps(shown.to_json(), ensure_ascii=False))
        elif isinstance(shown, Unreadable):
            click.echo(f"error: {shown.reason}", err=True)
        else:
            click.echo(_line(shown))
    return int(failed)


def _line(answer: "Prediction") -> str:
    named = zip(answer.classes, answer.probabilities, strict=True)
    return f"{answer.file}: " + ", ".join(f"{name} {probability:.1%}" for name, probability in named)


def _paths(names: tuple[str, ...]) -> Iterator[Path]:
    for name in names:
        if name == "-":
            yield from (Path(line.strip()) for line in sys.stdin if line.strip())
        else:
            yield Path(name)
