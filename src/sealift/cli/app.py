"""The commands as typer is shown them; `commands` has what they do.

That is imported when a command runs, so that `--help` and completion answer at once.
"""

from __future__ import annotations

from typing import Annotated

import typer

from sealift import __version__
from sealift.cli.shared import Shared
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
    dst: Annotated[str, typer.Argument(help="Where it goes; one of the two is an s3:// URI.")],
) -> None:
    """Copy a file, tree, object or prefix, up or down. A trailing / means "the contents"."""
    from sealift.cli import commands

    commands.cp(shared, src, dst)


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
def sync(
    shared: Shared,
    src: Annotated[str, typer.Argument(help="Directory, or s3://BUCKET/PREFIX: its contents.")],
    dst: Annotated[str, typer.Argument(help="What is made like it.")],
    size_only: Annotated[
        bool, typer.Option("--size-only", help="Same size means same content.")
    ] = False,
    checksum: Annotated[
        bool, typer.Option("--checksum", help="Compare CRC64NVME where the times do not tell.")
    ] = False,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Make the catalogue of the prefix anew.")
    ] = False,
    delete: Annotated[
        bool, typer.Option("--delete", help="Remove what only DST has, if all went well.")
    ] = False,
    max_delete: Annotated[
        int | None, typer.Option(metavar="N", min=0, help="Remove nothing if it were more.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="With --delete, even if SRC is empty.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would happen; touch nothing.")
    ] = False,
) -> None:
    """Move what differs, up or down; a second run moves nothing."""
    from sealift.cli import commands

    commands.sync(
        shared,
        src,
        dst,
        commands.sync_options(
            size_only=size_only,
            checksum=checksum,
            rebuild=rebuild,
            delete=delete,
            max_delete=max_delete,
            force=force,
            dry_run=dry_run,
        ),
    )


@app.command()
@with_shared
def ls(
    shared: Shared,
    uri: Annotated[
        str | None, typer.Argument(help="s3://BUCKET/PREFIX. (default: BUCKET_NAME)")
    ] = None,
    recursive: Annotated[
        bool,
        typer.Option("--recursive", help="All objects whose names start so, by their whole names."),
    ] = False,
    summarize: Annotated[
        bool, typer.Option("--summarize", help="Add the number of objects and their bytes.")
    ] = False,
    human_readable: Annotated[
        bool, typer.Option("--human-readable", help="Show sizes as 1.5 MiB.")
    ] = False,
) -> None:
    """List objects and prefixes; needs no customer key."""
    from sealift.cli import commands

    commands.ls(shared, uri, recursive, summarize, human_readable)


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
def cat(
    shared: Shared,
    uri: Annotated[
        str | None, typer.Argument(help="s3://BUCKET/NAME. (default: KEY in BUCKET_NAME)")
    ] = None,
) -> None:
    """Write an object's bytes to stdout, verified; the last of them only if all are right."""
    from sealift.cli import commands

    commands.cat(shared, uri)


@app.command()
@with_shared
def rm(
    shared: Shared,
    uri: Annotated[str, typer.Argument(help="s3://BUCKET/NAME; a trailing / means all below it.")],
    recursive: Annotated[
        bool, typer.Option("--recursive", help="Remove all below URI/, and not URI itself.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Remove without asking.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only print what would be removed.")
    ] = False,
) -> None:
    """Remove an object, or everything below a prefix; needs no customer key.

    Prefixes are directories: below photos is photos/x, not photos2/x. Asks before it removes more
    than the one object named. Versioned buckets keep the objects behind delete markers.
    """
    from sealift.cli import commands

    commands.rm(shared, uri, recursive, yes, dry_run)


@app.command()
@with_shared
def demo(
    shared: Shared,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the files for a look.")] = False,
) -> None:
    """Show the whole thing on an S3 server started on this machine."""
    from sealift.cli.demo import run_demo

    run_demo(shared, keep=keep)
