"""The commands as typer is shown them; `commands` has what they do.

That is imported when a command runs, so that `--help` and completion answer at once.
"""

from __future__ import annotations

from typing import Annotated

import typer

from sealift import __version__
from sealift.cli.shared import Shared, SourceSide
from sealift.cli.typed import with_shared
from sealift.plan import Naming

app = typer.Typer(
    name="sealift",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"sealift {__version__}")
        raise typer.Exit


@app.callback()
@with_shared
def sealift(
    shared: Shared,
    *,
    version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_print_version, help="Show the version."),
    ] = False,
) -> None:
    """Move directories to and from S3 under a customer key (SSE-C)."""


@app.command()
@with_shared
def put(
    shared: Shared,
    file: Annotated[str | None, typer.Argument(help="The file. (default: KEY)")] = None,
    uri: Annotated[
        str | None, typer.Argument(help="s3://BUCKET/NAME. (default: in BUCKET_NAME)")
    ] = None,
) -> None:
    """Upload one file; without arguments what .env names."""
    from sealift.cli import commands

    commands.put(shared, file, uri)


@app.command()
@with_shared
def get(
    shared: Shared,
    uri: Annotated[
        str | None, typer.Argument(help="s3://BUCKET/NAME. (default: KEY in BUCKET_NAME)")
    ] = None,
    dest: Annotated[
        str | None, typer.Argument(help="File or directory. (default: tmp/<uuid4><suffix>)")
    ] = None,
) -> None:
    """Download one object and print where it is; without arguments what .env names."""
    from sealift.cli import commands

    commands.get(shared, uri, dest)


@app.command()
@with_shared
def cp(
    shared: Shared,
    src: Annotated[str, typer.Argument(help="File, directory, object or prefix.")],
    dst: Annotated[str, typer.Argument(help="Where it goes; an s3:// URI if SRC is none.")],
    side: SourceSide,
) -> None:
    """Copy a file, tree, object or prefix, up, down, across. A trailing / means "the contents"."""
    from sealift.cli import commands

    commands.cp(shared, src, dst, side)


@app.command()
@with_shared
def restore(
    shared: Shared,
    uri: Annotated[
        str, typer.Argument(help="s3://BUCKET/PREFIX; a trailing / means its contents.")
    ],
    dest: Annotated[str, typer.Argument(help="Directory to write below.")] = "tmp/",
    names: Annotated[
        Naming, typer.Option(help="Keep the objects' names, or make random ones.")
    ] = Naming.KEEP,
) -> None:
    """Bring back everything under a prefix: verified, durable, several at once."""
    from sealift.cli import commands

    commands.restore(shared, uri, dest, names)


@app.command()
@with_shared
def ls(
    shared: Shared,
    uri: Annotated[
        str | None, typer.Argument(help="s3://BUCKET/PREFIX. (default: BUCKET_NAME)")
    ] = None,
) -> None:
    """List objects and prefixes; needs no customer key."""
    from sealift.cli import commands

    commands.ls(shared, uri)


@app.command()
@with_shared
def stat(
    shared: Shared,
    uri: Annotated[
        str | None, typer.Argument(help="s3://BUCKET/NAME. (default: KEY in BUCKET_NAME)")
    ] = None,
) -> None:
    """Show an object's size, ETag, key id and checksum."""
    from sealift.cli import commands

    commands.stat(shared, uri)


@app.command()
@with_shared
def demo(
    shared: Shared,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the files for a look.")] = False,
) -> None:
    """Show the whole thing on an S3 server started on this machine."""
    from sealift.cli.demo import run_demo

    run_demo(shared, keep=keep)
