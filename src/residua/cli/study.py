"""``residua study``"""

import json
import textwrap
from collections import Counter
from collections.abc import Mapping
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
    help="Exit with 1 where a claim that the scale decides has another verdict, or it decides none.",
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
    deciding = [one for one in done if one.results.budget.decides]
    unexpected = expect is not None and not (deciding and all(one.agrees(expect) for one in deciding))
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
        told = f"{times}; decided at {_decided(row.decides)}"
        lines.append(f"{row.name}: {row.study.title.en}")
        lines += textwrap.wrap(told, 80, initial_indent="    ", subsequent_indent="    ", break_on_hyphens=False)
    return "\n".join((*lines, "run one: residua study NAME; all: residua study --all"))


def _decided(first: Mapping[str, str | None]) -> str:
    """Says the first scale that decides most of the claims, and the claims that another one decides first."""
    ((usual, _),) = Counter(first.values()).most_common(1) or (("no scale", 0),)
    others = (f"{claim} at {scale or 'no scale'}" for claim, scale in first.items() if scale != usual)
    return ", ".join((usual or "no scale", *others))


def _time(minutes: float) -> str:
    if minutes < 1:
        return f"{60 * minutes:.0f} s"
    if minutes < 90:
        return f"{minutes:.0f} min"
    hours = minutes / 60
    return f"{hours:.0f} h" if hours < 48 else f"{hours / 24:.0f} d"
