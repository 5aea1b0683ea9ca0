"""``residua report``"""

import click


@click.command("report")
@click.argument("run")
@click.option("--open", "open_report", is_flag=True, help="Open it in the browser.")
def command(run: str, open_report: bool) -> None:
    """Draw RUN's report again, for example after another evaluation."""
    from residua import verbs

    page = verbs.write_report(run)
    click.echo(f"report: {page}")
    if open_report:
        click.launch(str(page.resolve()))
