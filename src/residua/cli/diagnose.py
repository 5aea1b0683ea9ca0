"""``residua diagnose``"""

import json
from pathlib import Path
from typing import Any

import click

from residua.errors import BadSetting


@click.command("diagnose")
@click.argument("what", metavar="RUN|NETWORK")
@click.argument("source", required=False)
@click.option("--only", metavar="NAME,…", help="These measurements, in full: gradients,lesions,questions, …")
@click.option("--what-if", is_flag=True, help="Measure remedies, too: the residual twin, another norm, rate, …")
@click.option("--json", "as_json", is_flag=True, help="Everything that was measured, as JSON.")
@click.option("--out", metavar="FILE", help="The page; without: RUN/diagnosis.html, or NETWORK-diagnosis.html.")
@click.option("--figures", metavar="DIR", help="Every figure as SVG and PNG; those of a RUN are in RUN/figures anyway.")
@click.option("--open", "open_page", is_flag=True, help="Open the page in the browser.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of a network's weights, and of the images drawn.")
@click.option("--data-root", metavar="DIR", type=click.Path(path_type=Path), help="Folder of the named sets.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, …")
def command(
    what: str,
    source: str | None,
    only: str | None,
    as_json: bool,
    figures: str | None,
    open_page: bool,
    **options: Any,
) -> None:
    """Say why a network learns, or does not: what is wrong, where, and what to do next.

    A RUN (its directory, its name under runs/, or last; finished or not) is diagnosed on its own images. A NETWORK (a
    name from `residua networks`, or path.py:factory, which is run as code) is built with fresh weights and shown
    SOURCE, or the digits. Takes under a minute on two cores; what does not fit is left out, and said.
    """
    names = () if only is None else tuple(name.strip() for name in only.split(",") if name.strip())
    if only is not None and not names:
        raise BadSetting("--only is empty; name measurements, such as --only gradients,lesions")
    from residua import diagnoses

    found = diagnoses.diagnose(what, source=source, only=names, **options)
    if figures is not None:
        found.write_figures(figures)
    if as_json:
        click.echo(json.dumps(found.to_json(), ensure_ascii=False, indent=2, allow_nan=False))
    else:
        click.echo(found.says)
        click.echo(f"page: {found.page}")
    if open_page and found.page is not None:
        click.launch(str(found.page.resolve()))
