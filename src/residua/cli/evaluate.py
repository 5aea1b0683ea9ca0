"""``residua evaluate``"""

import json

import click


@click.command("evaluate")
@click.argument("run")
@click.argument("source", required=False)
@click.option("--data-root", metavar="DIR", help="Folder of the named sets.")
@click.option("--json", "as_json", is_flag=True, help="All numbers as JSON.")
def command(run: str, source: str | None, data_root: str | None, as_json: bool) -> None:
    """Measure RUN's network on its own held-out images, or on SOURCE.

    RUN is a run directory, a name under runs/, or last. Evaluations on the run's own test images are counted.
    """
    from residua import verbs

    numbers = verbs.evaluate(run, source, data_root=data_root)
    if as_json:
        click.echo(json.dumps(numbers, ensure_ascii=False, indent=2))
        return
    low, high = numbers["interval"]
    click.echo(
        f"{numbers['accuracy']:.2%} of {numbers['images']:,} images ({numbers['source']}, {numbers['part']}) right; "
        f"95 % interval {low:.2%} to {high:.2%} from their number; loss {numbers['loss']:.4f}"
    )
