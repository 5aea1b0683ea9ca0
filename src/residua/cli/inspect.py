"""``residua inspect``"""

import json
import re

import click

from residua.errors import BadSetting


@click.command("inspect")
@click.argument("network")
@click.option("--input", "shape", metavar="3x32x32", help="Channels, height and width of the images.")
@click.option("--classes", type=click.IntRange(min=1), help="Logits of the head.")
@click.option("--layers", is_flag=True, help="Every layer, not only the stages.")
@click.option("--json", "as_json", is_flag=True, help="Everything as JSON.")
def command(network: str, shape: str | None, classes: int | None, layers: bool, as_json: bool) -> None:
    """Show NETWORK's shapes, parameters, multiply-adds and receptive field, stage by stage."""
    size = None if shape is None else _shape(shape)
    from rich.console import Console

    from residua import verbs
    from residua.report.terminal import inspection_table

    inspection = verbs.inspect(network, size, classes=classes).to_json()
    if as_json:
        click.echo(json.dumps({"network": network, **inspection}, ensure_ascii=False, indent=2))
    else:
        Console().print(inspection_table(inspection, name=network, layers=layers))


def _shape(text: str) -> tuple[int, int, int]:
    match = re.fullmatch(r"(\d+)[x×,](\d+)[x×,](\d+)", text.strip())
    if match is None:
        raise BadSetting(f"--input is {text!r}; it takes channels, height and width, such as 3x32x32")
    channels, height, width = map(int, match.groups())
    return channels, height, width
