"""``residua train``"""

import sys
from pathlib import Path
from typing import Any

import click

from residua import machine
from residua.errors import BadSetting
from residua.training import record


@click.command("train")
@click.argument("source", required=False)
@click.option("--network", metavar="NAME", help="A name from `residua networks`; chosen by image size if left out.")
@click.option(
    "--weights",
    metavar="WHAT",
    help="Start from: none; torchvision:IMAGENET1K_V1; a file of weights; a run. Photographs: published ones.",
)
@click.option(
    "--recipe",
    metavar="NAME",
    help="default, fast (small images), transfer (what starts from weights), he2015 or textbook.",
)
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
@click.option("--processes", type=click.IntRange(1, 1024), help="Processes that train together on this machine.")
@click.option("--out", metavar="DIR", type=click.Path(path_type=Path), help="The run directory; new or empty.")
@click.option("--resume", metavar="RUN", help="Go on with a stopped or killed run; more --epochs lengthen it.")
@click.option("--accept-processes", is_flag=True, help="With --resume: another number of them may change the result.")
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
@click.option("--diagnose", is_flag=True, help="Sample gradients and updates by block; the result stays the same.")
@click.option(
    "--keep-path", is_flag=True, help="Keep 30 to 60 states of the weights on the way, for `residua landscape`."
)
@click.option("--open", "open_report", is_flag=True, help="Open the report in the browser when done.")
@click.pass_context
def command(
    ctx: click.Context,
    source: str | None,
    find_learning_rate: bool,
    open_report: bool,
    processes: int | None,
    **options: Any,
) -> int | None:
    """Train a residual network on SOURCE and write a report.

    SOURCE is digits (the default), fashion-mnist, cifar10, or a folder with a folder of images for each class,
    with or without train/, val/ and test/ above them.
    """
    given = [name for name in options if _given(ctx, name)]
    with machine.said_once():
        _check(options, given)
        if find_learning_rate:
            _check_found(given, processes)
        count = 1 if find_learning_rate else _processes(processes, options["resume"])
    if count > machine.place().ranks:
        from residua.training.launch import launch

        return launch(count, sys.argv[1:])
    if find_learning_rate:
        page = _find(source or "digits", _of_a_new_run(options, but=_NOT_FOR_A_SEARCH))
    else:
        page = _train(source, options, given)
    if open_report and machine.place().rank == 0:
        click.launch(str(page.resolve()))
    return None


def _of_a_new_run(options: dict[str, Any], *, but: tuple[str, ...] = ()) -> dict[str, Any]:
    """Returns the options that `residua.train` takes."""
    return {name: value for name, value in options.items() if name not in (*_NOT_FOR_A_NEW_RUN, *but)}


def _find(source: str, wanted: dict[str, Any]) -> Path:
    """Finds a learning rate, says it, and returns the page with its plot."""
    from residua import verbs

    found = verbs.find_learning_rate(source, **wanted)
    click.echo(found.says)
    click.echo(f"plot: {found.page}")
    if found.learning_rate is not None:
        click.echo(f"train with it: {found.command}")
    return found.page


def _train(source: str | None, options: dict[str, Any], given: list[str]) -> Path:
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
        run = verbs.train(source or "digits", **_of_a_new_run(options))
    if machine.place().rank == 0:
        click.echo(f"report: {run.report}")
    return run.report


_NOT_FOR_A_NEW_RUN = ("resume", "accept_processes", "deepen", "stage", "blocks")
_NOT_FOR_A_SEARCH = ("out", "diagnose", "keep_path")
_DEEPENING = ("recipe", "epochs", "minutes", "seed", "out", "settings", "diagnose", "keep_path")
"""What may be said anew of a run that is deepened."""


def _processes(asked: int | None, resumed: str | None) -> int:
    """Returns how many processes train: as asked, as were started already, or as many as a resumed run has had."""
    here = machine.place()
    if here.starter is not None:
        if asked not in (None, here.ranks):
            raise BadSetting(f"{here.starter} started {here.ranks} processes, --processes says {asked}; leave it out")
        return here.ranks
    if asked is None and resumed is not None:
        return int(record.find(resumed).read("run").get("processes", 1))
    return asked or 1


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
    elif options["accept_processes"]:
        raise BadSetting("--accept-processes is for a run that goes on with another number; name it with --resume")
    elif options["stage"] is not None or options["blocks"] is not None:
        raise BadSetting("--stage and --blocks say where --deepen RUN adds blocks; name the run with --deepen")


def _check_found(given: list[str], processes: int | None) -> None:
    """Checks the options of a search, which makes no run and takes one process."""
    others = [_option(name) for name in given if name in ("resume", "deepen", *_NOT_FOR_A_SEARCH)]
    others += ["--processes"] if processes is not None else []
    if others:
        raise BadSetting(f"--find-learning-rate makes no run and goes on with none; leave out {' '.join(others)}")
    here = machine.place()
    if here.ranks > 1:
        raise BadSetting(f"--find-learning-rate takes one process, and {here.starter} started {here.ranks}")


def _option(name: str) -> str:
    return "--set" if name == "settings" else f"--{name.replace('_', '-')}"


def _given(ctx: click.Context, name: str) -> bool:
    return ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
