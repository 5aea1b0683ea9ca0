"""``residua networks``"""

import json

import click


@click.command("networks")
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Names and lines as JSON.")
def command(name: str | None, as_json: bool) -> None:
    """List the networks that have a name, or say at length what NAME is."""
    from rich.console import Console

    from residua import models
    from residua.networks import catalogue
    from residua.report.terminal import networks_table

    if name is not None:
        click.echo(catalogue.description(name))
    elif as_json:
        click.echo(json.dumps(models.list_networks(), ensure_ascii=False, indent=2))
    else:
        rows = [{"name": name, "what it is": line} for name, line in models.list_networks().items()]
        Console().print(networks_table(rows))
