"""``residua landscape``"""

import json
from pathlib import Path
from typing import Any

import click

from residua.errors import BadSetting


@click.command("landscape")
@click.argument("what", nargs=-1, metavar="[RUN|NETWORK] [SOURCE]")
@click.option("--weights", metavar="WHAT", help="Of a NETWORK: a file of weights, or a run.")
@click.option(
    "--axes", default="random", show_default=True, metavar="NAME", help="random, between (with --to), path or hessian."
)
@click.option("--to", metavar="WHAT", help="With --axes between: the other network, a run or a file of weights.")
@click.option(
    "--normalisation", default="filter", show_default=True, metavar="NAME", help="filter, layer, weight or none."
)
@click.option("--dimensions", type=int, metavar="1|2", help="A line or a plane.  [default: 2, between: 1]")
@click.option("--span", metavar="R", help="1 is -1 to 1; or -0.5:1.5; or one an axis: 1,-2:2.  [default: 1]")
@click.option("--steps", metavar="N", help="Points of an axis: 51, or 51x31.  [default: 25x25; a line: 51]")
@click.option(
    "--policy",
    default="frozen",
    show_default=True,
    metavar="NAME",
    help="Of batch norms away from the centre: frozen, batch or recalibrated.",
)
@click.option("--images", "examples", type=int, default=256, show_default=True, help="That the loss is a mean over.")
@click.option("--precision", default="auto", show_default=True, metavar="NAME", help="Of the map: float32, bfloat16.")
@click.option("--convexity", is_flag=True, help="Measure the curvature within the plane, too (exact; takes longer).")
@click.option("--curvature", is_flag=True, help="Measure the largest eigenvalues and the spectrum at the centre, too.")
@click.option(
    "--twin",
    is_flag=False,
    flag_value="",
    metavar="[RUN]",
    help="Beside the plain twin, which is trained once, or RUN; without a run: resnet56 and plain56 on digits.",
)
@click.option("--part", default="1/1", metavar="I/N", help="Compute part I of N of the cells, for several machines.")
@click.option("--merge", is_flag=True, help="Put the files of all parts together: --merge A.npz B.npz …")
@click.option("--store", metavar="FILE", help="Where finished cells are kept; without: in RUN/landscape/.")
@click.option("--out", metavar="FILE", help="The page; without: RUN/landscape.html, or NETWORK-landscape.html.")
@click.option("--figures", metavar="DIR", help="Every figure as SVG and PNG; those of a RUN are in RUN/figures anyway.")
@click.option("--npz", metavar="FILE", help="The surface as arrays.")
@click.option("--json", "as_json", is_flag=True, help="The numbers, as JSON.")
@click.option("--open", "open_page", is_flag=True, help="Open the page in the browser.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of random directions, and of the images drawn.")
@click.option("--data-root", metavar="DIR", type=click.Path(path_type=Path), help="Folder of the named sets.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, …")
@click.pass_context
def command(
    ctx: click.Context,
    what: tuple[str, ...],
    merge: bool,
    figures: str | None,
    npz: str | None,
    as_json: bool,
    open_page: bool,
    **options: Any,
) -> None:
    """Draw the loss around a network's weights (Li et al. 2018): a page with the surface, and its numbers.

    A RUN (its directory, its name under runs/, or last) is looked at on its own images. A NETWORK (a name from
    `residua networks`, or path.py:factory, which is run as code) is shown SOURCE, or the digits. Some minutes on two
    cores; how long is said. What was computed for a RUN is kept, and a call that was killed goes on from there.
    """
    from residua import landscapes

    if merge:
        found = landscapes.merged(what, **_for_merging(ctx, options))
    else:
        found = landscapes.landscape(**_named(what, options))
    if figures is not None:
        found.write_figures(figures)
    if npz is not None:
        found.save(npz)
    if as_json:
        click.echo(json.dumps(found.to_json(), ensure_ascii=False, indent=2, allow_nan=False))
    else:
        click.echo(found.says)
        if found.page is not None:
            click.echo(f"page: {found.page}")
    if open_page and found.page is not None:
        click.launch(str(found.page.resolve()))


def _named(what: tuple[str, ...], options: dict[str, Any]) -> dict[str, Any]:
    """Returns what `residua.landscape` takes."""
    if len(what) > 2:
        raise BadSetting(f"{what[2]} is one too many; give a run, or a network and its images (files with --merge)")
    named = dict(zip(("what", "source"), what, strict=False))
    twin = options["twin"]
    return {**options, **named, "twin": False if twin is None else twin or True}


def _for_merging(ctx: click.Context, options: dict[str, Any]) -> dict[str, Any]:
    """Returns the options of a merging, which computes nothing."""
    given = [name for name in options if ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE]
    if others := [name for name in given if name != "out"]:
        said = " ".join("--images" if name == "examples" else f"--{name.replace('_', '-')}" for name in others)
        raise BadSetting(f"--merge puts files together that are computed already; leave out {said}")
    return {"out": options["out"]}
