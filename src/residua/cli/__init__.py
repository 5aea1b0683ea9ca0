"""The command line: one thin file a command, imported only when that command runs."""

import errno
import sys
from importlib import import_module
from io import TextIOWrapper
from typing import Any

import click

from residua import __version__, machine
from residua.errors import ResiduaError

_COMMANDS = {
    "train": "Train a residual network on images and write a report.",
    "predict": "Say what is on images, with a trained network.",
    "evaluate": "Measure a trained network on its own held-out images or on others.",
    "diagnose": "Say why a network learns or not: findings, figures and remedies.",
    "landscape": "Draw the loss around a network's weights, alone or beside its plain twin.",
    "study": "Put published claims to the test: trials, statistics, a verdict.",
    "report": "Draw a run's report again.",
    "networks": "List the networks that have a name.",
    "inspect": "Show a network's shapes, parameters, multiply-adds and receptive field.",
    "download": "Fetch named sets ahead of their use.",
}


class _Commands(click.Group):
    """Knows each command's line of help without importing it."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        return import_module(f"residua.cli.{cmd_name}").command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        from residua.errors import unknown

        if args and not args[0].startswith("-") and args[0] not in _COMMANDS:
            raise click.UsageError(unknown("command", args[0], _COMMANDS), ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="residua")
def cli() -> None:
    """Build residual networks, train them on your own images, and use the result.

    \b
    residua train                     trains on the embedded digits
    residua train PHOTOS              trains on a folder of class folders
    residua predict last IMAGE        says what is on an image
    """


def main() -> None:
    """Runs the command line: exit code 0 done, 1 some inputs unusable, 2 bad input, 130 interrupted."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a file's name may be no UTF-8
    try:
        code = cli.main(prog_name="residua", standalone_mode=False)
    except click.ClickException as error:
        if machine.place().rank == 0:  # torchrun and srun give every process the same command
            click.echo(_said(error), err=True)
        sys.exit(2)
    except (click.Abort, KeyboardInterrupt):
        if machine.place().rank == 0:
            click.echo("stopped", err=True)
        sys.exit(130)
    except ResiduaError as error:
        click.echo(f"{'' if error.exit_code > 128 else 'error: '}{error}", err=True)
        for note in getattr(error, "__notes__", ()):
            click.echo(note, err=True)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        if not full and not error.filename:
            raise
        mend = "free space" if full else "mend that"
        where = f"{error.filename}: " if error.filename else ""
        click.echo(f"error: {where}{error.strerror}; {mend}, then run the command again", err=True)
        sys.exit(2)
    sys.exit(code if isinstance(code, int) else 0)


def _said(error: click.ClickException) -> str:
    """Returns a mistake on the command line in one line; a command without its words gets its help."""
    if isinstance(error, getattr(click.exceptions, "NoArgsIsHelpError", ())):
        return error.format_message()
    context = error.ctx if isinstance(error, click.UsageError) else None
    see = f"; see `{context.command_path} --help`" if context else ""
    return f"error: {' '.join(error.format_message().split()).rstrip('.')}{see}"
