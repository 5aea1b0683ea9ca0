"""``residua train``"""

from pathlib import Path
from typing import Any

import click

from residua.errors import BadSetting


@click.command("train")
@click.argument("source", required=False)
@click.option("--network", metavar="NAME", help="A name from `residua networks`; chosen by image size if left out.")
@click.option(
    "--weights",
    metavar="WHAT",
    help="Start from: none; torchvision:IMAGENET1K_V1; a file of weights; a run. Photographs: published ones.",
)
@click.option("--recipe", metavar="NAME", help="default, transfer (what starts from weights), he2015 or textbook.")
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
@click.option("--resume", metavar="RUN", help="Go on with a stopped or killed run; more --epochs lengthen it.")
@click.option("--deepen", metavar="RUN", help="Add identity blocks to a run's network, and train on.")
@click.option("--stage", type=int, help="With --deepen: the stage, from 1.")
@click.option("--blocks", type=int, help="With --deepen: how many blocks.  [default: 1]")
@click.option(
    "--set",
    "settings",
    metavar="NAME=VALUE",
    multiple=True,
    help="Any single setting: optimizer.learning_rate=0.1, network.shortcut=none, data.split_seed=1.",
)
@click.option(
    "--find-learning-rate", is_flag=True, help="Only try rising rates on a copy, and write a page with the plot."
)
@click.option("--open", "open_report", is_flag=True, help="Open the report in the browser when done.")
@click.pass_context
def command(
    ctx: click.Context, source: str | None, find_learning_rate: bool, open_report: bool, **options: Any
) -> None:
    """Train a residual network on SOURCE and write a report.

    SOURCE is digits (the default), fashion-mnist, cifar10, or a folder with a folder of images for each class,
    with or without train/, val/ and test/ above them.
    """
    given = [name for name in options if _given(ctx, name)]
    _check(options, given)
    wanted = {name: value for name, value in options.items() if name not in ("resume", "deepen", "stage", "blocks")}
    if find_learning_rate:
        _check_found(given)
        page = _find(source or "digits", {name: value for name, value in wanted.items() if name != "out"})
    else:
        page = _train(source, options, wanted, given)
    if open_report:
        click.launch(str(page.resolve()))


def _find(source: str, wanted: dict[str, Any]) -> Path:
    """Finds a learning rate, says it, and returns the page with its plot."""
    from residua import verbs

    found = verbs.find_learning_rate(source, **wanted)
    click.echo(found.says)
    click.echo(f"plot: {found.page}")
    if found.learning_rate is not None:
        click.echo(f"train with it: {found.command}")
    return found.page


def _train(source: str | None, options: dict[str, Any], wanted: dict[str, Any], given: list[str]) -> Path:
    """Trains, says where the report is, and returns it."""
    from residua import verbs

    if options["resume"] is not None:
        again: dict[str, Any] = {name: options[name] for name in given if name != "resume"}
        again |= {"source": source} if source else {}
        run = verbs.resume(options["resume"], **again)
    elif options["deepen"] is not None:
        chosen = {name: options[name] for name in given if name in _DEEPENING}
        blocks = 1 if options["blocks"] is None else options["blocks"]
        run = verbs.deepen(options["deepen"], options["stage"], blocks, source=source, **chosen)
    else:
        run = verbs.train(source or "digits", **wanted)
    click.echo(f"report: {run.report}")
    return run.report


_DEEPENING = ("recipe", "epochs", "minutes", "seed", "out", "settings")
"""What may be said anew of a run that is deepened."""


def _check(options: dict[str, Any], given: list[str]) -> None:
    """Checks that the options go together."""
    if options["resume"] is not None:
        others = [_option(name) for name in given if name in ("out", "minutes", "deepen", "stage", "blocks")]
        if others:
            raise BadSetting(f"--resume goes on with what the run was asked; leave out {' '.join(others)}")
    elif options["deepen"] is not None:
        if options["stage"] is None:
            raise BadSetting("--deepen needs the stage that gets the blocks, such as --stage 2 --blocks 3")
        others = [_option(name) for name in given if name not in (*_DEEPENING, "deepen", "stage", "blocks")]
        if others:
            raise BadSetting(f"--deepen keeps what the run was asked; leave out {' '.join(others)}")
    elif options["stage"] is not None or options["blocks"] is not None:
        raise BadSetting("--stage and --blocks say where --deepen RUN adds blocks; name the run with --deepen")


def _check_found(given: list[str]) -> None:
    """Checks the options of a search, which makes no run."""
    others = [_option(name) for name in given if name in ("resume", "deepen", "out")]
    if others:
        raise BadSetting(f"--find-learning-rate makes no run and goes on with none; leave out {' '.join(others)}")


def _option(name: str) -> str:
    return "--set" if name == "settings" else f"--{name.replace('_', '-')}"


def _given(ctx: click.Context, name: str) -> bool:
    return ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
