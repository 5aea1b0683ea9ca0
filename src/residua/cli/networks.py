"""``residua networks``"""

import json

import click


@click.command("networks")
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Names and lines as JSON.")
def command(name: str | None, as_json: bool) -> None:
    """List the networks that have a name, or say at length what NAME is."""
    from residua import verbs
    from residua.networks import catalogue
    from residua.report.terminal import console, networks_table

    if name is not None:
        click.echo(catalogue.description(name))
    elif as_json:
        click.echo(json.dumps(verbs.list_networks(), ensure_ascii=False, indent=2))
    else:
        console().print(networks_table(verbs.list_networks()))
