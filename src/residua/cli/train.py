"""``residua train``"""

from pathlib import Path
from typing import Any

import click

from residua.errors import BadSetting


@click.command("train")
@click.argument("source", required=False)
@click.option("--network", metavar="NAME", help="A name from `residua networks`; chosen by image size if left out.")
@click.option("--recipe", metavar="NAME", default="default", show_default=True, help="default, he2015 or textbook.")
@click.option("--epochs", type=int, help="Passes over the training images.")
@click.option("--minutes", type=float, help="Time for the whole command; epochs are fitted to it.")
@click.option("--image-size", type=int, metavar="PIXELS", help="Side of the square the network sees.")
@click.option(
    "--fit",
    type=click.Choice(["crop", "pad", "squash"]),
    default="crop",
    show_default=True,
    help="How a photograph becomes a square.",
)
@click.option("--group", metavar="REGEX", help="Images whose names match alike stay in one part.")
@click.option("--data-root", metavar="DIR", type=click.Path(path_type=Path), help="Folder of the named sets.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, …")
@click.option("--out", metavar="DIR", type=click.Path(path_type=Path), help="The run directory; new or empty.")
@click.option("--resume", metavar="RUN", help="Go on with a stopped run.")
@click.option(
    "--set",
    "settings",
    metavar="NAME=VALUE",
    multiple=True,
    help="Any single setting: optimizer.learning_rate=0.1, network.shortcut=none, data.split_seed=1.",
)
@click.option("--open", "open_report", is_flag=True, help="Open the report in the browser when done.")
@click.pass_context
def command(ctx: click.Context, source: str | None, resume: str | None, open_report: bool, **options: Any) -> None:
    """Train a residual network on SOURCE and write a report.

    SOURCE is digits (the default), fashion-mnist, cifar10, or a folder with a folder of images for each class,
    with or without train/, val/ and test/ above them.
    """
    if resume is not None:
        given = [f"--{name.replace('_', '-')}" for name in options if _given(ctx, name)]
        if source is not None or given:
            raise BadSetting(
                f"--resume goes on with what the run was asked; leave out {' '.join([source or '', *given]).strip()}"
            )
    from residua import verbs

    run = verbs.resume(resume) if resume is not None else verbs.train(source or "digits", **options)
    click.echo(f"report: {run.report}")
    if open_report:
        click.launch(str(run.report.resolve()))


def _given(ctx: click.Context, name: str) -> bool:
    return ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
