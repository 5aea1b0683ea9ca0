"""``residua download``"""

from pathlib import Path

import click


@click.command("download")
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE…")
@click.option("--data-root", metavar="DIR", type=click.Path(path_type=Path), help="Where to; RESIDUA_DATA otherwise.")
def command(sources: tuple[str, ...], data_root: Path | None) -> None:
    """Fetch named sets (fashion-mnist, cifar10) ahead of their use, verified.

    RESIDUA_OFFLINE forbids fetching, RESIDUA_MIRROR names another server, HTTPS_PROXY and NO_PROXY are honoured.
    """
    from residua import verbs

    for name, path in zip(sources, verbs.download(sources, data_root), strict=True):
        click.echo(f"{name}: {path}")
