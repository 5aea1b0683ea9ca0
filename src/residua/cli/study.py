"""``residua study``"""

import json
from pathlib import Path
from typing import Any

import click

from residua.errors import BadSetting


@click.command("study")
@click.argument("what", required=False, metavar="[NAME|FILE.py]")
@click.option("--all", "everything", is_flag=True, help="Run every study that the scale can decide; one page of all.")
@click.option(
    "--scale",
    type=click.Choice(["quick", "laptop", "paper"]),
    default="quick",
    show_default=True,
    help="quick: about a minute; laptop: within about an hour; paper: as published.",
)
@click.option("--seeds", type=int, help="How many, instead of the study's own number.")
@click.option("--workers", type=int, help="Processes that run trials at once; without: one a core, 8 at most.")
@click.option("--part", default="1/1", metavar="I/N", help="The share of this job, of N that use one --store.")
@click.option("--store", metavar="DIR", help="Where trials are kept, for all studies.  [default: runs/studies]")
@click.option("--out", metavar="DIR", help="Where the page goes.  [default: pages in the store]")
@click.option("--language", type=click.Choice(["en", "zh"]), default="en", show_default=True, help="Of the page.")
@click.option(
    "--expect",
    type=click.Choice(["supported", "contradicted", "inconclusive"]),
    help="Exit with 1 where a claim that the scale decides has another verdict.",
)
@click.option("--data-root", metavar="DIR", type=click.Path(path_type=Path), help="Folder of the named sets.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, …")
@click.option("--json", "as_json", is_flag=True, help="Everything that was found, as JSON.")
@click.option("--open", "open_page", is_flag=True, help="Open the page in the browser.")
def command(
    what: str | None, everything: bool, expect: str | None, as_json: bool, open_page: bool, **options: Any
) -> int:
    """Put published claims to the test: run a study and say whether its claims hold.

    Without a name: the studies there are, each with its time and the first scale that can decide it. NAME is one of
    them; FILE.py defines a study of your own as STUDY, and is run as code. Trials that have finished are never run
    again, and what was stopped goes on. Any verdict is a result: exit code 0.
    """
    if what is None and not everything:
        click.echo(_list(as_json))
        return 0
    if what is not None and everything:
        raise BadSetting(f"--all runs every study; leave out {what}, or --all")
    options = {name: value for name, value in options.items() if value is not None}
    from residua import studying

    done = studying.study_all(**options) if everything else (studying.study(what or "", **options),)
    page = done[-1].page.with_name("index.html") if everything else done[0].page
    if as_json:
        found = [one.results.to_json() for one in done]
        click.echo(json.dumps(found if everything else found[0], ensure_ascii=False, indent=2, allow_nan=False))
    else:
        click.echo("\n".join(one.says for one in done))
        click.echo(f"page: {page}")
    if open_page:
        click.launch(str(page.resolve()))
    unexpected = expect is not None and not all(one.agrees(expect) for one in done if one.results.budget.decides)
    return int(unexpected or any(one.results.has_errors for one in done))


def _list(as_json: bool) -> str:
    """Returns the studies with their times, and which scale decides what."""
    from residua import studying

    rows = studying.listed()
    if as_json:
        found = [{"name": row.name, "minutes": row.minutes, "decides": row.decides} for row in rows]
        return json.dumps(found, ensure_ascii=False, indent=2)
    lines = []
    for row in rows:
        times = ", ".join(f"{scale} {_time(minutes)}" for scale, minutes in row.minutes.items())
        lines.append(f"{row.name}: {row.study.title.en} ({times})")
        scales = set(row.decides.values())
        if len(scales) == 1:
            lines.append(f"    decided at: {scales.pop() or 'no scale'}")
        else:
            lines += [f"    {claim}: decided at {scale or 'no scale'}" for claim, scale in row.decides.items()]
    return "\n".join((*lines, "run one: residua study NAME; all: residua study --all"))


def _time(minutes: float) -> str:
    if minutes < 1:
        return f"{60 * minutes:.0f} s"
    return f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.0f} h"
