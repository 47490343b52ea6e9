"""Commands that look at objects and remove them, as typer is shown them."""

from __future__ import annotations

from typing import Annotated

import typer

from sealift.cli.shared import Shared
from sealift.cli.typed import LOOK, with_options

AllowUnsealed = Annotated[
    bool,
    typer.Option("--allow-unsealed", help="Take objects, too, that are under no customer key."),
]

object_app = typer.Typer()


@object_app.command(rich_help_panel=LOOK)
@with_options
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


@object_app.command(rich_help_panel=LOOK)
@with_options
def stat(
    shared: Shared,
    uri: Annotated[
        str | None, typer.Argument(help="s3://BUCKET/NAME. (default: KEY in BUCKET_NAME)")
    ] = None,
    allow_unsealed: AllowUnsealed = False,
) -> None:
    """Show an object's size, ETag, key id and checksum."""
    from sealift.cli import commands

    commands.stat(shared, uri, allow_unsealed)


@object_app.command(rich_help_panel=LOOK)
@with_options
def cat(
    shared: Shared,
    uri: Annotated[
        str | None, typer.Argument(help="s3://BUCKET/NAME. (default: KEY in BUCKET_NAME)")
    ] = None,
    allow_unsealed: AllowUnsealed = False,
) -> None:
    """Write an object's bytes to stdout, verified; the last of them only if all are right."""
    from sealift.cli import commands

    commands.cat(shared, uri, allow_unsealed)


@object_app.command(rich_help_panel=LOOK)
@with_options
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
