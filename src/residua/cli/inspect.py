"""``residua inspect``"""

import json
import re
from pathlib import Path
from typing import Any

import click

from residua.errors import BadSetting

_DEFAULT = ""
"""Stands for ``--svg`` without a file."""


@click.command("inspect")
@click.argument("network")
@click.option("--input", "shape", metavar="3x32x32", help="Channels, height and width of the images.")
@click.option("--classes", type=click.IntRange(min=1), help="Logits of the head.")
@click.option("--layers", is_flag=True, help="Every layer, not only the stages.")
@click.option("--json", "as_json", is_flag=True, help="Everything as JSON.")
@click.option(
    "--svg",
    is_flag=False,
    flag_value=_DEFAULT,
    metavar="[FILE]",
    help="A drawing of stages, blocks and shortcuts. Goes after NETWORK; without FILE: NETWORK.svg.",
)
@click.option(
    "--image", metavar="IMAGE", help="Of a run: a page of the feature maps that IMAGE causes, and the answer."
)
@click.option("--out", metavar="FILE", help="Where that page goes; without: RUN/features-IMAGE.html.")
def command(network: str, **options: Any) -> None:
    """Show NETWORK's shapes, parameters, multiply-adds and receptive field, stage by stage.

    NETWORK is a name from `residua networks`, a run (its directory, its name under runs/, or last), or
    path.py:factory, a function without arguments that returns a NetworkSpec or a torch module; the file is run as
    code. A network without a name is compared with the nearest that has one.
    """
    size = None if options["shape"] is None else _shape(options["shape"])
    _check(options)
    from residua import views

    if options["image"] is not None:
        click.echo(f"feature maps: {views.draw_features(network, Path(options['image']), options['out'])}")
    elif options["svg"] is not None:
        file = None if options["svg"] == _DEFAULT else options["svg"]
        drawn = views.draw_network(network, file, input=size, classes=options["classes"])
        click.echo(f"drawing: {drawn}")
    else:
        found = views.inspect(network, size, classes=options["classes"]).to_json()
        _show(network, found, layers=options["layers"], as_json=options["as_json"])


def _show(network: str, found: dict[str, Any], *, layers: bool, as_json: bool) -> None:
    from rich.console import Console

    from residua.report import statements
    from residua.report.terminal import inspection_table

    if as_json:
        click.echo(json.dumps({"network": network, **found}, ensure_ascii=False, indent=2))
        return
    Console().print(inspection_table(found, name=network, layers=layers))
    if said := statements.likeness(found.get("nearest")):
        click.echo(said)


def _check(options: dict[str, Any]) -> None:
    """Refuses options that contradict each other."""
    given = [
        f"--{name}"
        for name in ("json", "svg", "image")
        if options[{"json": "as_json"}.get(name, name)] not in (None, False)
    ]
    if len(given) > 1:
        raise BadSetting(f"{' and '.join(given)} ask for different things; give one of them")
    if options["image"] is None and options["out"] is not None:
        raise BadSetting("--out is for the page of --image; give --image too, or --svg FILE for a drawing")
    settled = [f"--{name}" for name, key in (("input", "shape"), ("classes", "classes")) if options[key] is not None]
    if options["image"] is not None and settled:
        raise BadSetting(f"--image shows the run's own network, so its size is settled; leave out {' '.join(settled)}")


def _shape(text: str) -> tuple[int, int, int]:
    match = re.fullmatch(r"(\d+)[x×,](\d+)[x×,](\d+)", text.strip())
    if match is None:
        raise BadSetting(f"--input is {text!r}; it takes channels, height and width, such as 3x32x32")
    channels, height, width = map(int, match.groups())
    return channels, height, width
